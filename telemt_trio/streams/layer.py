"""What the adapters share: a stream over a stream, with a codec between.

The inner stream does the waiting, so the rules of a layer are few. A codec step is synchronous and runs right before
the inner send or right after the inner receive, never with an await in between:

* a cancelled receive has not touched the codec, and loses nothing;
* a cancelled send has: the codec stands behind bytes of which an unknown part is out. Nothing sensible can follow them,
  so the sending side is broken from then on, while receiving goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from telemt_trio.streams.conflict import ConflictDetector

if TYPE_CHECKING:
    from typing import TypeAlias

    Buffer: TypeAlias = bytes | bytearray | memoryview

__all__ = ["Layer"]


class Layer(trio.abc.HalfCloseableStream):
    """A stream over ``inner``, which it closes with itself. Made to be derived from by the adapters of this room alone.

    Sending after a cancelled or failed send raises :class:`trio.BrokenResourceError`, after :meth:`send_eof` or
    :meth:`aclose` :class:`trio.ClosedResourceError`; a second task in the same direction gets
    :class:`trio.BusyResourceError`.
    """

    def __init__(self, inner: trio.abc.HalfCloseableStream) -> None:
        #: The stream below. Whoever uses it directly gets between the codec and its peer.
        self.inner = inner
        self._sending = ConflictDetector("another task is sending on this stream")
        self._receiving = ConflictDetector("another task is receiving from this stream")
        self._closed = False
        self._broken = False
        self._finished = False

    def _encode(self, data: Buffer) -> Buffer:
        """What the inner stream gets for ``data``."""
        return data

    async def _receive(self, max_bytes: int | None) -> bytes | bytearray:
        """What :meth:`receive_some` answers, one task at a time and open."""
        raise NotImplementedError

    async def send_all(self, data: Buffer) -> None:
        """Send ``data``. Cancelled, an unknown part of it is sent and the sending side is broken."""
        with self._sending:
            self._check_sendable()
            wire = self._encode(data)
            try:
                await self.inner.send_all(wire)
            except BaseException:
                self._broken = self._broken or len(wire) > 0
                raise

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the inner stream has room."""
        with self._sending:
            self._check_sendable()
            await self.inner.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """End the stream towards the peer; receiving goes on. Doing so twice is allowed."""
        with self._sending:
            self._check_open()
            if self._finished:
                await trio.lowlevel.checkpoint()
                return
            self._check_sendable()
            await self.inner.send_eof()
            self._finished = True

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Up to ``max_bytes`` bytes, as soon as there are any; b"" is the end. Cancelled, nothing is lost."""
        with self._receiving:
            self._check_open()
            return await self._receive(max_bytes)

    async def aclose(self) -> None:
        """Close this stream and the inner one, at once if cancelled. Whoever waits wakes with ClosedResourceError."""
        self._closed = True
        await self.inner.aclose()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this stream was closed")

    def _check_sendable(self) -> None:
        self._check_open()
        if self._finished:
            raise trio.ClosedResourceError("the end of this stream was sent")
        if self._broken:
            raise trio.BrokenResourceError("an earlier send was cut short")
