"""Pairs of connected streams, plain and dribbling, for the contracts every adapter keeps."""

import socket

import pytest
import trio
from trio.testing import memory_stream_pair

from telemt_trio.streams.tcp import TCPStream


class Dribble(trio.abc.HalfCloseableStream):
    """A stream that delivers its first ``left`` bytes one at a time."""

    def __init__(self, inner, left=4096):
        self.inner = inner
        self.left = left

    async def send_all(self, data):
        await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self):
        await self.inner.wait_send_all_might_not_block()

    async def send_eof(self):
        await self.inner.send_eof()

    async def receive_some(self, max_bytes=None):
        # What is no number of bytes is the inner stream's to refuse.
        most = 1 if self.left and (max_bytes is None or (isinstance(max_bytes, int) and max_bytes > 1)) else max_bytes
        data = await self.inner.receive_some(most)
        self.left = max(0, self.left - len(data))
        return data

    async def aclose(self):
        await self.inner.aclose()


class ScriptedStream(trio.abc.HalfCloseableStream):
    """A stream that says ``script`` (bytes, or exceptions to raise), then ends; what it is sent goes to ``sent``."""

    def __init__(self, *script):
        self.script = list(script)
        self.sent = []
        self.closed = self.finished = False
        self.gate = None

    async def send_all(self, data):
        if self.gate is not None:
            await self.gate.wait()
        await trio.lowlevel.checkpoint()
        self.sent.append(bytes(data))

    async def wait_send_all_might_not_block(self):
        await trio.lowlevel.checkpoint()

    async def send_eof(self):
        await trio.lowlevel.checkpoint()
        self.finished = True

    async def receive_some(self, max_bytes=None):
        await trio.lowlevel.checkpoint()
        if not self.script:
            return b""
        step = self.script.pop(0)
        if isinstance(step, BaseException):
            raise step
        if max_bytes is not None and len(step) > max_bytes:
            self.script.insert(0, step[max_bytes:])
        return step[:max_bytes]

    async def aclose(self):
        self.closed = True
        await trio.lowlevel.checkpoint()


@pytest.fixture(scope="session")
def scripted():
    """``scripted(*steps)``: an inner stream that says so."""
    return ScriptedStream


def _unix():
    return socket.socketpair()


def _tcp():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return near, far


SOCKETS = {"tcp": _tcp, "unix": _unix}


def fill(stream):
    """Send until nothing more fits; what was sent means nothing."""
    try:
        while True:
            stream.socket.send(bytes(65536))
    except BlockingIOError:
        return


@pytest.fixture(params=sorted(SOCKETS))
def socket_pair(request):
    """Two connected sockets."""
    pair = SOCKETS[request.param]()
    yield pair
    for sock in pair:
        sock.close()


@pytest.fixture(params=sorted(SOCKETS))
def socket_streams(request):
    """Makes pairs of :class:`TCPStream`."""
    return lambda: tuple(map(TCPStream, SOCKETS[request.param]()))


@pytest.fixture
def full_streams():
    """Makes pairs of :class:`TCPStream` that no byte fits into until the other side reads.

    Unix sockets, because a full TCP socket has room again as soon as the kernel has moved its bytes to the other side.
    """

    def make():
        streams = tuple(map(TCPStream, _unix()))
        for stream in streams:
            fill(stream)
        return streams

    return make


def _dribbled():
    return tuple(map(Dribble, memory_stream_pair()))


def _sockets():
    return tuple(map(TCPStream, socket.socketpair()))


@pytest.fixture(params=["memory", "dribbled", "sockets"])
def inner_pair(request):
    """Makes the pairs of inner streams that an adapter is put on."""
    return {"memory": memory_stream_pair, "dribbled": _dribbled, "sockets": _sockets}[request.param]
