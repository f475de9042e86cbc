"""A proxy that is cancelled at any moment lets go of everything: after 0, 1, 2 … turns of the scheduler."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio

from telemt_trio import events as e
from telemt_trio.errors import RemoteProtocolError
from telemt_trio.testing.fake_front import flood
from telemt_trio.wire.secrets import Mode

TURNS = range(60)


async def client(running, mode):
    """A client that exchanges a few messages until the proxy is gone."""
    with suppress(OSError, trio.BrokenResourceError, RemoteProtocolError):
        async with await running.client(mode) as client:
            for size in (10, 100_000, 10):
                await client.send(bytes(size))
                await client.receive_exactly(size)


async def stranger(running, *data):
    with suppress(OSError, trio.BrokenResourceError):
        async with await running.stranger(*data) as stream:
            await stream.send_eof()
            async for _ in stream:
                pass


async def everybody(world, keys, running):
    async with trio.open_nursery() as nursery:
        for mode in Mode:
            nursery.start_soon(client, running, mode)
        nursery.start_soon(stranger, running)
        nursery.start_soon(stranger, running, b"GET / HTTP/1.1\r\n")
        nursery.start_soon(stranger, running, world.hello(keys[1]))
        nursery.start_soon(stranger, running, world.hello()[:300])
        nursery.start_soon(stranger, running, world.hello(domain="other.example"))


async def spin(turns):
    for _ in range(turns):
        await trio.lowlevel.checkpoint()


def settled_counts(running):
    runtime = running.proxy.runtime
    return (running.proxy.open_connections, len(runtime.state.sessions), len(runtime.watch), len(runtime.mask_watch))


@pytest.mark.stress
@pytest.mark.parametrize("stop", ["cancel", "stop-and-cancel", "leave"])
async def test_at_any_turn(world, keys, stop):
    """With everybody at the door at once."""
    for turns in TURNS:
        running = world.make(timeouts={"drain_secs": 0}, general={"fast_mode": turns % 2 == 0})
        async with trio.open_nursery() as guests:
            async with trio.open_nursery() as nursery:
                await nursery.start(running.proxy.run)
                guests.start_soon(everybody, world, keys, running)
                await spin(2 * turns)
                if stop != "cancel":
                    running.proxy.stop()
                    await spin(turns)
                if stop != "leave":
                    nursery.cancel_scope.cancel()
            assert settled_counts(running) == (0, 0, 0, 0)
            guests.cancel_scope.cancel()
        assert running.proxy.addresses == []


@pytest.mark.parametrize("dc", ["up", "down"])
@pytest.mark.parametrize("front", ["up", "down"])
@pytest.mark.parametrize("after", [0.5, 1, 1.5])
async def test_while_everybody_waits(world, keys, leaping_clock, dc, front, after):
    """In the middle of the delay before an answer, at its end, and behind it."""
    world.front.behaviour = flood(1 << 20)
    delay = {"server_hello_delay_min_ms": 1000, "server_hello_delay_max_ms": 1000}
    running = world.make(
        censorship=delay | ({"mask_port": 9} if front == "down" else {}),
        dc_overrides={"2": "127.0.0.1:9"} if dc == "down" else {},
    )
    async with trio.open_nursery() as guests:
        async with trio.open_nursery() as nursery:
            await nursery.start(running.proxy.run)
            guests.start_soon(everybody, world, keys, running)
            await trio.sleep(after)
            nursery.cancel_scope.cancel()
        assert settled_counts(running) == (0, 0, 0, 0)
        guests.cancel_scope.cancel()


async def test_the_turns_reach_from_the_first_byte_to_the_last(world, keys):
    """The tests above are worth their name only if their longest wait sees everybody through."""
    running = await world.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(everybody, world, keys, running)
        await spin(2 * max(TURNS))
        assert len(running.of(e.HandshakeAccepted)) == 3
        assert len(running.of(e.Masked)) >= 1
        nursery.cancel_scope.cancel()
    early = await world.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(everybody, world, keys, early)
        await spin(3)
        assert not early.of(e.HandshakeAccepted)
        nursery.cancel_scope.cancel()
