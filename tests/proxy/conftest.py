"""A whole world on loopback for each test: a datacenter, a front, proxies between them, and what they said happened."""

from __future__ import annotations

import random
import socket
import struct
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing

from telemt_trio import events as e
from telemt_trio.clocks import Clocks
from telemt_trio.config.load import structure
from telemt_trio.net.dial import dial
from telemt_trio.proxy.service import Proxy
from telemt_trio.testing.client import connect
from telemt_trio.testing.fake_datacenter import open_fake_datacenter
from telemt_trio.testing.fake_front import open_fake_front
from telemt_trio.upstream.datacenters import DATACENTERS
from telemt_trio.wire.client_hello import build_client_hello
from telemt_trio.wire.secrets import Mode, ProxySecret

USER = "alice"
KEY = bytes.fromhex("8f1c2d3e4b5a69788796a5b4c3d2e1f0")
OTHER_KEY = bytes.fromhex("0123456789abcdef0123456789abcdef")
DOMAIN = "front.example.net"
TELEGRAM = {ip: (dc, version) for dc, pair in DATACENTERS.items() for ip, version in zip(pair, (4, 6), strict=True)}
LINGER_ZERO = struct.pack("ii", 1, 0)


def merged(base, changes):
    """``base`` with ``changes`` on top, tables into tables."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


@attrs.define(eq=False)
class Running:
    """A proxy that serves, and its events in order."""

    proxy: Proxy
    world: World
    events: list[e.Event]
    arrivals: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    @property
    def address(self):
        return self.proxy.addresses[0]

    def observe(self, event):
        self.events.append(event)
        self.arrivals.unpark_all()

    def of(self, *kinds):
        """The events of these types so far."""
        return [event for event in self.events if isinstance(event, kinds)]

    async def event(self, kind, count=1):
        """Wait for the ``count``-th event of this type."""
        while len(found := self.of(kind)) < count:
            await self.arrivals.park()
        return found[count - 1]

    async def all_closed(self):
        """Wait until every connection that was opened is over."""
        while len(self.of(e.ConnectionClosed)) < len(self.of(e.ConnectionOpened)):
            await self.arrivals.park()

    async def client(self, mode=Mode.TLS, *, key=KEY, domain=DOMAIN, **options):
        """A client of the test kit, connected."""
        options = {"unix_time": self.world.unix(), "entropy": self.world.entropy} | options
        secret = ProxySecret(key, mode, domain if mode is Mode.TLS else None)
        return await connect(self.address, secret, **options)

    async def stranger(self, *data):
        """A bare connection that has sent ``data``."""
        stream = await trio.open_tcp_stream(*self.address)
        try:
            for piece in data:
                await stream.send_all(piece)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return stream

    async def told(self, *data):
        """What a stranger reads that sends ``data``, ends its stream and waits."""
        async with await self.stranger(*data) as stream:
            await stream.send_eof()
            return b"".join([piece async for piece in stream])

    def check(self):
        """Every connection's events are a whole story, and none is a bug."""
        assert not self.of(e.UnexpectedError)
        stories = {}
        for event in self.events:
            if hasattr(event, "connection"):
                stories.setdefault(event.connection, []).append(type(event))
        for story in stories.values():
            assert tuple(story) in STORIES
        told = repr(self.events)
        for key in (KEY, OTHER_KEY):
            assert key.hex() not in told
            assert repr(key) not in told


OPENED, CLOSED = e.ConnectionOpened, e.ConnectionClosed
STORIES = {
    (OPENED, CLOSED),  # cancelled in its handshake
    (OPENED, e.HandshakeRejected, CLOSED),  # silence, or cancelled while it was masked
    (OPENED, e.HandshakeRejected, e.Masked, CLOSED),
    (OPENED, e.HandshakeRejected, e.MaskFailed, CLOSED),
    (OPENED, e.HandshakeAccepted, CLOSED),  # cancelled on its way to the datacenter or in its relay
    (OPENED, e.HandshakeAccepted, e.RouteFailed, CLOSED),
    (OPENED, e.HandshakeAccepted, e.RelayEnded, CLOSED),
}


@attrs.define(eq=False)
class World:
    """The other ends, and proxies to be started between them."""

    nursery: trio.Nursery
    datacenter: object
    front: object
    unix: object
    entropy: object
    proxies: list[Running] = attrs.field(factory=list)
    dialled: list[tuple[str, int]] = attrs.field(factory=list)

    def document(self, **sections):
        """A configuration as a mapping: every mode on, no delays, strangers to the front."""
        base = {
            "general": {"modes": {"classic": True, "secure": True, "tls": True}},
            "server": {"port": 0, "listen_addr_ipv4": "127.0.0.1", "listen_addr_ipv6": ""},
            "censorship": {
                "tls_domain": DOMAIN,
                "mask_host": self.front.address[0],
                "mask_port": self.front.address[1],
                "server_hello_delay_min_ms": 0,
                "server_hello_delay_max_ms": 0,
            },
            "access": {"users": {USER: KEY.hex()}},
        }
        return merged(base, sections)

    def config(self, **sections):
        return structure(self.document(**sections))

    def make(self, **sections):
        """A proxy that does not run yet. What it dials at Telegram is led to the fake datacenter."""
        events = []
        running = Running(None, self, events)
        running.proxy = Proxy(
            self.config(**sections),
            running.observe,
            clocks=Clocks(trio.current_time, self.unix),
            entropy=self.entropy,
            rng=random.Random(3),
        )
        for road in running.proxy.upstreams._roads:
            road._dial = self.dial
        self.proxies.append(running)
        return running

    async def start(self, **sections):
        """A proxy that serves until the test is over."""
        running = self.make(**sections)
        await self.nursery.start(running.proxy.run)
        return running

    async def dial(self, address, **options):
        self.dialled.append(address)
        # 203 has an address of its own in every configuration.
        telegram = address[0] in TELEGRAM or address[0] == "91.105.192.100"
        return await dial(self.datacenter.address if telegram else address, **options)

    def hello(self, key=KEY, domain=DOMAIN, **options):
        """A ClientHello of ``key``, made now."""
        options = {"unix_time": int(self.unix()), "entropy": self.entropy} | options
        return build_client_hello(secret=key, domain=domain, **options)


async def _patience():
    """Nothing here takes long. A test that waits for what never comes is told so, and the next one starts clean."""
    patient = isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock)
    await trio.sleep(10_000 if patient else 10)
    pytest.fail("the test waits for something that does not come")


@asynccontextmanager
async def _world(unix):
    async with (
        open_fake_datacenter() as datacenter,
        open_fake_front() as front,
        trio.open_nursery() as nursery,
    ):
        world = World(nursery, datacenter, front, unix, random.Random(7).randbytes)
        nursery.start_soon(_patience)
        yield world
        nursery.cancel_scope.cancel()
    for running in world.proxies:
        running.check()
        assert running.proxy.open_connections == 0
        assert len(running.proxy.runtime.state.sessions) == 0


@pytest.fixture
async def world(unix_clock):
    """See :class:`World`. When the test is over, every proxy's events must have told whole stories."""
    async with _world(unix_clock) as world:
        yield world


@pytest.fixture
async def proxy(world):
    """A running proxy with every mode on."""
    return await world.start()


@pytest.fixture
def leaping_clock():
    """trio's time leaps to the next deadline once nothing has happened for 2 ms: real sockets get theirs."""
    return trio.testing.MockClock(autojump_threshold=0.002)


@pytest.fixture
def settled():
    """``await settled()``: until every task waits and no socket has anything to say."""
    return lambda: trio.testing.wait_all_tasks_blocked(0.005)


@pytest.fixture
def reset():
    """``reset(stream)``: close with an RST."""

    def close(stream):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        stream.socket.close()

    return close


@pytest.fixture
def keys():
    """The user's key, and a key of nobody."""
    return KEY, OTHER_KEY
