"""The direct road: a TCP connection from this host to the datacenter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from telemt_trio.errors import ConfigError
from telemt_trio.net.dial import begin_dial, dial
from telemt_trio.upstream.source import SourceAddress

if TYPE_CHECKING:
    import socket

    from telemt_trio.net.dial import Address
    from telemt_trio.upstream.settings import UpstreamSettings

__all__ = ["Dial", "DirectRoad", "Road"]

_IFNAMSIZ = 16  # linux/if.h, with the NUL at the end


class Dial(Protocol):
    """What :func:`telemt_trio.net.dial.dial` looks like; tests put a black hole in its place."""

    async def __call__(
        self, address: Address, *, source: str | None = None, device: str | None = None
    ) -> socket.socket:
        """Connect. Raises OSError; leaves no descriptor behind."""


class Road(Protocol):
    """A way to a datacenter."""

    def begin(self, address: Address) -> socket.socket | None:
        """A socket that connects to ``address`` already, or None from a road that takes more than that."""

    async def connect(self, address: Address, *, scope: str | None = None) -> socket.socket:
        """A plain non-blocking socket, connected to ``address``. The caller closes it and owns the time limit.

        ``scope`` is the one that selected this road. Raises OSError, UpstreamError or ConfigError. A failed or
        cancelled attempt leaves no descriptor behind.
        """


class DirectRoad:
    """Dials from the source that the settings name. Raises ConfigError if they cannot work."""

    def __init__(self, settings: UpstreamSettings, *, dial: Dial = dial) -> None:
        device = settings.bindtodevice or None
        if device is not None and len(device.encode()) >= _IFNAMSIZ:
            raise ConfigError(f"upstream {settings.label}: bindtodevice: a device name has at most 15 bytes")
        self._dial = dial
        self._device = device
        self._source = SourceAddress(settings)
        self._plain = not self._source and device is None

    def begin(self, address: Address) -> socket.socket | None:
        """A connection that was begun, where that takes no more than a system call; see :func:`begin_dial`."""
        return begin_dial(address) if self._plain and self._dial is dial else None

    async def connect(self, address: Address, *, scope: str | None = None) -> socket.socket:  # noqa: ARG002 - see Road
        """See :class:`Road`."""
        if self._plain:
            return await self._dial(address)
        source = self._source.pick(v6=":" in address[0])
        return await self._dial(address, source=source, device=self._device)
