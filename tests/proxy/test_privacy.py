"""Nothing secret, and nobody's address, in what an operator may paste into an issue."""

from __future__ import annotations

import logging
import socket

import pytest
import trio

from telemt_trio import events as e
from telemt_trio.observe.log import LogObserver
from telemt_trio.testing.client import ProxyClient, open_tls
from telemt_trio.wire.obfuscated2 import SECURE, make_nonce

# Addresses that nothing but a client has here.
CLIENT = "127.0.0.77"


async def from_there(proxy, *data):
    sock = trio.socket.socket()
    await sock.bind((CLIENT, 0))
    await sock.connect(proxy.address)
    stream = trio.SocketStream(sock)
    for piece in data:
        await stream.send_all(piece)
    return stream


async def everything_that_can_happen(world, keys, proxy, echo=b"hello"):
    """A client, and one stranger for every reason that is cheap to have. ``echo`` is what the client gets."""
    hello = world.hello()
    async with await from_there(proxy) as stream:
        answer = await open_tls(stream, keys[0], hello)
        client = ProxyClient(stream, make_nonce(SECURE, -4, world.entropy, secret=keys[0]), SECURE, answer=answer)
        await client.send(b"hello")
        assert await client.receive_exactly(5) == echo
    strangers = [
        [b"GET / HTTP/1.1\r\n"],
        [hello],
        [world.hello(keys[1])],
        [world.hello(unix_time=1)],
        [world.hello(unix_time=1_000_000)],
        [world.hello(domain="other.example")],
        [hello[:50]],
        [b"\x05" * 64],
        [],
    ]
    for data in strangers:
        async with await from_there(proxy, *data) as stream:
            await stream.send_eof()
            async for _ in stream:
                pass
    await proxy.all_closed()
    return [hello[11:43], hello[44:76]]


def assert_tells_nothing(text, keys, *more):
    for key in (*keys, *more):
        assert key.hex() not in text
        assert repr(key)[2:-1] not in text
    assert CLIENT not in text
    assert "127.0.0.77" not in text.replace("\\", "")


async def test_reprs_of_events(world, keys):
    proxy = await world.start()
    randoms = await everything_that_can_happen(world, keys, proxy)
    assert_tells_nothing(repr(proxy.events), keys, *randoms)
    assert {event.peer for event in proxy.of(e.ConnectionOpened)} == {CLIENT}


async def test_log_lines(world, keys, caplog):
    logger = logging.getLogger("telemt_trio.test")
    logger.setLevel(logging.DEBUG)
    for sections in ({}, {"censorship": {"mask_port": 9}}, {"dc_overrides": {"-4": "127.0.0.1:9"}}):
        proxy = await world.start(**sections)
        write = LogObserver(logger, trio.current_time)
        await everything_that_can_happen(world, keys, proxy, echo=b"" if "dc_overrides" in sections else b"hello")
        for event in proxy.events:
            write(event)
    lines = [record.getMessage() for record in caplog.records if record.name == logger.name]
    assert len(lines) > 60
    assert all("\n" not in line for line in lines)
    assert_tells_nothing("\n".join(lines), keys)


async def test_reprs_of_what_an_embedder_holds(world, keys):
    proxy = await world.start()
    async with await proxy.client() as client:
        await client.send(b"hello")
        assert await client.receive_exactly(5) == b"hello"
        runtime = proxy.proxy.runtime
        sessions = list(runtime.state.sessions)
        held = [proxy.proxy, proxy.proxy.config, runtime, runtime.state, list(runtime.state.users), sessions, client]
        assert_tells_nothing("".join(map(repr, held)), keys)


async def test_an_errors_text_names_no_client(world, keys):
    proxy = await world.start(dc_overrides={"2": "127.0.0.1:9"})
    async with await from_there(proxy, make_nonce(SECURE, 2, world.entropy, secret=keys[0]).wire) as stream:
        assert await stream.receive_some() == b""
    failed = await proxy.event(e.RouteFailed)
    assert CLIENT not in failed.error


def test_the_clients_address_is_one_of_this_machine():
    """Linux has all of 127.0.0.0/8; the tests above rely on it."""
    with socket.socket() as sock:
        sock.bind((CLIENT, 0))


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
async def test_a_stranger_is_no_news(world, keys, caplog, level):
    """What happens all day is below INFO: a scan of the port must not fill the disk."""
    logger = logging.getLogger("telemt_trio.test")
    logger.setLevel(level)
    proxy = await world.start()
    await everything_that_can_happen(world, keys, proxy)
    write = LogObserver(logger, trio.current_time)
    for event in proxy.events:
        write(event)
    lines = [record.getMessage() for record in caplog.records if record.name == logger.name]
    assert len(lines) == (1 if level == logging.INFO else 0)
