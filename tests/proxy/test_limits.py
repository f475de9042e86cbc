"""Everybody who stalls is let go of, at every stage, by a limit of that stage; and resets leave nothing behind."""

from __future__ import annotations

import pytest
import trio

from telemt_trio import events as e
from telemt_trio.events import RejectReason
from telemt_trio.testing.client import open_tls
from telemt_trio.testing.fake_front import alert, collect, flood
from telemt_trio.wire.obfuscated2 import SECURE, make_nonce

FIRST_BYTE, HANDSHAKE = 40, 10
LIMITS = {
    "timeouts": {"client_first_byte_idle_secs": FIRST_BYTE, "client_handshake": HANDSHAKE},
    "censorship": {"mask_relay_timeout_ms": 100_000, "mask_relay_idle_timeout_ms": 50_000},
}


async def send_for_ever(stream):
    while True:
        await stream.send_all(bytes(65536))


async def until_closed(stream):
    """What a peer reads until the proxy lets go, and how long that took."""
    started = trio.current_time()
    got = b""
    while data := await stream.receive_some():
        got += data
    return got, trio.current_time() - started


async def test_nothing_at_all(world, leaping_clock):
    proxy = await world.start(**LIMITS)
    async with await proxy.stranger() as stream:
        assert await until_closed(stream) == (b"", pytest.approx(FIRST_BYTE))
    await proxy.all_closed()
    assert [event.reason for event in proxy.of(e.HandshakeRejected)] == [RejectReason.SILENT]
    assert not world.front.visits


async def test_the_handshake_limit_counts_for_silence_if_there_is_no_other(world, leaping_clock):
    proxy = await world.start(timeouts={"client_first_byte_idle_secs": 0, "client_handshake": HANDSHAKE})
    async with await proxy.stranger() as stream:
        assert await until_closed(stream) == (b"", pytest.approx(HANDSHAKE))


@pytest.mark.parametrize("size", [1, 4, 5, 6, 100, 500])
async def test_half_a_hello_reaches_the_front_late(world, leaping_clock, size):
    world.front.behaviour = alert(b"a site's own words")
    proxy = await world.start(**LIMITS)
    hello = world.hello()
    started = trio.current_time()
    async with await proxy.stranger(hello[:size]) as stream:
        assert await stream.receive_some() == b"a site's own words"
        assert trio.current_time() - started == pytest.approx(HANDSHAKE)
        assert world.front.visits[0].received == hello[:size]
    await proxy.all_closed()
    assert [event.reason for event in proxy.of(e.HandshakeRejected)] == [RejectReason.TIMEOUT]


@pytest.mark.parametrize("size", [1, 63])
async def test_half_a_nonce_reaches_the_front_late(world, leaping_clock, size):
    proxy = await world.start(**LIMITS)
    data = b"\x05" * size
    async with await proxy.stranger(data) as stream:
        assert await stream.receive_some() == data
        await stream.send_all(b"more")
        assert await stream.receive_some() == b"more"
    await proxy.all_closed()


async def test_a_byte_now_and_then_does_not_stretch_the_limit(world, leaping_clock):
    proxy = await world.start(**LIMITS)
    hello = world.hello()
    async with await proxy.stranger() as stream:
        started = trio.current_time()
        for value in hello[:20]:
            await stream.send_all(bytes([value]))
            await trio.sleep(1)
        visit = await world.front.wait_for(1)
        assert trio.current_time() - started == pytest.approx(20)
        assert visit.received == hello[:20]
    await proxy.all_closed()


@pytest.mark.parametrize("behind", [b"", b"\x14", b"\x14\x03\x03\x00\x01\x01", b"\x17\x03\x03\x00\x40" + bytes(63)])
async def test_silence_behind_the_answer(world, keys, leaping_clock, behind):
    """Whoever was answered by us can no longer be the front's; it is closed without a byte."""
    proxy = await world.start(**LIMITS)
    async with await proxy.stranger() as stream:
        await open_tls(stream, keys[0], world.hello())
        if behind:
            await stream.send_all(behind)
        assert await until_closed(stream) == (b"", pytest.approx(HANDSHAKE))
    await proxy.all_closed()
    assert [event.reason for event in proxy.of(e.HandshakeRejected)] == [RejectReason.TIMEOUT]
    assert not world.front.visits


async def test_the_handshake_limit_does_not_touch_relays(world, leaping_clock):
    proxy = await world.start(**LIMITS)
    async with await proxy.client() as client:
        await client.send(b"slow")
        await trio.sleep(10 * HANDSHAKE)
        assert await client.receive_exactly(4) == b"slow"
        await client.send(b"ly")
        assert await client.receive_exactly(2) == b"ly"


async def test_a_masked_stranger_that_does_not_read(world, leaping_clock):
    world.front.behaviour = flood(64 << 20)
    proxy = await world.start(**LIMITS)
    started = trio.current_time()
    async with await proxy.stranger(b"GET / HTTP/1.1\r\n") as stream:
        await proxy.event(e.Masked)
        assert 50 <= trio.current_time() - started <= 80
        assert 0 < proxy.of(e.Masked)[0].bytes_down < 64 << 20
        assert stream is not None


async def test_a_front_that_does_not_read(world, leaping_clock):
    gate = trio.Event()
    world.front.behaviour = lambda _: gate.wait()
    proxy = await world.start(**LIMITS)
    started = trio.current_time()
    async with await proxy.stranger(b"GET / HTTP/1.1\r\n") as stream:
        with pytest.raises(trio.BrokenResourceError):
            await send_for_ever(stream)
    assert 50 <= trio.current_time() - started <= 80
    gate.set()
    await proxy.all_closed()


async def test_a_client_that_does_not_read_is_idle_in_the_end(world, leaping_clock):
    async def pour(link):
        await link.send(bytes(64 << 20))

    world.datacenter.behaviour = pour
    proxy = await world.start(**LIMITS)
    async with await proxy.client() as client:
        await client.send(b"go")
        ended = await proxy.event(e.RelayEnded)
    assert ended.why is e.EndReason.IDLE
    assert 0 < ended.bytes_down < 64 << 20


# ---------------------------------------------------------------- resets


async def connected(world, proxy, keys):
    return await proxy.stranger()


async def half_a_hello(world, proxy, keys):
    return await proxy.stranger(world.hello()[:700])


async def half_a_nonce(world, proxy, keys):
    return await proxy.stranger(b"\x05" * 30)


async def answered(world, proxy, keys):
    stream = await proxy.stranger()
    await open_tls(stream, keys[0], world.hello())
    return stream


async def a_hello_unread(world, proxy, keys):
    """The answer is on its way when the reset overtakes it."""
    return await proxy.stranger(world.hello())


async def half_a_nonce_in_tls(world, proxy, keys):
    stream = await answered(world, proxy, keys)
    await stream.send_all(b"\x14\x03\x03\x00\x01\x01\x17\x03\x03\x00\x40" + bytes(20))
    return stream


async def relaying(world, proxy, keys):
    client = await proxy.client()
    await client.send(b"hello")
    assert await client.receive_exactly(5) == b"hello"
    return client.stream


async def a_nonce_unread(world, proxy, keys):
    """The route is being opened when the reset comes."""
    return await proxy.stranger(make_nonce(SECURE, 2, world.entropy, secret=keys[0]).wire + b"data")


async def masked(world, proxy, keys):
    stream = await proxy.stranger(b"GET / HTTP/1.1\r\n")
    await world.front.wait_for(1)
    return stream


async def masked_and_flooded(world, proxy, keys):
    world.front.behaviour = flood(8 << 20)
    stream = await masked(world, proxy, keys)
    await stream.receive_some()
    return stream


STAGES = [
    connected, half_a_hello, half_a_nonce, a_hello_unread, answered, half_a_nonce_in_tls, a_nonce_unread, relaying,
    masked, masked_and_flooded,
]  # fmt: skip


@pytest.mark.parametrize("settle_first", [True, False], ids=["settled", "at-once"])
@pytest.mark.parametrize("delay", [0, 10])
@pytest.mark.parametrize("stage", STAGES)
async def test_a_reset_at_every_stage(world, keys, reset, settled, stage, delay, settle_first):
    """Nothing stays open, no bug is reported, and the proxy goes on: the fixture checks the rest."""
    world.front.behaviour = collect
    proxy = await world.start(censorship={"server_hello_delay_min_ms": delay, "server_hello_delay_max_ms": delay})
    stream = await stage(world, proxy, keys)
    if settle_first:
        await settled()
    reset(stream)
    await proxy.event(e.ConnectionOpened)
    await proxy.all_closed()
    async with await proxy.client() as client:
        await client.send(b"next, please")
        assert await client.receive_exactly(12) == b"next, please"


@pytest.mark.parametrize("stage", STAGES)
async def test_a_close_at_every_stage(world, proxy, keys, stage):
    stream = await stage(world, proxy, keys)
    await stream.aclose()
    await proxy.event(e.ConnectionOpened)
    await proxy.all_closed()
