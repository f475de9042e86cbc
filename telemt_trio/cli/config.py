"""``telemt-trio config``: check a file, explain a key, show what holds."""

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import click

from telemt_trio.cli.app import DEFAULT_CONFIG, config_path, takes_config

if TYPE_CHECKING:
    from telemt_trio.config.load import Loaded
    from telemt_trio.config.model import ProxyConfig

__all__ = ["config", "load_reporting"]


def load_reporting(ctx: click.Context, *given: Path | None) -> "Loaded":
    """Load the file that was asked for, its warnings on stderr."""
    from telemt_trio.config.load import load_config

    loaded = load_config(config_path(ctx, *given) or DEFAULT_CONFIG)
    for warning in loaded.warnings:
        click.echo(f"telemt-trio: warning: {warning}", err=True)
    return loaded


@click.group()
def config() -> None:
    """Check, explain or show the configuration."""


@config.command()
@click.argument("config_file", metavar="[CONFIG]", required=False, type=click.Path(path_type=Path))
@takes_config
@click.pass_context
def check(ctx: click.Context, config_file: Path | None, config_option: Path | None) -> None:
    """Read a file as strictly as at start, and report every mistake in it at once."""
    loaded = load_reporting(ctx, config_file, config_option)
    if loaded.path.stat().st_mode & stat.S_IROTH:
        click.echo(
            f"telemt-trio: warning: everyone on this machine can read {loaded.path} and its secrets: "
            f"chmod 600 {loaded.path}",
            err=True,
        )
    click.echo(f"{loaded.path}: good; {_summary(loaded.config)}")


def _summary(config: "ProxyConfig") -> str:
    modes = config.general.modes
    on = [name for name in ("tls", "secure", "classic") if getattr(modes, name)]
    places = [
        f"[{one.ip}]:{one.port}" if ":" in one.ip else f"{one.ip}:{one.port}" for one in config.server.addresses()
    ]
    enabled = sum(map(config.access.is_enabled, config.access.users))
    users = f"{enabled} of {len(config.access.users)} users enabled"
    return f"{users}, modes {', '.join(on)}, listening on {', '.join(places)}"


@config.command()
@click.argument("key")
def explain(key: str) -> None:
    """Say what KEY does: server.port, or port, or a whole section such as server."""
    from telemt_trio.config.reference import explain as explanation

    click.echo(explanation(key))


@config.command()
@click.argument("config_file", metavar="[CONFIG]", required=False, type=click.Path(path_type=Path))
@takes_config
@click.pass_context
def show(ctx: click.Context, config_file: Path | None, config_option: Path | None) -> None:
    """Print the configuration that holds, defaults included and secrets hidden."""
    from telemt_trio.config.effective import effective_toml

    click.echo(effective_toml(load_reporting(ctx, config_file, config_option).config), nl=False)
