"""Start, stop, drain, embedding: who waits for whom, and what an embedder's own errors meet."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio

from telemt_trio import events as e
from telemt_trio.events import EndReason
from telemt_trio.proxy.service import Proxy, serve
from telemt_trio.testing.client import connect, open_tls
from telemt_trio.testing.fake_front import collect
from telemt_trio.wire.secrets import Mode, ProxySecret

DRAIN = {"timeouts": {"drain_secs": 20}}


async def test_as_a_context_manager(world):
    running = world.make()
    async with running.proxy as proxy:
        assert proxy is running.proxy
        async with await running.client() as client:
            await client.send(b"hello")
            assert await client.receive_exactly(5) == b"hello"
        await running.all_closed()
    assert proxy.addresses == []
    assert [type(event) for event in running.events[-2:]] == [e.ConnectionClosed, e.Stopping]


async def test_in_a_nursery_of_the_embedders(world, keys):
    async with trio.open_nursery() as nursery:
        proxy = await nursery.start(serve, world.config(dc_overrides={"2": "{}:{}".format(*world.datacenter.address)}))
        assert isinstance(proxy, Proxy)
        secret = ProxySecret(keys[0], Mode.TLS, "front.example.net")
        async with await connect(proxy.addresses[0], secret) as client:
            await client.send(b"hello")
            assert await client.receive_exactly(5) == b"hello"
        nursery.cancel_scope.cancel()
    assert proxy.addresses == []


async def test_observers_hear_the_same_in_the_same_order(world):
    first, second = [], []
    async with Proxy(world.config(), first.append, second.append):
        pass
    assert first == second
    assert [type(event) for event in first] == [e.Listening, e.Stopping]


class Mine(Exception):  # noqa: N818 - an embedder names it as it likes
    """An exception of the embedder's own."""


async def test_an_exception_in_the_body_passes_as_it_is(world):
    running = world.make()

    async def fail():
        async with running.proxy, await running.client() as client:
            await client.send(b"hello")
            assert await client.receive_exactly(5) == b"hello"
            raise Mine

    with pytest.raises(Mine):
        await fail()
    assert running.proxy.open_connections == 0


async def test_an_exception_in_the_body_does_not_wait_for_relays(world, leaping_clock):
    running = world.make(**DRAIN)
    clients = []

    async def fail():
        async with running.proxy:
            clients.append(await running.client())
            await clients[0].send(b"hello")
            assert await clients[0].receive_exactly(5) == b"hello"
            raise Mine

    started = trio.current_time()
    with pytest.raises(Mine):
        await fail()
    assert trio.current_time() == started
    assert await clients[0].receive_to_end() == b""
    await clients[0].aclose()


async def test_a_cancelled_body_is_cancelled_at_once(world, leaping_clock):
    running = world.make(**DRAIN)
    with trio.move_on_after(5) as scope:
        async with running.proxy:
            client = await running.client()
            await client.send(b"hello")
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() == scope.deadline
    await client.aclose()


async def test_leaving_without_having_entered_is_a_mistake_that_is_told(world):
    with pytest.raises(RuntimeError):
        await world.make().proxy.__aexit__(None, None, None)


# ---------------------------------------------------------------- stopping


async def test_a_stop_closes_the_door_first(world, leaping_clock):
    proxy = await world.start(**DRAIN)
    address = proxy.address
    async with await proxy.client() as client:
        await client.send(b"hello")
        assert await client.receive_exactly(5) == b"hello"
        proxy.proxy.stop()
        proxy.proxy.stop()
        stopping = await proxy.event(e.Stopping)
        assert (stopping.relays, stopping.drain) == (1, 20)
        assert proxy.proxy.addresses == []
        with pytest.raises(OSError):
            await trio.open_tcp_stream(*address)
        await trio.sleep(15)
        await client.send(b"still here")
        assert await client.receive_exactly(10) == b"still here"
        started = trio.current_time()
        assert await client.receive_to_end() == b""
        assert trio.current_time() - started == pytest.approx(5, abs=0.6)
    ended = await proxy.event(e.RelayEnded)
    assert (ended.why, ended.bytes_up, ended.bytes_down) == (EndReason.STOPPED, 15, 15)


async def test_a_stop_is_over_when_the_last_connection_is(world, leaping_clock):
    running = world.make(**DRAIN)
    async with trio.open_nursery() as nursery:
        await nursery.start(running.proxy.run)
        client = await running.client()
        await client.send(b"hello")
        assert await client.receive_exactly(5) == b"hello"
        running.proxy.stop()
        await trio.sleep(3)
        await client.aclose()
    assert trio.current_time() == pytest.approx(3, abs=0.1)
    assert running.of(e.RelayEnded)[0].why is EndReason.FINISHED


async def test_a_stop_with_nobody_there_takes_no_time(world, leaping_clock):
    started = trio.current_time()
    async with world.make(**DRAIN).proxy:
        pass
    assert trio.current_time() == started


async def test_a_stop_without_a_drain(world, leaping_clock):
    proxy = await world.start(timeouts={"drain_secs": 0})
    async with await proxy.client() as client:
        await client.send(b"hello")
        assert await client.receive_exactly(5) == b"hello"
        started = trio.current_time()
        proxy.proxy.stop()
        assert await client.receive_to_end() == b""
        assert trio.current_time() - started <= 0.5
    assert proxy.of(e.RelayEnded)[0].why is EndReason.STOPPED


async def test_a_stop_ends_whoever_is_no_relay_too(world, keys, leaping_clock):
    """Silent, half-open, answered, masked: none of them can hold the proxy up."""
    world.front.behaviour = collect
    running = world.make(**DRAIN)
    streams = []
    async with trio.open_nursery() as nursery:
        await nursery.start(running.proxy.run)
        streams.append(await running.stranger())
        streams.append(await running.stranger(world.hello()[:100]))
        answered = await running.stranger()
        await open_tls(answered, keys[0], world.hello())
        streams.append(answered)
        streams.append(await running.stranger(b"GET / HTTP/1.1\r\n"))
        await world.front.wait_for(1)
        running.proxy.stop()
    assert trio.current_time() <= 20.6
    for stream in streams:
        await stream.aclose()
    assert running.proxy.open_connections == 0


async def test_a_cancellation_while_draining_ends_everything_at_once(world, leaping_clock):
    running = world.make(**DRAIN)
    async with trio.open_nursery() as nursery:
        await nursery.start(running.proxy.run)
        client = await running.client()
        await client.send(b"hello")
        assert await client.receive_exactly(5) == b"hello"
        running.proxy.stop()
        await trio.sleep(3)
        nursery.cancel_scope.cancel()
    assert trio.current_time() == pytest.approx(3, abs=0.1)
    assert await client.receive_to_end() == b""
    await client.aclose()


async def test_a_stop_before_the_start_is_a_short_life(world):
    running = world.make()
    running.proxy.stop()
    await running.proxy.run()
    assert [type(event) for event in running.events] == [e.Listening, e.Stopping]


# ---------------------------------------------------------------- two of them


async def test_two_proxies_share_nothing(world, keys):
    one = await world.start()
    other = await world.start()
    hello = world.hello()
    for proxy in (one, other):  # a recording of one is news to the other
        async with await proxy.stranger() as stream:
            await open_tls(stream, keys[0], hello)
    async with await one.client() as client:
        await client.send(bytes(1000))
        assert len(await client.receive_exactly(1000)) == 1000
        assert one.proxy.totals("alice").bytes_up == 1000
        assert other.proxy.totals("alice").sessions == 0
        other.proxy.stop()
        await other.event(e.Stopping)
        await client.send(b"unmoved")
        assert await client.receive_exactly(7) == b"unmoved"
    assert not other.of(e.RelayEnded)
    shared = {id(value) for value in vars_of(one)} & {id(value) for value in vars_of(other)}
    assert not shared


def vars_of(running):
    """The mutable objects that the connections of a proxy share."""
    runtime = running.proxy.runtime
    state = runtime.state
    yield from (
        runtime,
        state,
        runtime.upstreams,
        runtime.resolver,
        runtime.watch,
        runtime.mask_watch,
        runtime.settings,
    )
    yield from (state.users, state.candidates, state.seen_hellos, state.seen_nonces, state.sessions)


async def test_one_proxy_may_front_another(world, keys):
    """A stranger to the first is the front's, and that may be a proxy with users of its own."""
    inner = await world.start(access={"users": {"bob": keys[1].hex()}})
    host, port = inner.address
    outer = await world.start(censorship={"mask_host": host, "mask_port": port})
    async with await outer.client(key=keys[1]) as client:
        await client.send(b"through both")
        assert await client.receive_exactly(12) == b"through both"
    await inner.event(e.RelayEnded)
    await outer.event(e.Masked)


# ---------------------------------------------------------------- bugs


async def test_a_bug_ends_its_connection_alone(world, monkeypatch):
    """What nobody expected is an event with its error; the proxy and the other relays go on."""
    proxy = await world.start()
    async with await proxy.client() as client:
        await client.send(b"hello")
        assert await client.receive_exactly(5) == b"hello"
        monkeypatch.setattr("telemt_trio.proxy.connection.mask", broken)
        async with await proxy.stranger(b"GET / HTTP/1.1\r\n") as stream:
            with suppress(trio.BrokenResourceError):
                assert await stream.receive_some() == b""
        bug = await proxy.event(e.UnexpectedError)
        assert isinstance(bug.error, Mine)
        await proxy.event(e.ConnectionClosed)
        await client.send(b"goes on")
        assert await client.receive_exactly(7) == b"goes on"
    await proxy.event(e.RelayEnded)
    proxy.events.remove(bug)


async def broken(*args):
    await trio.lowlevel.checkpoint()
    raise Mine


@pytest.mark.parametrize(
    "kind", [e.Listening, e.ConnectionOpened, e.HandshakeAccepted, e.RelayEnded, e.ConnectionClosed, e.Stopping]
)
async def test_an_observer_that_raises_leaks_nothing(world, keys, kind, settled):
    """It may end the connection or the proxy; it must not leave anything open, or be kept from the embedder."""
    heard = []

    def observer(event):
        if isinstance(event, e.UnexpectedError):
            heard.append(event.error)
        if isinstance(event, kind):
            raise Mine

    proxy = Proxy(world.config(dc_overrides={"2": "{}:{}".format(*world.datacenter.address)}), observer)
    try:
        async with proxy:
            with suppress(trio.BrokenResourceError):
                async with await connect(proxy.addresses[0], ProxySecret(keys[0], Mode.SECURE)) as client:
                    await client.send(b"hello")
                    await client.receive()
            await settled()
    except* Mine as raised:
        heard.append(raised)
    assert heard
    assert proxy.addresses == []
    assert proxy.open_connections == 0
