"""Many users: whoever comes back is found at once, a newcomer's search lets the others go first."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from telemt_trio import events as e
from telemt_trio.testing.client import open_tls
from telemt_trio.wire.secrets import Mode

COUNT = 1000


def name(number):
    return f"user{number:04}"


def key(number):
    return number.to_bytes(2, "big") * 8


class Turns(trio.abc.Instrument):
    """Counts how often the tasks that serve connections were given the processor before somebody was accepted."""

    def __init__(self, proxy):
        self.count = 0
        self._proxy = proxy
        self._before = len(proxy.of(e.HandshakeAccepted))

    def before_task_step(self, task):
        serves = "serve" in task.name and "accept" not in task.name
        self.count += serves and len(self._proxy.of(e.HandshakeAccepted)) == self._before


@pytest.fixture
async def crowd(world):
    """A proxy with a thousand users."""
    users = {name(number): key(number).hex() for number in range(1, COUNT + 1)}
    users["alice"] = "8f1c2d3e4b5a69788796a5b4c3d2e1f0"
    return await world.start(access={"users": users})


async def turns_of_a_nonce(proxy, mode, number):
    """How many turns it took the proxy to find a user by a nonce."""
    async with await proxy.client(mode, key=key(number)) as client:
        await trio.testing.wait_all_tasks_blocked()
        turns = Turns(proxy)
        trio.lowlevel.add_instrument(turns)
        await client.send(b"x")
        assert await client.receive_exactly(1) == b"x"
        trio.lowlevel.remove_instrument(turns)
    await proxy.all_closed()
    assert proxy.of(e.HandshakeAccepted)[-1].user == name(number)
    return turns.count


async def turns_of_a_hello(world, proxy, number, *, source="127.0.0.1", **options):
    """How many turns it took until a hello from the address ``source`` was answered."""
    sock = trio.socket.socket()
    await sock.bind((source, 0))
    await sock.connect(proxy.address)
    async with trio.SocketStream(sock) as stream:
        await trio.testing.wait_all_tasks_blocked()
        turns = Turns(proxy)
        trio.lowlevel.add_instrument(turns)
        await open_tls(stream, key(number), world.hello(key(number), **options))
        trio.lowlevel.remove_instrument(turns)
    await proxy.all_closed()
    return turns.count


@pytest.mark.parametrize("number", [1, 65, 256, 257, COUNT])
async def test_everybody_is_found(world, crowd, number):
    for mode in Mode:
        async with await crowd.client(mode, key=key(number)) as client:
            await client.send(b"found")
            assert await client.receive_exactly(5) == b"found"
    await crowd.event(e.HandshakeAccepted, 3)
    assert {event.user for event in crowd.of(e.HandshakeAccepted)} == {name(number)}


async def test_a_newcomers_hello_yields_every_256_users_and_a_returning_one_does_not(world, crowd):
    first = await turns_of_a_hello(world, crowd, COUNT)
    again = await turns_of_a_hello(world, crowd, COUNT)
    near = await turns_of_a_hello(world, crowd, 1)
    assert first == again + COUNT // 256
    assert near == again


@pytest.mark.parametrize("mode", [Mode.SECURE, Mode.CLASSIC])
async def test_a_newcomers_nonce_yields_and_a_returning_one_does_not(crowd, mode):
    first = await turns_of_a_nonce(crowd, mode, COUNT)
    again = await turns_of_a_nonce(crowd, mode, COUNT)
    assert first == again + COUNT // 256


async def test_the_others_go_on_while_a_newcomer_is_looked_for(world, crowd):
    """A stranger's hello fits nobody: the longest search there is."""
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await trio.lowlevel.checkpoint()
            ticks += not crowd.of(e.HandshakeRejected)

    async with trio.open_nursery() as nursery:
        stream = await crowd.stranger()
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(tick)
        await stream.send_all(world.hello(b"\xaa" * 16))
        await crowd.event(e.HandshakeRejected)
        nursery.cancel_scope.cancel()
    await stream.aclose()
    assert ticks >= COUNT // 256 - 1  # who goes first within a turn of trio's is left to chance


async def test_a_client_that_moved_is_found_by_its_name(world, crowd):
    """Clients ask for the domain that stands in their link; an operator may give every user one of his own."""
    hinted = await turns_of_a_hello(world, crowd, COUNT, domain=name(COUNT))
    near = await turns_of_a_hello(world, crowd, 1)
    assert hinted == near


async def test_an_address_is_remembered_when_many_others_came_since(world, crowd):
    there = {"source": "127.0.1.5"}
    await turns_of_a_hello(world, crowd, COUNT, **there)
    for number in range(1, 101):
        await turns_of_a_hello(world, crowd, number, source=f"127.0.2.{number}")
    again = await turns_of_a_hello(world, crowd, COUNT, **there)
    neighbour = await turns_of_a_hello(world, crowd, COUNT, source="127.0.1.6")
    elsewhere = await turns_of_a_hello(world, crowd, COUNT - 1, source="127.0.3.1")
    assert again == neighbour == elsewhere - COUNT // 256
