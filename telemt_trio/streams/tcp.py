"""A plain socket as a trio stream.

:class:`trio.SocketStream` wants a trio socket and sets options of its own (TCP_NOTSENT_LOWAT); the relay's sockets are
plain ones, and this is how they meet code that speaks streams.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, final

import trio

from telemt_trio.net.sockets import close_socket
from telemt_trio.streams.conflict import ConflictDetector

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TCPStream"]

_READ_SIZE: Final = 65536


@final
class TCPStream(trio.abc.HalfCloseableStream):
    """A stream over the connected ``sock``, which becomes non-blocking and is closed with the stream.

    Errors of the connection are :class:`trio.BrokenResourceError` from the OSError. A cancelled :meth:`send_all` leaves
    an unknown part sent, and the sending side broken; a cancelled receive loses nothing.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        #: The socket itself, for options and addresses.
        self.socket = sock
        self._sending = ConflictDetector("another task is sending on this stream")
        self._receiving = ConflictDetector("another task is receiving from this stream")
        self._broken = False
        self._finished = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send ``data``, in one write where the socket takes it."""
        with self._sending:
            self._check_sendable()
            left = memoryview(data)
            waited = False
            try:
                with self._stream_errors():
                    await trio.lowlevel.checkpoint_if_cancelled()
                    while left:
                        try:
                            left = left[self.socket.send(left) :]
                        except BlockingIOError:
                            await trio.lowlevel.wait_writable(self.socket)
                            waited = True
            except BaseException:
                self._broken = self._broken or len(left) > 0
                raise
            if not waited:
                await trio.lowlevel.cancel_shielded_checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the socket is writable."""
        with self._sending:
            self._check_sendable()
            await trio.lowlevel.wait_writable(self.socket)

    async def send_eof(self) -> None:
        """Send FIN; receiving goes on. Doing so twice is allowed."""
        with self._sending:
            self._check_open()
            await trio.lowlevel.checkpoint()
            if not self._finished:
                self._check_sendable()
                with self._stream_errors():
                    self.socket.shutdown(socket.SHUT_WR)
                self._finished = True

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Up to ``max_bytes`` bytes (65536 if not given), as soon as there are any; b"" is the end of the stream."""
        size = _READ_SIZE if max_bytes is None else max_bytes
        if size < 1:
            raise ValueError("max_bytes must be at least 1")
        with self._receiving:
            self._check_open()
            await trio.lowlevel.checkpoint_if_cancelled()
            with self._stream_errors():
                try:
                    data = self.socket.recv(size)
                except BlockingIOError:
                    return await self._receive_later(size)
            await trio.lowlevel.cancel_shielded_checkpoint()  # a cancellation here would lose what was just read
            return data

    async def _receive_later(self, size: int) -> bytes:
        while True:
            await trio.lowlevel.wait_readable(self.socket)
            try:
                return self.socket.recv(size)
            except BlockingIOError:  # woken for nothing: the kernel dropped a segment with a bad checksum
                continue

    async def aclose(self) -> None:
        """Close the socket. Whoever waits for it wakes with ClosedResourceError."""
        close_socket(self.socket)
        await trio.lowlevel.checkpoint()

    @contextmanager
    def _stream_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._check_open()
            raise trio.BrokenResourceError(f"the connection broke: {error.strerror}") from error

    def _check_open(self) -> None:
        if self.socket.fileno() < 0:
            raise trio.ClosedResourceError("this stream was closed")

    def _check_sendable(self) -> None:
        self._check_open()
        if self._finished:
            raise trio.ClosedResourceError("the end of this stream was sent")
        if self._broken:
            raise trio.BrokenResourceError("an earlier send was cut short")
