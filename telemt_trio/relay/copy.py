"""The generic driver: a direction between two trio streams, whatever they are made of.

The codecs sit inside the stream adapters (:mod:`telemt_trio.streams`); what crosses here is payload. It is for ends
that are no sockets of ours: TLS carriers, foreign streams, adapters that hold data back. Where both ends are sockets,
:func:`telemt_trio.relay.drive.drive` does the same for half the price.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import trio

from telemt_trio.errors import RemoteProtocolError
from telemt_trio.relay.end import EndReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemt_trio.relay.meter import Meter

__all__ = ["StreamPipe", "copy"]


@attrs.define(eq=False)
class StreamPipe:
    """One direction between streams; the counterpart of :class:`telemt_trio.relay.pipe.Pipe`.

    ``bytes`` and ``messages`` count what the sink accepted; a chunk that was cut short by a cancellation counts as not
    delivered, because nobody can know how much of it was. ``meter`` needs ``clock``.
    """

    source: trio.abc.ReceiveStream
    sink: trio.abc.HalfCloseableStream
    meter: Meter | None = None
    clock: Callable[[], float] = trio.current_time
    read_size: int = 65536
    source_lost: EndReason = EndReason.CLIENT_LOST
    sink_lost: EndReason = EndReason.UPSTREAM_LOST
    bytes: int = 0
    messages: int = 0
    _charged: int = 0

    def settle(self) -> None:
        """The relay is over: the meter gets back what was charged and never delivered. Idempotent."""
        if self.meter is not None and self._charged:
            self.meter.refund(self._charged)
        self._charged = 0


async def copy(pipe: StreamPipe) -> EndReason:
    """Move ``pipe`` until it ends; returns why. The same contract as :func:`telemt_trio.relay.drive.drive`."""
    while True:
        size = pipe.read_size
        if pipe.meter is not None:
            while (room := pipe.meter.room(now := pipe.clock())) <= 0:  # noqa: ASYNC110  # until a known time
                await trio.sleep_until(pipe.meter.ready_at(now))
            size = min(size, room)
        try:
            data = await pipe.source.receive_some(size)
        except trio.BrokenResourceError as broken:
            return EndReason.PROTOCOL if isinstance(broken.__cause__, RemoteProtocolError) else pipe.source_lost
        if pipe.meter is not None and data:
            pipe.meter.charge(len(data))
            pipe._charged = len(data)  # noqa: SLF001  # the driver and its direction are one thing
        try:
            if not data:
                await pipe.sink.send_eof()
                return EndReason.FINISHED
            await pipe.sink.send_all(data)
        except trio.BrokenResourceError:
            return pipe.sink_lost
        pipe._charged = 0  # noqa: SLF001  # see above
        pipe.bytes += len(data)
        pipe.messages += 1
