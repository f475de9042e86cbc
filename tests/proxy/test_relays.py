from __future__ import annotations

import pytest
import trio

from telemt_trio import events as e
from telemt_trio.testing.fake_datacenter import echo_frames
from telemt_trio.wire.framing import Frame
from telemt_trio.wire.obfuscated2 import ABRIDGED, INTERMEDIATE, SECURE
from telemt_trio.wire.secrets import Mode

EVENT_MODES = {Mode.TLS: e.Mode.TLS, Mode.SECURE: e.Mode.SECURE, Mode.CLASSIC: e.Mode.CLASSIC}
CLIENTS = [
    pytest.param(Mode.TLS, "tdlib", id="ee-tdlib"),
    pytest.param(Mode.TLS, "legacy", id="ee-legacy"),
    pytest.param(Mode.TLS, "minimal", id="ee-minimal"),
    pytest.param(Mode.SECURE, "tdlib", id="dd"),
    pytest.param(Mode.CLASSIC, "tdlib", id="plain"),
]
FRAMINGS = {Mode.TLS: [SECURE, INTERMEDIATE, ABRIDGED], Mode.SECURE: [SECURE], Mode.CLASSIC: [INTERMEDIATE, ABRIDGED]}


async def exchange(client, message):
    """Send while the echo comes back."""
    echo = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, message)
        echo += await client.receive_exactly(len(message))
    return bytes(echo)


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "two-ciphers"])
@pytest.mark.parametrize(("mode", "shape"), CLIENTS)
async def test_every_kind_of_client_reaches_its_datacenter(world, mode, shape, fast):
    proxy = await world.start(general={"fast_mode": fast})
    async with await proxy.client(mode, shape=shape, dc=4) as client:
        for size in (1, 64, 3000, 100_000):
            message = world.entropy(size)
            assert await exchange(client, message) == message
        seen = world.datacenter.connections[0]
        assert (seen.dc, seen.tag, seen.nonce_ok) == (4, client.tag, True)
        live = proxy.proxy.totals("alice")
        assert (live.bytes_up, live.bytes_down, live.sessions, live.current) == (103_065, 103_065, 1, 1)
    ended = await proxy.event(e.RelayEnded)
    await proxy.all_closed()
    accepted = proxy.of(e.HandshakeAccepted)[0]
    assert (accepted.user, accepted.mode, accepted.dc) == ("alice", EVENT_MODES[mode], 4)
    assert (ended.user, ended.why) == ("alice", e.EndReason.FINISHED)
    assert (ended.bytes_up, ended.bytes_down) == (103_065, 103_065)
    totals = proxy.proxy.totals("alice")
    assert (totals.bytes_up, totals.bytes_down, totals.current) == (103_065, 103_065, 0)
    assert (totals.messages_up, totals.messages_down) == (ended.messages_up, ended.messages_down)
    assert not world.front.visits


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "two-ciphers"])
@pytest.mark.parametrize("mode", list(Mode))
async def test_four_megabytes_each_way_are_the_same_bytes(world, mode, fast):
    proxy = await world.start(general={"fast_mode": fast})
    message = world.entropy(4 << 20)
    async with await proxy.client(mode) as client:
        assert await exchange(client, message) == message
        sizes = [record.size for record in client.records]
    ended = await proxy.event(e.RelayEnded)
    assert (ended.bytes_up, ended.bytes_down) == (len(message), len(message))
    assert world.datacenter.connections[0].received_size == len(message)
    assert all(0 < size <= 16384 for size in sizes)
    assert sum(sizes) == (len(message) if mode is Mode.TLS else 0)


@pytest.mark.parametrize(
    ("mode", "tag"),
    [(mode, tag) for mode, tags in FRAMINGS.items() for tag in tags],
    ids=lambda value: str(value)[-20:],
)
async def test_packets_in_every_framing(world, mode, tag):
    world.datacenter.behaviour = echo_frames
    proxy = await world.start()
    async with await proxy.client(mode, tag=tag) as client:
        for words in (1, 16, 126, 127, 5000):
            packet = world.entropy(4 * words)
            await client.send_frame(packet)
            frame = await client.receive_frame()
            assert isinstance(frame, Frame)
            # Both ends of the padded framing may leave up to three whole words of padding in the payload.
            assert frame.payload.startswith(packet)
            assert len(frame.payload) - len(packet) <= (12 if tag == SECURE else 0)
    assert world.datacenter.connections[0].tag == tag


async def test_three_hundred_messages_are_three_hundred_messages(world, proxy):
    async with await proxy.client() as client:
        for number in range(300):
            message = number.to_bytes(4, "big") * 25
            await client.send(message)
            assert await client.receive_exactly(100) == message
    ended = await proxy.event(e.RelayEnded)
    assert (ended.messages_up, ended.messages_down) == (300, 300)
    assert (ended.bytes_up, ended.bytes_down) == (30_000, 30_000)


async def test_sixty_clients_at_once_each_get_their_own_bytes(world, proxy):
    async def one(number):
        mode = list(Mode)[number % 3]
        message = bytes([number]) * 50_000
        async with await proxy.client(mode, dc=1 + number % 5) as client:
            assert await exchange(client, message) == message

    async with trio.open_nursery() as nursery:
        for number in range(60):
            nursery.start_soon(one, number)
    await proxy.event(e.RelayEnded, 60)
    totals = proxy.proxy.totals("alice")
    assert (totals.sessions, totals.bytes_up, totals.bytes_down) == (60, 3_000_000, 3_000_000)


async def test_counts_are_kept_for_each_user(world, keys):
    proxy = await world.start(access={"users": {"alice": keys[0].hex(), "bob": keys[1].hex()}})
    for key, size in ((keys[0], 10), (keys[1], 2000), (keys[0], 30)):
        async with await proxy.client(key=key) as client:
            await client.send(bytes(size))
            await client.receive_exactly(size)
    await proxy.event(e.RelayEnded, 3)
    await proxy.all_closed()
    alice, bob, nobody = map(proxy.proxy.totals, ("alice", "bob", "nobody"))
    assert (alice.sessions, alice.bytes_up, alice.bytes_down) == (2, 40, 40)
    assert (bob.sessions, bob.bytes_up, bob.bytes_down) == (1, 2000, 2000)
    assert (nobody.sessions, nobody.bytes_up) == (0, 0)


async def test_ipv6_clients(world):
    proxy = await world.start(server={"listen_addr_ipv4": "", "listen_addr_ipv6": "::1"})
    async with await proxy.client() as client:
        assert await exchange(client, b"six!") == b"six!"


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_slow_datacenter_pushes_back_and_loses_nothing(world, mode, settled):
    """More than all buffers hold: the proxy stops reading, and every byte arrives once the datacenter reads."""
    gate = trio.Event()
    got = []

    async def waits(link):
        await gate.wait()
        while data := await link.receive():
            got.append(data)

    world.datacenter.behaviour = waits
    proxy = await world.start()
    message = world.entropy(16 << 20)
    async with await proxy.client(mode) as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.send, message)
        await settled()
        assert proxy.proxy.totals("alice").bytes_up < len(message)
        gate.set()
        while sum(map(len, got)) < len(message):
            await settled()
    assert b"".join(got) == message
    assert (await proxy.event(e.RelayEnded)).bytes_up == len(message)


async def test_a_slow_client_pushes_back_and_loses_nothing(world, settled):
    message = world.entropy(16 << 20)

    async def pour(link):
        await link.send(message)
        while await link.receive():
            pass

    world.datacenter.behaviour = pour
    proxy = await world.start()
    async with await proxy.client() as client:
        await client.send(b"go")
        await settled()
        assert proxy.proxy.totals("alice").bytes_down < len(message)
        assert await client.receive_exactly(len(message)) == message
    assert (await proxy.event(e.RelayEnded)).bytes_down == len(message)
