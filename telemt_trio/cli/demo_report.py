"""What the demo shows: two tables, and a drawing if it was asked for."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import attrs

from telemt_trio.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ClientRow", "StrangerRow", "draw", "print_report", "require_matplotlib"]


@attrs.frozen
class ClientRow:
    """One client: times in seconds, payload in bytes, and each TLS record it got as (seconds, payload size).

    ``handshake`` is None where the mode has no answer to wait for.
    """

    name: str
    handshake: float | None
    first_echo: float
    bytes_up: int
    bytes_down: int
    records: tuple[tuple[float, int], ...]


@attrs.frozen
class StrangerRow:
    """One stranger: bytes sent and got, why it was one, what it saw."""

    name: str
    bytes_up: int
    bytes_down: int
    reason: str
    saw: str


def print_report(clients: Sequence[ClientRow], strangers: Sequence[StrangerRow]) -> None:
    """Print both tables on standard output."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    # A pipe or a log file is not 80 columns wide.
    console = console if console.is_terminal else Console(width=120)
    table = Table(title="Clients", title_justify="left")
    table.add_column("mode")
    for heading in ("handshake", "first echo", "sent", "got", "records got", "record sizes (min / median / max)"):
        table.add_column(heading, justify="right")
    for client in clients:
        sizes = [size for _, size in client.records]
        table.add_row(
            client.name,
            "none" if client.handshake is None else _ms(client.handshake),
            _ms(client.first_echo),
            f"{client.bytes_up:,} B",
            f"{client.bytes_down:,} B",
            str(len(sizes)) if sizes else "no TLS",
            f"{min(sizes):,} / {statistics.median(sizes):,.0f} / {max(sizes):,} B" if sizes else "",
        )
    console.print(table)
    table = Table(title="Strangers", title_justify="left")
    for heading, justify in (("who", "left"), ("sent", "right"), ("got", "right"), ("why", "left"), ("saw", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]  # two of rich's literals
    for stranger in strangers:
        table.add_row(
            stranger.name, f"{stranger.bytes_up:,} B", f"{stranger.bytes_down:,} B", stranger.reason, stranger.saw
        )
    console.print(table)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


def require_matplotlib() -> None:
    """Raise ConfigError with what to do when there is nothing to draw with."""
    try:
        import matplotlib.figure  # noqa: F401  # only whether it is there
    except ImportError:
        raise ConfigError(
            "--plot needs matplotlib, which is not installed: python3 -m pip install 'telemt-trio[plot]'"
        ) from None


def draw(clients: Sequence[ClientRow], path: str) -> None:
    """Draw the size of every TLS record a client got over the time it came, as a PNG file at ``path``.

    Raises ConfigError when the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    for client in clients:
        if client.records:
            times, sizes = zip(*client.records, strict=True)
            axes.plot([1000 * at for at in times], sizes, ".", markersize=4, label=client.name)
    axes.set(
        xlabel="ms since the connection stood", ylabel="payload of a record, bytes", title="TLS records to the client"
    )
    axes.set_ylim(bottom=0)
    axes.legend()
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise ConfigError(f"--plot: cannot write {path}: {error.strerror}") from None
