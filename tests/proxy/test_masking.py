"""When the front cannot be had, or has had enough: silence, limits, and one line for the operator."""

from __future__ import annotations

import errno
import socket

import attrs
import pytest
import trio

from telemt_trio import events as e
from telemt_trio.events import RejectReason
from telemt_trio.testing import fake_datacenter
from telemt_trio.testing.fake_front import close_after, collect, echo, flood, open_fake_front, reset_after
from telemt_trio.wire.secrets import Mode

GET = b"GET / HTTP/1.1\r\n\r\n"
DOWN = {"censorship": {"mask_host": "127.0.0.1", "mask_port": 9}}


async def send_for_ever(stream):
    while True:
        await stream.send_all(bytes(4096))


async def knock(world, proxy, kind, keys):
    return {"http": GET, "hello": world.hello(keys[1]), "noise": b"\x05" * 64}[kind]


@pytest.mark.parametrize("kind", ["http", "hello", "noise"])
async def test_a_front_that_is_down_is_silence_until_the_stranger_leaves(world, keys, kind, settled):
    proxy = await world.start(**DOWN)
    async with await proxy.stranger(await knock(world, proxy, kind, keys)) as stream:
        failed = await proxy.event(e.MaskFailed)
        assert failed.error == "Connection refused"
        await stream.send_all(b"anybody there?")
        await settled()
        assert not proxy.of(e.ConnectionClosed)
        await stream.send_eof()
        assert await stream.receive_some() == b""
    await proxy.all_closed()
    assert not proxy.of(e.Masked)


async def test_silence_has_an_end(world, leaping_clock):
    proxy = await world.start(**DOWN)
    started = trio.current_time()
    async with await proxy.stranger(GET) as stream:
        assert await stream.receive_some() == b""
    assert trio.current_time() - started == pytest.approx(60, abs=1)


async def test_silence_does_not_listen_for_ever(world):
    proxy = await world.start(**DOWN)
    async with await proxy.stranger(GET) as stream:
        await proxy.event(e.MaskFailed)
        with pytest.raises(trio.BrokenResourceError):
            await send_for_ever(stream)
    await proxy.all_closed()


@pytest.mark.parametrize("kind", ["http", "hello", "noise"])
async def test_without_masking_there_is_silence(world, keys, kind, settled):
    proxy = await world.start(censorship={"mask": False})
    async with await proxy.stranger(await knock(world, proxy, kind, keys)) as stream:
        await proxy.event(e.HandshakeRejected)
        await settled()
        await stream.send_eof()
        assert await stream.receive_some() == b""
    await proxy.all_closed()
    assert not world.front.visits
    assert not proxy.of(e.Masked, e.MaskFailed)


async def test_clients_are_served_while_the_front_is_down(world):
    proxy = await world.start(**DOWN)
    async with await proxy.client() as client:
        await client.send(b"fine")
        assert await client.receive_exactly(4) == b"fine"


async def test_a_front_whose_name_does_not_resolve(world, monkeypatch):
    def unknown(*args, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    proxy = await world.start(censorship={"mask_host": "no.such.example"})
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    async with await plain_stream(proxy, GET) as stream:
        failed = await proxy.event(e.MaskFailed)
        await stream.send_eof()
        assert await stream.receive_some() == b""
    assert "no.such.example" in failed.error
    assert "not known" in failed.error


async def plain_stream(proxy, data):
    """A stranger that asks no resolver."""
    sock = trio.socket.socket()
    await sock.connect(proxy.address)
    stream = trio.SocketStream(sock)
    await stream.send_all(data)
    return stream


async def test_a_front_that_is_named(world, monkeypatch):
    asked = []

    def known(host, port, **options):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    proxy = await world.start(censorship={"mask_host": "front.example.org"})
    monkeypatch.setattr(socket, "getaddrinfo", known)
    async with await plain_stream(proxy, GET) as stream:
        assert await stream.receive_some() == GET
    assert asked == ["front.example.org"]


async def test_a_name_may_be_pinned_to_an_address(world):
    host, port = world.front.address
    proxy = await world.start(
        censorship={"mask_host": "front.example.org"},
        network={"dns_overrides": [f"front.example.org:{port}:{host}"]},
    )
    assert await proxy.told(GET) == GET


async def test_a_name_from_the_wire_is_never_dialled(world, keys):
    proxy = await world.start()
    hello = world.hello(keys[1], domain="localhost")
    assert await proxy.told(hello) == hello
    assert len(world.front.visits) == 1


async def test_a_front_that_does_not_answer_the_dial(world, leaping_clock, monkeypatch):
    async def black_hole(addresses, **options):
        await trio.sleep_forever()

    monkeypatch.setattr("telemt_trio.proxy.masking.dial_any", black_hole)
    proxy = await world.start()
    started = trio.current_time()
    async with await proxy.stranger(GET):
        failed = await proxy.event(e.MaskFailed)
    assert trio.current_time() - started == pytest.approx(5)
    assert failed.error == "no connection within the time limit"


@pytest.mark.parametrize(
    ("host", "connections"), [("127.0.0.1", 1), ("0.0.0.0", 2), ("::ffff:127.0.0.1", 2)], ids=["same", "any", "mapped"]
)
async def test_the_front_cannot_be_the_proxy_itself(world, settled, host, connections):
    proxy = await world.start(server={"listen_addr_ipv4": "0.0.0.0"}, censorship={"mask_host": host})
    port = proxy.address[1]
    runtime = proxy.proxy.runtime
    # The port is known only now that it is bound.
    runtime.settings = attrs.evolve(runtime.settings, mask=attrs.evolve(runtime.settings.mask, port=port))
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(GET)
        await proxy.event(e.MaskFailed)
        await settled()
        await stream.send_eof()
        assert await stream.receive_some() == b""
    await proxy.all_closed()
    assert "this proxy itself" in proxy.of(e.MaskFailed)[0].error
    assert len(proxy.of(e.ConnectionOpened)) == connections


async def test_another_port_of_this_machine_is_a_front(world):
    async with open_fake_front(behaviour=echo) as other:
        proxy = await world.start(censorship={"mask_host": "127.0.0.1", "mask_port": other.address[1]})
        assert await proxy.told(GET) == GET


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize("size", [0, 999, 1000, 1001, 10_000])
async def test_the_first_flight_does_not_count(world, size):
    proxy = await world.start(censorship={"mask_relay_max_bytes": 1})
    data = b"POST" + bytes(size)
    async with await proxy.stranger(data) as stream:
        got = await stream.receive_some(1)
        assert got == b"P"
        await proxy.all_closed()
    assert bytes(world.front.visits[0].received).startswith(data[:10])


async def test_what_a_stranger_may_send(world, settled):
    world.front.behaviour = collect
    proxy = await world.start(censorship={"mask_relay_max_bytes": 10_000})
    async with await proxy.stranger(GET) as stream:
        visit = await world.front.wait_for(1)
        await settled()
        for _ in range(10):
            await stream.send_all(bytes(1000))
            await settled()
        await visit.ended.wait()
    assert len(visit.received) == len(GET) + 10_000
    await proxy.all_closed()


async def test_what_a_stranger_may_get(world):
    world.front.behaviour = flood(1 << 20)
    proxy = await world.start(censorship={"mask_relay_max_bytes": 100_000})
    async with await proxy.stranger(GET) as stream:
        got = 0
        try:
            while data := await stream.receive_some():
                got += len(data)
        except trio.BrokenResourceError:
            pass
    assert got == 100_000
    await proxy.all_closed()
    assert proxy.of(e.Masked)[0].bytes_down == 100_000


async def test_no_limit_is_no_limit(world):
    world.front.behaviour = flood(8 << 20)
    proxy = await world.start(censorship={"mask_relay_max_bytes": 0})
    async with await proxy.stranger(GET) as stream:
        got = 0
        while got < 8 << 20:
            got += len(await stream.receive_some())


@pytest.mark.parametrize("limit", [5_000, 60_000])
async def test_how_long_a_stranger_may_stay(world, leaping_clock, limit):
    proxy = await world.start(censorship={"mask_relay_timeout_ms": limit, "mask_relay_idle_timeout_ms": 300_000})
    started = trio.current_time()
    async with await proxy.stranger(GET) as stream:
        assert await stream.receive_some() == GET
        assert await stream.receive_some() == b""
    assert trio.current_time() - started == pytest.approx(limit / 1000, abs=0.1)
    await proxy.all_closed()
    (masked,) = proxy.of(e.Masked)
    assert (masked.bytes_up, masked.bytes_down) == (len(GET), len(GET))


async def test_how_long_a_stranger_may_be_silent(world, leaping_clock):
    proxy = await world.start(censorship={"mask_relay_idle_timeout_ms": 30_000})
    started = trio.current_time()
    async with await proxy.stranger(GET) as stream:
        assert await stream.receive_some() == GET
        await trio.sleep(25)
        await stream.send_all(b"still here")
        assert await stream.receive_some() == b"still here"
        assert await stream.receive_some() == b""
    assert 55 <= trio.current_time() - started <= 76
    await proxy.all_closed()


# ---------------------------------------------------------------- resets


async def test_a_stranger_that_resets_while_masked(world, proxy, reset):
    world.front.behaviour = collect
    stream = await proxy.stranger(GET)
    visit = await world.front.wait_for(1)
    reset(stream)
    await visit.ended.wait()
    await proxy.all_closed()
    assert proxy.of(e.Masked)[0].bytes_up == len(GET)


@pytest.mark.parametrize("behaviour", [reset_after(5), close_after(5)], ids=["reset", "close"])
async def test_a_front_that_breaks_off(world, behaviour):
    world.front.behaviour = behaviour
    proxy = await world.start()
    async with await proxy.stranger(GET) as stream:
        with pytest.raises(trio.BrokenResourceError):
            await send_for_ever(stream)
    await proxy.all_closed()
    assert proxy.of(e.HandshakeRejected)[0].reason is RejectReason.NOT_OURS


async def test_a_front_that_ends_in_order(world):
    """A stranger sees FIN where the front sent FIN."""
    world.front.behaviour = close_after(len(GET))
    proxy = await world.start()
    async with await proxy.stranger(GET) as stream:
        assert await stream.receive_some() == b""


@pytest.mark.parametrize(("rst", "expected"), [("off", b""), ("errors", OSError), ("always", OSError)])
async def test_strangers_may_be_closed_with_a_reset(world, rst, expected):
    proxy = await world.start(general={"rst_on_close": rst}, censorship={"mask": False})
    async with await plain_stream(proxy, GET) as stream:
        await proxy.event(e.HandshakeRejected)
        await stream.send_eof()
        if expected == b"":
            assert await stream.receive_some() == b""
        else:
            with pytest.raises(trio.BrokenResourceError) as broken:
                await stream.receive_some()
            assert broken.value.__cause__.errno == errno.ECONNRESET


@pytest.mark.parametrize(("rst", "resets"), [("off", False), ("errors", False), ("always", True)])
async def test_clients_are_closed_with_a_reset_only_always(world, rst, resets):
    world.datacenter.behaviour = fake_datacenter.reset_after(0)
    proxy = await world.start(general={"rst_on_close": rst})
    async with await proxy.client(Mode.SECURE) as client:
        await client.send(b"x")
        if resets:
            with pytest.raises(trio.BrokenResourceError):
                await client.receive_to_end()
        else:
            await client.receive_to_end()
    assert (await proxy.event(e.RelayEnded)).why is e.EndReason.UPSTREAM_LOST
