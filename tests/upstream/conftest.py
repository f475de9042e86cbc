"""The other ends of the roads: proxies that follow a script, and a dialler that never leaves the process."""

from __future__ import annotations

import errno
import math
import os
import random
import socket

import attrs
import pytest
import trio

from telemt_trio.upstream.datacenters import DATACENTERS
from telemt_trio.upstream.upstreams import Upstreams


@attrs.define
class Scripted:
    """A server whose conversation is fixed. ``heard`` is what it was told, one entry for each ``expect``."""

    address: tuple[str, int]
    heard: list[bytes] = attrs.field(factory=list)


@pytest.fixture
async def serve(nursery):
    """``await serve(script)``: a server on loopback that follows ``script`` with every client.

    A step is ``("expect", n)`` (read n bytes), ``("send", data)``, ``("dribble", data)`` (a byte at a time),
    ``("close",)`` (nothing more will come) or ``("reset",)``; after the last one the server waits for the client to go.
    """
    open_streams = []

    async def start(script, host="127.0.0.1"):
        (listener,) = await trio.open_tcp_listeners(0, host=host)
        server = Scripted(listener.socket.getsockname()[:2])

        async def converse(stream):
            open_streams.append(stream)
            async with stream:
                await follow(stream, script, server.heard)

        nursery.start_soon(trio.serve_listeners, converse, [listener])
        return server

    return start


async def follow(stream, script, heard):
    for verb, *rest in script:
        if verb == "expect":
            data = b""
            while len(data) < rest[0]:
                data += (await stream.receive_some(rest[0] - len(data))) or b"*closed*"
            heard.append(data)
        elif verb == "send":
            await stream.send_all(rest[0])
        elif verb == "dribble":
            for value in rest[0]:
                await stream.send_all(bytes([value]))
                await trio.testing.wait_all_tasks_blocked()
        elif verb == "reset":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return
        elif verb == "close":
            await stream.send_eof()
    try:
        while await stream.receive_some(4096):
            pass
    except trio.BrokenResourceError:
        pass


@attrs.define
class FakeDial:
    """Stands for the dialler. ``outcomes`` maps a host to what happens there, in turn; the last one stays.

    A number is the seconds a connect takes, an exception is raised, ``"hang"`` never ends. Hosts that are not named
    connect at once. ``calls`` has (time, address, options) of every attempt; the sockets that were handed out are ends
    of socket pairs.
    """

    outcomes: dict[str, list[object]] = attrs.field(factory=dict)
    calls: list[tuple[float, tuple[str, int], dict[str, str | None]]] = attrs.field(factory=list)
    pairs: list[tuple[socket.socket, socket.socket]] = attrs.field(factory=list)

    async def __call__(self, address, *, source=None, device=None):
        self.calls.append((trio.current_time(), address, {"source": source, "device": device}))
        script = self.outcomes.get(address[0], [0])
        outcome = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(outcome, Exception):
            await trio.lowlevel.checkpoint()
            raise outcome
        await trio.sleep(math.inf if outcome == "hang" else outcome)
        near, far = socket.socketpair()
        near.setblocking(False)
        self.pairs.append((near, far))
        return near

    @property
    def hosts(self):
        return [address[0] for _, address, _ in self.calls]

    @property
    def left_open(self):
        return sum(near.fileno() != -1 for near, _ in self.pairs)


@pytest.fixture
def fake_dial():
    dial = FakeDial()
    yield dial
    for pair in dial.pairs:
        for sock in pair:
            sock.close()


class Table:
    """A resolver that knows what the test tells it."""

    def __init__(self, **names):
        self.names = names

    async def resolve(self, host, port, *, prefer_v6=False):  # noqa: ARG002 - the resolver's shape
        await trio.lowlevel.checkpoint()
        answer = self.names.get(host, [host])
        if isinstance(answer, Exception):
            raise answer
        return tuple((ip, port) for ip in answer)


@pytest.fixture
def table():
    return Table


@pytest.fixture
def build(fake_dial):
    """``build(*settings, **options)``: upstreams over the fake dialler. ``.facts`` is what they reported."""

    def make(*settings, **options):
        facts = []
        options = {"resolver": Table(), "rng": random.Random(1), "dial": fake_dial, "emit": facts.append} | options
        upstreams = Upstreams(settings, **options)
        upstreams.facts = facts
        return upstreams

    return make


def os_error(name):
    number = getattr(errno, name)
    return OSError(number, os.strerror(number))


@pytest.fixture
def failing():
    """``failing("ECONNREFUSED")``: that OSError."""
    return os_error


@pytest.fixture
def host_of():
    """``host_of(2)``, ``host_of(2, v6=True)``: the table's address of a datacenter."""
    return lambda dc, v6=False: DATACENTERS[dc][v6]
