"""Bytes put back before a stream: what was read to find out who is talking, given to who talks."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import trio

from telemt_trio.streams.layer import Layer

if TYPE_CHECKING:
    from telemt_trio.streams.layer import Buffer

__all__ = ["RewindStream"]


@final
class RewindStream(Layer):
    """``inner``, with ``first`` before what it has to say. Sending passes through."""

    def __init__(self, inner: trio.abc.HalfCloseableStream, first: Buffer) -> None:
        super().__init__(inner)
        self._first = bytes(first)

    async def _receive(self, max_bytes: int | None) -> bytes | bytearray:
        if not self._first:
            return await self.inner.receive_some(max_bytes)
        if max_bytes is not None and max_bytes < 1:
            raise ValueError("max_bytes must be at least 1")
        # First the checkpoint, which may be cancelled or find the stream closed, then the bytes.
        await trio.lowlevel.checkpoint()
        self._check_open()
        taken, self._first = self._first[:max_bytes], self._first[max_bytes:] if max_bytes is not None else b""
        return taken
