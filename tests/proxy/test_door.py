"""The listeners: addresses, full descriptor tables, too many connections."""

from __future__ import annotations

import errno
import os
import resource
import socket
from contextlib import contextmanager

import pytest
import trio

from telemt_trio import events as e
from telemt_trio.errors import ConfigError
from telemt_trio.net.sockets import bind_listener
from telemt_trio.proxy.service import serve


@contextmanager
def no_more_descriptors():
    """Not one more descriptor can be opened; those that are closed meanwhile can be used again."""
    lowest_free = os.dup(0)
    os.close(lowest_free)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def knock():
    """``knock(proxy, count)``: connections that wait in the listener's queue, because no task has run since."""
    opened = []

    def connect(proxy, count):
        sockets = [socket.create_connection(proxy.address) for _ in range(count)]
        opened.extend(sockets)
        return sockets

    yield connect
    for sock in opened:
        sock.close()


def was_turned_away(sock):
    """Whether the other side has closed."""
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


async def test_a_full_descriptor_table_is_said_now_and_then_and_survived(world, leaping_clock, knock):
    proxy = await world.start()
    waiting = knock(proxy, 120)
    with no_more_descriptors():
        await trio.sleep(7.95)
        paused = proxy.of(e.AcceptPaused)
        assert [event.error for event in paused] == ["Too many open files"] * 2
        assert paused[1].failures == pytest.approx(50, abs=3)  # ten a second, one line in five seconds
        # One that was waiting is told at once, each time; nobody waits for a time-out of the kernel's.
        assert sum(map(was_turned_away, waiting)) == pytest.approx(80, abs=3)
        assert not proxy.of(e.ConnectionOpened)
    async with await proxy.client() as client:
        await client.send(b"on we go")
        assert await client.receive_exactly(8) == b"on we go"


async def test_relays_go_on_while_descriptors_are_short(world, leaping_clock, knock):
    proxy = await world.start()
    async with await proxy.client() as client:
        await client.send(b"before")
        assert await client.receive_exactly(6) == b"before"
        knock(proxy, 3)
        with no_more_descriptors():
            await proxy.event(e.AcceptPaused)
            await client.send(b"while")
            assert await client.receive_exactly(5) == b"while"


@pytest.mark.parametrize("code", [errno.ENOBUFS, errno.ENOMEM])
async def test_other_shortages(world, leaping_clock, monkeypatch, code):
    def bind(*args, **options):
        return Failing(bind_listener(*args, **options), code, 3)

    monkeypatch.setattr("telemt_trio.proxy.service.bind_listener", bind)
    proxy = await world.start()
    started = trio.current_time()
    async with await proxy.client() as client:
        assert client.answer is not None
    assert trio.current_time() - started == pytest.approx(0.3)
    assert [event.error for event in proxy.of(e.AcceptPaused)] == [os.strerror(code)]


class Failing:
    """A listener whose first ``times`` accepts fail."""

    def __init__(self, listener, code, times):
        self.listener = listener
        self.code = code
        self.times = times

    def accept(self):
        if self.times:
            self.times -= 1
            raise OSError(self.code, os.strerror(self.code))
        return self.listener.accept()

    def __getattr__(self, name):
        return getattr(self.listener, name)


async def test_connections_that_went_away_in_the_queue_are_nothing(proxy, reset, settled):
    for _ in range(5):
        sock = socket.create_connection(proxy.address)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
    await settled()
    await proxy.all_closed()
    assert not proxy.of(e.AcceptPaused)


@pytest.mark.parametrize("at_once", [True, False])
async def test_too_many_connections_are_turned_away_at_the_door(world, leaping_clock, settled, knock, at_once):
    proxy = await world.start(server={"max_connections": 3})
    guests = []
    for _ in range(10):
        guests += knock(proxy, 1)
        if not at_once:
            await settled()
    await settled()
    assert proxy.proxy.open_connections == 3
    assert len(proxy.of(e.ConnectionOpened)) == 3
    assert [was_turned_away(sock) for sock in guests] == [False] * 3 + [True] * 7
    assert [(event.limit, event.total) for event in proxy.of(e.ConnectionShed)] == [(3, 1)]
    await trio.sleep(6)
    guests += knock(proxy, 1)
    await settled()
    assert [(event.limit, event.total) for event in proxy.of(e.ConnectionShed)] == [(3, 1), (3, 8)]
    guests[0].close()
    await proxy.event(e.ConnectionClosed)
    async with await proxy.client() as client:
        assert client.answer is not None


async def test_no_limit(world, settled, knock):
    proxy = await world.start(server={"max_connections": 0})
    knock(proxy, 150)
    await settled()
    assert proxy.proxy.open_connections == 150


# ---------------------------------------------------------------- addresses


async def test_what_is_listened_on_is_said(world):
    proxy = await world.start(
        server={"listeners": [{"ip": "127.0.0.1", "port": 0}, {"ip": "127.0.0.2", "port": 0}, {"ip": "::1", "port": 0}]}
    )
    addresses = proxy.proxy.addresses
    assert [host for host, _ in addresses] == ["127.0.0.1", "127.0.0.2", "::1"]
    assert [(event.address, event.port) for event in proxy.of(e.Listening)] == addresses
    for address in addresses:
        async with await trio.open_tcp_stream(*address) as stream:
            await stream.send_all(b"GET ")
            assert await stream.receive_some() == b"GET "


@pytest.fixture
def taken():
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


async def test_a_port_that_is_taken(world, taken):
    running = world.make(server={"port": taken})
    with pytest.raises(ConfigError) as refused:
        await running.proxy.run()
    assert refused.value.problems == (
        f"cannot listen on 127.0.0.1 port {taken}: another program has it; stop that program or set server.port",
    )
    assert running.events == []


async def test_the_second_of_two_ports_is_taken(world, taken):
    running = world.make(server={"listeners": [{"ip": "127.0.0.1", "port": 0}, {"ip": "127.0.0.1", "port": taken}]})
    with pytest.raises(ConfigError, match="another program has it"):
        await running.proxy.run()
    assert running.proxy.addresses == []


async def test_every_way_to_start_says_it_unwrapped(world, taken):
    config = world.config(server={"port": taken})
    with pytest.raises(ConfigError):
        async with world.make(server={"port": taken}).proxy:
            pytest.fail("it started")  # pragma: no cover
    with pytest.raises(ConfigError):
        await serve(config)
    async with trio.open_nursery() as nursery:
        with pytest.raises(ConfigError):
            await nursery.start(serve, config)


async def test_a_port_that_is_not_permitted(world, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("telemt_trio.proxy.service.bind_listener", refuse)
    with pytest.raises(ConfigError) as refused:
        await world.make(server={"port": 443}).proxy.run()
    (sentence,) = refused.value.problems
    assert sentence.startswith("cannot listen on 127.0.0.1 port 443: ports below 1024 need root")
    assert "8443" in sentence


async def test_an_address_that_is_not_here(world):
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1 port 0: Cannot assign requested address"):
        await world.make(server={"listeners": [{"ip": "192.0.2.1", "port": 0}]}).proxy.run()


async def test_a_host_without_ipv6_serves_ipv4(world, monkeypatch):
    def only_ipv4(host, port, **options):
        if ":" in host:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return bind_listener(host, port, **options)

    monkeypatch.setattr("telemt_trio.proxy.service.bind_listener", only_ipv4)
    proxy = await world.start(server={"listen_addr_ipv4": "127.0.0.1", "listen_addr_ipv6": "::1"})
    assert [(event.address, event.error) for event in proxy.of(e.NotListening)] == [
        ("::1", "Address family not supported by protocol")
    ]
    async with await proxy.client() as client:
        assert client.answer is not None
    listeners = [{"ip": "127.0.0.1", "port": 0}, {"ip": "::1", "port": 0}]
    with pytest.raises(ConfigError, match="cannot listen on ::1"):
        await world.make(server={"listeners": listeners}).proxy.run()
