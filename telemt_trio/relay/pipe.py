"""One direction of a relay: source end, decoder, ciphers, meter, encoder, sink end.

::

    source --recv_into--> scratch --decode--> payload --ciphers--> payload --encode--> [header, payload, ..]
                                                 |                                             |
                                          counted, metered                                  sendmsg --> sink

A pipe has no awaits: :meth:`Pipe.transfer` does as much as one read allows and says what it waits for. A driver waits
and calls again (:mod:`telemt_trio.relay.drive`). Every part but the two ends may be absent, and an absent part costs
nothing: in fast mode the stream from the datacenter has no cipher, without TLS there is neither decoder nor encoder.

A cipher is ``update_into(data, out)`` of an AES-CTR context. The first writes into the work buffer, the second in
place.
"""

from __future__ import annotations

import enum
import socket
from typing import TYPE_CHECKING, Final, Protocol

from telemt_trio.errors import RemoteProtocolError
from telemt_trio.relay.end import EndReason
from telemt_trio.wire.tls_records import HEADER_SIZE, payload_accepted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from telemt_trio.relay.ends import ReadEnd, Scratch, WriteEnd
    from telemt_trio.relay.meter import Meter

__all__ = ["Decoder", "Encoder", "Pipe", "Verdict"]

# A sink that took little is offered little: what it does not take has to be copied and kept.
_MIN_READ: Final = 65536


class Verdict(enum.Enum):
    """What a pipe waits for."""

    MORE = enum.auto()  # nothing: there is probably more to read
    READ = enum.auto()
    WRITE = enum.auto()
    WAIT = enum.auto()  # the meter, until Pipe.ready_at
    END = enum.auto()  # over, see Pipe.why


_MORE, _READ, _WRITE, _WAIT, _END = Verdict


class Decoder(Protocol):
    """Strips a format off a stream: :class:`telemt_trio.wire.tls_records.RecordReader`."""

    ended: bool

    def decode(self, data: memoryview, /) -> bytes | memoryview:
        """The payload in ``data``; empty when there is none. Raises RemoteProtocolError.

        Where payload stands before an error, the error is raised by every later call, and ``ended`` is True at once.
        """
        ...


class Encoder(Protocol):
    """Puts a format around a stream, header and payload in turn: ``RecordWriter``."""

    def encode(self, data: bytes | memoryview, /) -> Sequence[bytes | memoryview]:
        """``data`` with headers of HEADER_SIZE bytes, each before its payload."""
        ...


class Pipe:
    """See the module. Counts are exact: payload bytes the sink accepted, and how many chunks they came in.

    While a slow sink leaves a rest, its payload counts already; :meth:`settle` takes back what was never delivered.

    ``source_lost`` and ``sink_lost`` are the reasons to give when one of the ends breaks. ``read_size`` (bytes) is at
    most the scratch buffer's size. ``meter`` needs ``clock``.
    """

    __slots__ = (
        "_blocked",
        "_ciphers",
        "_clock",
        "_decoder",
        "_encoder",
        "_left",
        "_left_buffers",
        "_left_payload",
        "_left_sent",
        "_meter",
        "_most",
        "_reads",
        "_recv_into",
        "_send",
        "_sendmsg",
        "_sink_lost",
        "_source_lost",
        "_work",
        "bytes",
        "messages",
        "ready_at",
        "sink",
        "source",
        "why",
    )

    def __init__(
        self,
        source: ReadEnd,
        sink: WriteEnd,
        scratch: Scratch,
        *,
        decoder: Decoder | None = None,
        ciphers: Sequence[Callable[[bytes | memoryview, memoryview], int]] = (),
        encoder: Encoder | None = None,
        meter: Meter | None = None,
        clock: Callable[[], float] | None = None,
        read_size: int = 65536,
        source_lost: EndReason = EndReason.CLIENT_LOST,
        sink_lost: EndReason = EndReason.UPSTREAM_LOST,
    ) -> None:
        self.source = source
        self.sink = sink
        self._recv_into = source.recv_into
        self._send = sink.send
        self._sendmsg = sink.sendmsg
        self._decoder = decoder
        self._ciphers = ciphers
        self._encoder = encoder
        self._meter = meter
        self._clock = clock
        self._most = scratch.read[:read_size]
        self._reads = self._most
        self._work = scratch.work
        self._source_lost = source_lost
        self._sink_lost = sink_lost
        self._left: memoryview | None = None  # wire bytes the sink has yet to take, our own copy
        self._left_buffers: Sequence[bytes | memoryview] = ()
        self._left_sent = 0
        self._left_payload = 0
        self.bytes = 0
        self.messages = 0
        self.ready_at = 0.0
        self._blocked = _WRITE  # what a sink that takes no more makes us wait for
        #: Why the pipe ended; meaningful once :meth:`transfer` answered END.
        self.why = EndReason.FINISHED

    def start(self) -> Verdict:
        """Send what the pipe was loaded with. No read is wasted on finding out that the source has nothing yet."""
        if self._left is not None and not self._flush(self._left):
            return self._blocked
        if self._decoder is not None and self._decoder.ended:
            return self._decoded_all(self._decoder)
        return _READ

    def transfer(self) -> Verdict:  # noqa: C901, PLR0912  # one chunk, one call: each more is 1 % of a message
        """Flush what is left, else read once, transform and send. Never blocks, never awaits."""
        if self._left is not None and not self._flush(self._left):
            return self._blocked
        decoder = self._decoder
        if decoder is not None and decoder.ended:
            return self._decoded_all(decoder)
        window = self._reads
        if self._meter is not None:
            now = self._clock()  # type: ignore[misc]  # a meter comes with a clock
            room = self._meter.room(now)
            if room <= 0:
                self.ready_at = self._meter.ready_at(now)
                return _WAIT
            window = window[:room]
        try:
            size = self._recv_into(window)
        except BlockingIOError:
            return _READ
        except OSError:
            return self._end(self._source_lost)
        if not size:
            return self._finish()
        data: bytes | memoryview = window[:size]
        if decoder is not None:
            try:
                data = decoder.decode(data)  # type: ignore[arg-type]  # still the view of the scratch buffer
            except RemoteProtocolError:
                return self._end(EndReason.PROTOCOL)
            if not data:
                return self._decoded_all(decoder) if decoder.ended else _READ
        payload = len(data)
        if self._meter is not None:
            self._meter.charge(payload)
        if self._ciphers:
            out = self._work[:payload]
            for update_into in self._ciphers:
                update_into(data, out)
                data = out
        if not self._write(data, payload):
            return self._blocked
        if decoder is not None and decoder.ended:
            return self._decoded_all(decoder)
        if size < len(window):
            return _READ
        if len(self._reads) < len(self._most):
            self._reads = self._most[: 2 * len(self._reads)]
        return _MORE

    def preload(self, wire: bytes, payload: int) -> None:
        """Put bytes before everything that will be read: ``wire`` as the sink gets it, holding ``payload`` bytes of
        payload.

        Call once, before the first :meth:`transfer`, which sends them. The meter is charged and not asked: these bytes
        have come already.
        """
        self.bytes += payload
        self.messages += payload > 0
        if self._meter is not None and payload:
            self._meter.charge(payload)
        self._keep((wire[: len(wire) - payload], wire[len(wire) - payload :]), 0, payload)
        self._reads = self._most

    def settle(self) -> None:
        """The relay is over: what the sink never took no longer counts, and the meter gets it back. Idempotent."""
        if self._left is not None:
            undelivered = self._left_payload - payload_accepted(self._left_buffers, self._left_sent)
            self._left = None
            self.bytes -= undelivered
            self.messages -= 0 < undelivered == self._left_payload
            if self._meter is not None:
                self._meter.refund(undelivered)

    def _write(self, data: bytes | memoryview, payload: int) -> bool:
        """Send one chunk; True when the sink took all of it. What it did not take is copied, once."""
        self.messages += 1
        self.bytes += payload
        buffers: Sequence[bytes | memoryview] = (b"", data)
        sent = 0
        try:
            if self._encoder is None:
                sent = self._send(data)
                if sent == payload:
                    return True
            else:
                buffers = self._encoder.encode(data)
                sent = self._sendmsg(buffers)
                if sent == payload + HEADER_SIZE * (len(buffers) >> 1):
                    return True
        except BlockingIOError:
            pass
        except OSError:
            self._blocked = self._end(self._sink_lost)
        self._keep(buffers, sent, payload)
        return False

    def _keep(self, buffers: Sequence[bytes | memoryview], sent: int, payload: int) -> None:
        """Remember what the sink did not take; only the lengths of ``buffers`` stay valid, the bytes are copied."""
        self._left = memoryview(b"".join(buffers))[sent:]
        self._left_buffers = buffers
        self._left_sent = sent
        self._left_payload = payload
        self._reads = self._most[: max(_MIN_READ, sent)]

    def _flush(self, left: memoryview) -> bool:
        """Send what is left; True when nothing is."""
        try:
            sent = self._send(left)
        except BlockingIOError:
            return False
        except OSError:
            self._blocked = self._end(self._sink_lost)
            return False
        self._left_sent += sent
        self._left = left[sent:] if sent < len(left) else None
        return self._left is None

    def _decoded_all(self, decoder: Decoder) -> Verdict:
        """The decoder will give no more: an alert, which is an end like any other, or records that no client sends."""
        try:
            decoder.decode(memoryview(b""))
        except RemoteProtocolError:
            return self._end(EndReason.PROTOCOL)
        return self._finish()

    def _finish(self) -> Verdict:
        """The source has ended and nothing is left: pass the end on, if it is one the decoder agrees to."""
        decoder = self._decoder
        if decoder is not None and decoder.ended:
            try:
                decoder.decode(memoryview(b""))
            except RemoteProtocolError:
                return self._end(EndReason.PROTOCOL)
        try:
            self.sink.shutdown(socket.SHUT_WR)
        except OSError:
            return self._end(self._sink_lost)
        return self._end(EndReason.FINISHED)

    def _end(self, why: EndReason) -> Verdict:
        self.why = why
        return _END
