"""How relays end: who closes what, which reason is given, and that the counts are exact whatever happened."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio

from telemt_trio import events as e
from telemt_trio.events import EndReason
from telemt_trio.testing.fake_datacenter import close_after, half_close_after, never_answer, reset_after
from telemt_trio.wire.secrets import Mode

MODES = list(Mode)


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_that_ends_its_stream_still_gets_the_answer(world, mode):
    async def answer_at_the_end(link):
        size = 0
        while data := await link.receive():
            size += len(data)
        await link.send(b"got %d" % size)

    world.datacenter.behaviour = answer_at_the_end
    proxy = await world.start()
    async with await proxy.client(mode) as client:
        await client.send(bytes(5000))
        await client.send_eof()
        assert await client.receive_to_end() == b"got 5000"
    ended = await proxy.event(e.RelayEnded)
    assert (ended.why, ended.bytes_up, ended.bytes_down) == (EndReason.FINISHED, 5000, 8)
    assert world.datacenter.connections[0].end == "eof"


@pytest.mark.parametrize("mode", MODES)
async def test_a_datacenter_that_ends_its_stream_still_hears_the_client(world, mode, settled):
    world.datacenter.behaviour = half_close_after(4)
    proxy = await world.start()
    async with await proxy.client(mode) as client:
        await client.send(b"four")
        assert await client.receive_to_end() == b"four"
        await settled()
        assert not proxy.of(e.RelayEnded)
        await client.send(b"and more")
    ended = await proxy.event(e.RelayEnded)
    assert (ended.why, ended.bytes_up, ended.bytes_down) == (EndReason.FINISHED, 12, 4)
    assert world.datacenter.connections[0].received == b"fourand more"


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_that_resets(world, mode, reset):
    proxy = await world.start()
    client = await proxy.client(mode)
    await client.send(b"hello")
    assert await client.receive_exactly(5) == b"hello"
    reset(client.stream)
    ended = await proxy.event(e.RelayEnded)
    assert (ended.why, ended.bytes_up, ended.bytes_down) == (EndReason.CLIENT_LOST, 5, 5)
    await proxy.all_closed()
    await world.datacenter.connections[0].ended.wait()


@pytest.mark.parametrize("mode", MODES)
async def test_a_datacenter_that_resets(world, mode):
    world.datacenter.behaviour = reset_after(5)
    proxy = await world.start()
    async with await proxy.client(mode) as client:
        await client.send(b"hello")
        await client.receive_to_end()
    ended = await proxy.event(e.RelayEnded)
    assert (ended.why, ended.bytes_up) == (EndReason.UPSTREAM_LOST, 5)


async def test_a_datacenter_that_closes(world):
    world.datacenter.behaviour = close_after(5)
    proxy = await world.start()
    async with await proxy.client() as client:
        await client.send(b"hello")
        assert await client.receive_to_end() == b"hello"
    ended = await proxy.event(e.RelayEnded)
    assert (ended.why, ended.bytes_up, ended.bytes_down) == (EndReason.FINISHED, 5, 5)


# Whether what ends the records comes in a segment of its own, behind data, or right behind the nonce.
PLACES = ["alone", "behind-data", "behind-the-nonce"]


async def end_records(client, ending, place):
    """Send ``last`` and what ends the records; what comes back until the proxy has ended, too."""
    if place != "behind-the-nonce":
        await client.send(b"fine")
        assert await client.receive_exactly(4) == b"fine"
    if place == "alone":
        await client.send(b"last")
        assert await client.receive_exactly(4) == b"last"
        await client.stream.send_all(ending)
        assert await client.receive_to_end() == b""
    else:
        await client.stream.send_all(client.seal(b"last") + ending)
        assert await client.receive_to_end() in {b"", b"last"}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "broken",
    ["16030300050100000100", "1503030001ff", "1403030002aaaa", "17030100050000000000", "1703034101", "474554202f"],
    ids=["handshake", "alert-of-1", "ccs-of-2", "version", "16641", "http"],
)
async def test_a_client_that_breaks_the_record_layer(proxy, broken, place):
    async with await proxy.client() as client:
        await end_records(client, bytes.fromhex(broken), place)
    ended = await proxy.event(e.RelayEnded)
    assert ended.why is EndReason.PROTOCOL
    assert ended.bytes_up == (4 if place == "behind-the-nonce" else 8)


@pytest.mark.parametrize("place", PLACES)
async def test_an_alert_ends_the_clients_stream(world, proxy, place):
    async with await proxy.client() as client:
        await end_records(client, bytes.fromhex("15030300020100"), place)
    assert (await proxy.event(e.RelayEnded)).why is EndReason.FINISHED
    assert world.datacenter.connections[0].end == "eof"


async def test_a_record_cut_by_the_end_of_the_stream_delivers_what_there_was(world, proxy):
    async with await proxy.client() as client:
        await client.send(b"whole")
        sealed = client.seal(b"half a record")
        await client.stream.send_all(sealed[:9])
        await client.send_eof()
        assert await client.receive_to_end() == b"wholehalf"
    assert (await proxy.event(e.RelayEnded)).bytes_up == 9


@pytest.mark.parametrize("mode", MODES)
async def test_counts_are_what_the_datacenter_got_when_a_relay_is_cut(world, mode, settled):
    """Bytes in our buffers that nobody took do not count."""
    gate = trio.Event()
    world.datacenter.behaviour = lambda _: gate.wait()
    proxy = await world.start()

    async def pour():
        with suppress(trio.BrokenResourceError):
            await client.send(bytes(32 << 20))

    async with await proxy.client(mode) as client, trio.open_nursery() as nursery:
        nursery.start_soon(pour)
        await proxy.event(e.HandshakeAccepted)
        await settled()  # every buffer on the way is full
        live = proxy.proxy.totals("alice")
        proxy.proxy.runtime.state.sessions.end_all(EndReason.DISABLED)
        ended = await proxy.event(e.RelayEnded)
    gate.set()
    assert ended.why is EndReason.DISABLED
    assert 0 < ended.bytes_up <= live.bytes_up < 32 << 20
    assert proxy.proxy.totals("alice").bytes_up == ended.bytes_up


async def test_an_idle_relay_ends_after_half_an_hour(world, leaping_clock):
    proxy = await world.start()
    async with await proxy.client() as client:
        await client.send(b"hello")
        assert await client.receive_exactly(5) == b"hello"
        started = trio.current_time()
        assert await client.receive_to_end() == b""
        assert 1800 <= trio.current_time() - started <= 1820
    ended = await proxy.event(e.RelayEnded)
    assert (ended.why, ended.bytes_up, ended.bytes_down) == (EndReason.IDLE, 5, 5)


async def test_a_relay_that_whispers_does_not_end(world, leaping_clock):
    world.datacenter.behaviour = never_answer
    proxy = await world.start()
    async with await proxy.client() as client:
        for _ in range(2):
            await client.send(b".")
            await trio.sleep(1700)
        assert not proxy.of(e.RelayEnded)
    assert (await proxy.event(e.RelayEnded)).bytes_up == 2


async def test_a_datacenter_that_is_down(world):
    """One line for the client, one for the operator, and the client is closed without a byte."""
    proxy = await world.start(dc_overrides={"2": "127.0.0.1:9"})
    async with await proxy.client() as client:
        await client.send(b"hello")
        assert await client.receive_to_end() == b""
    failed = await proxy.event(e.RouteFailed)
    await proxy.all_closed()
    assert (failed.user, failed.dc) == ("alice", 2)
    assert len(proxy.of(e.RouteFailed)) == 1
    assert not proxy.of(e.RelayEnded)
    assert proxy.proxy.totals("alice").sessions == 0


@pytest.mark.parametrize("mode", MODES)
async def test_a_datacenter_that_does_not_answer_the_dial(world, mode, leaping_clock, monkeypatch):
    async def black_hole(address, **options):
        await trio.sleep_forever()

    proxy = await world.start(dc_overrides={"2": "127.0.0.1:9"})
    for road in proxy.proxy.upstreams._roads:
        road._dial = black_hole
    started = trio.current_time()
    async with await proxy.client(mode) as client:
        await client.send(b"hello")
        assert await client.receive_to_end() == b""
    general = proxy.proxy.config.general
    assert trio.current_time() - started <= general.upstream_connect_budget_ms / 1000 + 1
    assert len(proxy.of(e.RouteFailed)) == 1
