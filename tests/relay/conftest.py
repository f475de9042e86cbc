"""Sockets, meters, and one way to lay a direction for every driver there is."""

import socket
from functools import partial

import attrs
import pytest
import trio

from telemt_trio.events import EndReason
from telemt_trio.relay.both import relay
from telemt_trio.relay.copy import StreamPipe, copy
from telemt_trio.relay.drive import drive
from telemt_trio.relay.ends import scratch
from telemt_trio.relay.pipe import Pipe
from telemt_trio.relay.switchboard import Switchboard
from telemt_trio.streams.faketls import FakeTLSStream
from telemt_trio.streams.obfuscated import ObfuscatedStream
from telemt_trio.streams.tcp import TCPStream
from telemt_trio.wire.tls_records import RecordReader, RecordWriter


@pytest.fixture
def tcp_pair():
    """Makes connected, non-blocking TCP sockets; all are closed behind the test."""
    made = []

    def make():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            near = socket.create_connection(listener.getsockname())
            far, _ = listener.accept()
        for sock in (near, far):
            sock.setblocking(False)
            made.append(sock)
        return near, far

    yield make
    for sock in made:
        sock.close()


@attrs.define(eq=False)
class Allowance:
    """A meter that allows ``per_second`` bytes at the start of each second, as a whole."""

    clock: object
    per_second: int
    started: float = attrs.field(init=False)
    charged: int = 0
    refunded: int = 0

    def __attrs_post_init__(self):
        self.started = self.clock()

    def room(self, now):
        return (int(now - self.started) + 1) * self.per_second - self.charged + self.refunded

    def ready_at(self, now):
        return self.started + int(now - self.started) + 1

    def charge(self, size):
        assert 0 < size <= self.room(self.clock())
        self.charged += size

    def refund(self, size):
        self.refunded += size


@pytest.fixture(scope="session")
def allowance():
    return Allowance


@attrs.define
class Side:
    """One end of a relay: its socket, and how its stream is wrapped. Ciphers are contexts, used up by one direction."""

    sock: socket.socket
    records: bool = False
    decrypt: object = None
    encrypt: object = None

    @property
    def reader(self):
        return RecordReader() if self.records else None

    @property
    def writer(self):
        return RecordWriter() if self.records else None

    def stream(self):
        stream = TCPStream(self.sock)
        if self.records:
            stream = FakeTLSStream(stream)
        return ObfuscatedStream(stream, self.decrypt, self.encrypt)


LOST_UP = {"source_lost": EndReason.CLIENT_LOST, "sink_lost": EndReason.UPSTREAM_LOST}
LOST_DOWN = {"source_lost": EndReason.UPSTREAM_LOST, "sink_lost": EndReason.CLIENT_LOST}


def lay_pipe(source, sink, **options):
    ciphers = [context.update_into for context in (source.decrypt, sink.encrypt) if context is not None]
    return Pipe(
        source.sock, sink.sock, scratch(), decoder=source.reader, ciphers=ciphers, encoder=sink.writer, **options
    )


def lay_pipes(client, upstream, **options):
    up = lay_pipe(client, upstream, **LOST_UP, **options)
    return up, lay_pipe(upstream, client, **LOST_DOWN, **options)


def lay_streams(client, upstream, **options):
    near, far = client.stream(), upstream.stream()
    return StreamPipe(near, far, **LOST_UP, **options), StreamPipe(far, near, **LOST_DOWN, **options)


def lay_stream(source, sink, **options):
    return StreamPipe(source.stream(), sink.stream(), **options)


async def on_a_board(up, down, ending):
    with Switchboard() as board:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(board.run)
            outcome = await board.relay(up, down, ending)
            nursery.cancel_scope.cancel()
    return outcome


@attrs.frozen
class OneWay:
    """``lay(source, sink, **options)`` makes a direction, ``await move(direction)`` drives it. ``exact``: its counts
    are, even when it was cut short."""

    lay: object
    move: object
    exact: bool


@attrs.frozen
class BothWays:
    """``lay(client, upstream, **options)`` makes both directions, ``await relay(up, down, ending)`` moves them."""

    lay: object
    relay: object
    exact: bool


ONE_WAY = {"drive": OneWay(lay_pipe, drive, exact=True), "copy": OneWay(lay_stream, copy, exact=False)}
BOTH_WAYS = {
    "drive": BothWays(lay_pipes, partial(relay, drive), exact=True),
    "copy": BothWays(lay_streams, partial(relay, copy), exact=False),
    "switchboard": BothWays(lay_pipes, on_a_board, exact=True),
}


@pytest.fixture(params=sorted(ONE_WAY))
def one_way(request):
    return ONE_WAY[request.param]


@pytest.fixture(params=sorted(BOTH_WAYS))
def both_ways(request):
    return BOTH_WAYS[request.param]


@pytest.fixture(scope="session")
def side():
    return Side


async def receive_all(sock):
    """Everything up to the end of the stream."""
    got = bytearray()
    while True:
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(sock)
            continue
        if not data:
            return bytes(got)
        got += data


async def send_all(sock, data):
    left = memoryview(data)
    while left:
        try:
            left = left[sock.send(left) :]
        except BlockingIOError:
            await trio.lowlevel.wait_writable(sock)


@attrs.frozen
class Talk:
    receive_all: object = receive_all
    send_all: object = send_all


@pytest.fixture(scope="session")
def talk():
    return Talk()
