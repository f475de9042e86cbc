"""A site on loopback that a proxy hands strangers to, for tests and the demo.

It keeps what each visitor sent and behaves as told::

    async with open_fake_front(behaviour=answer(page)) as front:
        ...                        # point a proxy's mask_host and mask_port at front.address
        visit = await front.wait_for(1)
        await visit.ended.wait()
        assert visit.received == hello

A behaviour is an async callable that gets a :class:`Visit`. The ones here: :func:`echo`, :func:`answer`, :func:`alert`,
:func:`answer_at_end`, :func:`half_close`, :func:`collect`, :func:`flood`, :func:`close_after`, :func:`reset_after`.
"""

from __future__ import annotations

import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

__all__ = [
    "ALERT",
    "Behaviour",
    "FakeFront",
    "Visit",
    "alert",
    "answer",
    "answer_at_end",
    "close_after",
    "collect",
    "echo",
    "flood",
    "half_close",
    "open_fake_front",
    "reset_after",
]

ALERT = bytes.fromhex("15030300020228")  # fatal handshake_failure: what a TLS server says to noise
_READ = 65536
_LINGER_ZERO = struct.pack("ii", 1, 0)


@attrs.define(eq=False)
class Visit:
    """One connection to the front, and what it brought.

    ``received`` is everything that came, ``sent_size`` how many bytes went back. ``end`` is how the visitor's stream
    ended: ``"eof"``, ``"reset"``, or ``"closed"`` where the front did not wait for it; set once the visit ``ended``.
    """

    stream: trio.SocketStream = attrs.field(repr=False)
    received: bytearray = attrs.field(factory=bytearray, repr=False)
    sent_size: int = 0
    end: str = ""
    ended: trio.Event = attrs.field(factory=trio.Event, repr=False)

    async def receive(self, limit: int = _READ) -> bytes:
        """The next bytes; empty once the visitor has ended its stream. May raise ``trio.BrokenResourceError``."""
        data = await self.stream.receive_some(limit)
        self.received += data
        if not data:
            self.end = "eof"
        return data

    async def send(self, data: bytes) -> None:
        """Send everything. May raise ``trio.BrokenResourceError``."""
        await self.stream.send_all(data)
        self.sent_size += len(data)


Behaviour: TypeAlias = "Callable[[Visit], Awaitable[None]]"


@attrs.define(eq=False)
class FakeFront:
    """A front and its visits, in the order they came. :func:`open_fake_front` makes one that listens."""

    address: tuple[str, int]
    behaviour: Behaviour = attrs.field(repr=False)
    visits: list[Visit] = attrs.field(factory=list)
    _arrivals: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot, repr=False)

    async def wait_for(self, count: int) -> Visit:
        """Wait until ``count`` visitors have come, and return that visit (1 is the first)."""
        while len(self.visits) < count:
            await self._arrivals.park()
        return self.visits[count - 1]

    async def serve_stream(self, stream: trio.SocketStream) -> None:
        """Serve one accepted connection and close it."""
        visit = Visit(stream)
        self.visits.append(visit)
        self._arrivals.unpark_all()
        try:
            async with stream:
                await self.behaviour(visit)
        except trio.BrokenResourceError:
            visit.end = "reset"
        finally:
            visit.end = visit.end or "closed"
            visit.ended.set()


async def collect(visit: Visit) -> None:
    """Read everything and say nothing."""
    while await visit.receive():
        pass


async def echo(visit: Visit) -> None:
    """Send back every byte as it comes, and close when the visitor has ended."""
    while data := await visit.receive():
        await visit.send(data)


def answer(data: bytes) -> Behaviour:
    """Answer the first bytes of a visitor with ``data``, then read until it ends."""

    async def behave(visit: Visit) -> None:
        if await visit.receive():
            await visit.send(data)
            await collect(visit)

    return behave


def alert(data: bytes = ALERT) -> Behaviour:
    """Answer the first bytes with a TLS alert and close, as servers do with what is no hello."""

    async def behave(visit: Visit) -> None:
        if await visit.receive():
            await visit.send(data)
            await visit.stream.send_eof()
            await collect(visit)

    return behave


def answer_at_end(data: bytes) -> Behaviour:
    """Send ``data`` only once the visitor has ended its stream, as servers of old protocols do."""

    async def behave(visit: Visit) -> None:
        await collect(visit)
        await visit.send(data)

    return behave


def half_close(data: bytes = b"") -> Behaviour:
    """Send ``data``, end this side at once, and go on reading."""

    async def behave(visit: Visit) -> None:
        await visit.send(data)
        await visit.stream.send_eof()
        await collect(visit)

    return behave


def flood(size: int) -> Behaviour:
    """Answer the first bytes with ``size`` zero bytes, then read until the visitor ends."""

    async def behave(visit: Visit) -> None:
        if await visit.receive():
            while visit.sent_size < size:
                await visit.send(bytes(min(_READ, size - visit.sent_size)))
            await collect(visit)

    return behave


def close_after(size: int) -> Behaviour:
    """Read ``size`` bytes and close; more is met with a reset, as by any server that has gone."""

    async def behave(visit: Visit) -> None:
        while len(visit.received) < size and await visit.receive(size - len(visit.received)):
            pass

    return behave


def reset_after(size: int) -> Behaviour:
    """Read ``size`` bytes and reset the connection."""

    async def behave(visit: Visit) -> None:
        await close_after(size)(visit)
        visit.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)

    return behave


@asynccontextmanager
async def open_fake_front(
    host: str = "127.0.0.1", port: int = 0, *, behaviour: Behaviour = echo
) -> AsyncIterator[FakeFront]:
    """A :class:`FakeFront` that listens while the block runs; leaving it closes every connection.

    ``port`` 0 picks a free one.
    """
    listeners = await trio.open_tcp_listeners(port, host=host, backlog=1024)
    front = FakeFront(listeners[0].socket.getsockname()[:2], behaviour)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, front.serve_stream, listeners)
        yield front
        nursery.cancel_scope.cancel()
