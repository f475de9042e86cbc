"""The record layer of FakeTLS as a stream: payload on top, application data records below.

It starts behind the handshake; the hellos are exchanged on the inner stream by whoever opens the connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import trio

from telemt_trio.errors import RemoteProtocolError
from telemt_trio.streams.layer import Layer
from telemt_trio.wire.tls_records import RecordReader, RecordWriter

if TYPE_CHECKING:
    from telemt_trio.streams.layer import Buffer

__all__ = ["FakeTLSStream"]


@final
class FakeTLSStream(Layer):
    """Records over ``inner``, both ways.

    ``reader`` and ``writer`` are given where the handshake has begun them, as :attr:`Opening.reader
    <telemt_trio.wire.opening.Opening.reader>` is. The end of a :meth:`send_all` ends a record, and an empty one sends
    none. An alert of the peer is the end of its stream. A record it may not send raises
    :class:`trio.BrokenResourceError` from :class:`telemt_trio.errors.RemoteProtocolError`, behind all payload that came
    before. Closing sends no alert: a client's record layer stalls on one.
    """

    def __init__(
        self,
        inner: trio.abc.HalfCloseableStream,
        reader: RecordReader | None = None,
        writer: RecordWriter | None = None,
    ) -> None:
        super().__init__(inner)
        self._reader = reader or RecordReader()
        self._writer = writer or RecordWriter()

    def _encode(self, data: Buffer) -> Buffer:
        return b"".join(self._writer.encode(memoryview(data)))

    async def _receive(self, max_bytes: int | None) -> bytes | bytearray:
        # Records only add bytes, so reading max_bytes of them never gives more payload than was asked for.
        while not self._reader.ended:
            data = await self.inner.receive_some(max_bytes)
            if not data:
                return b""
            payload = self._decode(data)
            if payload:
                return bytes(payload)
        await trio.lowlevel.checkpoint()
        self._decode(b"")  # the error that stood behind the last payload, if there was one
        return b""

    def _decode(self, data: Buffer) -> Buffer:
        try:
            return self._reader.decode(data)
        except RemoteProtocolError as error:
            raise trio.BrokenResourceError("the peer broke the record layer") from error
