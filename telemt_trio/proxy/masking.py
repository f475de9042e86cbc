"""Hand a stranger to the fronted site: every byte it sent, then both ways, untouched.

The stranger talks to the site itself, so what it learns is what the site tells. When the site cannot be reached it
meets silence. There is never a byte of ours.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import attrs
import trio

from telemt_trio.events import EndReason, Masked, MaskFailed
from telemt_trio.net.dial import dial_any
from telemt_trio.net.sockets import close_socket, peer_address
from telemt_trio.proxy.handshake import receive
from telemt_trio.relay.both import relay
from telemt_trio.relay.drive import drive
from telemt_trio.relay.end import Ending
from telemt_trio.relay.ends import scratch
from telemt_trio.relay.pipe import Pipe

if TYPE_CHECKING:
    import socket

    from telemt_trio.net.dial import Address
    from telemt_trio.proxy.runtime import Runtime
    from telemt_trio.proxy.settings import MaskSettings

__all__ = ["mask"]

_READ_SIZE: Final = 65536
_DRAIN_BYTES: Final = 8192
_DRAIN_LIMIT: Final = 60.0
_LOOP: Final = "the front is this proxy itself; set censorship.mask_host to the real site"


@attrs.define(eq=False)
class _ByteCap:
    """A meter that lets ``left`` bytes pass in one direction and then ends the relay."""

    left: int
    ending: Ending

    def room(self, _now: float) -> int:
        if self.left <= 0:
            self.ending.end(EndReason.QUOTA)
        return self.left

    def ready_at(self, _now: float) -> float:
        return math.inf

    def charge(self, size: int) -> None:
        self.left -= size

    def refund(self, size: int) -> None:
        self.left += size


async def mask(sock: socket.socket, first: bytes, number: int, settings: MaskSettings, runtime: Runtime) -> None:
    """Relay the stranger on ``sock``, whose first bytes were ``first``, to the front until both are done.

    The caller closes ``sock``. Limits of ``settings`` end it silently. Cancellation closes the front's side.
    """
    if not settings.enabled:
        await _silence(sock)
        return
    started = runtime.clocks.mono()
    try:
        with trio.fail_after(settings.connect_limit):
            front = await _connect_front(sock, settings, runtime)
    except (OSError, trio.TooSlowError) as error:
        runtime.emit(MaskFailed(number, _why(error)))
        await _silence(sock)
        return
    try:
        up, down = await _splice(sock, front, first, settings, runtime)
        runtime.emit(Masked(number, up, down, runtime.clocks.mono() - started))
    finally:
        close_socket(front)


async def _connect_front(sock: socket.socket, settings: MaskSettings, runtime: Runtime) -> socket.socket:
    """The front of the operator's choice, at the spelling of the operator: a name from the wire is never dialled."""
    addresses = await runtime.resolver.resolve(settings.host, settings.port)
    ours = peer_address(sock.getsockname())
    if ours in addresses:
        raise OSError(_LOOP)
    front = await dial_any(addresses)
    # 0.0.0.0 and mapped addresses lead here too, and only a connection tells.
    if _peer_of(front) != ours:
        return front
    close_socket(front)
    raise OSError(_LOOP)


def _peer_of(sock: socket.socket) -> Address | None:
    """Where ``sock`` is connected to; None if that has gone already, which the splice will find out."""
    try:
        return peer_address(sock.getpeername())
    except OSError:
        return None


async def _splice(
    sock: socket.socket, front: socket.socket, first: bytes, settings: MaskSettings, runtime: Runtime
) -> tuple[int, int]:
    """Both directions, the bytes already read first. Returns the bytes each way."""
    ending = Ending()
    buffers = scratch()
    cap = settings.max_bytes
    clock = runtime.clocks.mono
    up = Pipe(
        sock, front, buffers, clock=clock, read_size=_READ_SIZE,
        # What came before anybody knew it for a stranger is on us.
        meter=_ByteCap(cap + len(first), ending) if cap else None,
    )  # fmt: skip
    down = Pipe(
        front, sock, buffers, meter=_ByteCap(cap, ending) if cap else None, clock=clock, read_size=_READ_SIZE,
        source_lost=EndReason.UPSTREAM_LOST, sink_lost=EndReason.CLIENT_LOST,
    )  # fmt: skip
    if first:
        up.preload(first, len(first))
    watched = runtime.mask_watch.watch(ending, up, down)
    try:
        with trio.move_on_after(settings.limit):
            await (relay(drive, up, down, ending) if cap else runtime.relay(up, down, ending))
    finally:
        runtime.mask_watch.forget(watched)
    return up.bytes, down.bytes


async def _silence(sock: socket.socket) -> None:
    """Read what the stranger has to say, for a while, and say nothing."""
    left = _DRAIN_BYTES
    with trio.move_on_after(_DRAIN_LIMIT):
        while left > 0:
            try:
                data = await receive(sock, left)
            except OSError:
                return
            if not data:
                return
            left -= len(data)


def _why(error: BaseException) -> str:
    """One line for the operator, about the front alone."""
    if isinstance(error, trio.TooSlowError):
        return "no connection within the time limit"
    return getattr(error, "strerror", None) or str(error)
