"""Both directions of a relay, moved by each of the drivers, until the first reason to stop."""

import random
import socket

import attrs
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from telemt_trio.events import EndReason
from telemt_trio.net.sockets import close_socket
from telemt_trio.relay.both import relay
from telemt_trio.relay.end import Ending, Outcome
from telemt_trio.streams.faketls import FakeTLSStream
from telemt_trio.streams.obfuscated import ObfuscatedStream
from telemt_trio.streams.tcp import TCPStream
from telemt_trio.wire.obfuscated2 import aes_ctr
from telemt_trio.wire.tls_records import application_header


class Line:
    """A client and a datacenter with a relay between them."""

    def __init__(self, both_ways, side, tcp_pair, *, records=False, keys=False):
        self.client, near = tcp_pair()
        far, self.datacenter = tcp_pair()
        self.near, self.far = near, far
        self.both_ways = both_ways
        self.ending = Ending()
        self.outcome = None
        cipher = {n: aes_ctr(bytes([n]) * 32, bytes(16)) if keys else None for n in range(4)}
        self.up, self.down = both_ways.lay(
            side(near, records=records, decrypt=cipher[0], encrypt=cipher[1]),
            side(far, decrypt=cipher[2], encrypt=cipher[3]),
        )

    async def relay(self):
        self.outcome = await self.both_ways.relay(self.up, self.down, self.ending)


@pytest.fixture
async def line(both_ways, side, tcp_pair):
    return Line(both_ways, side, tcp_pair)


async def test_either_side_may_finish_first(line, nursery, talk):
    nursery.start_soon(line.relay)
    line.client.send(b"question")
    line.client.shutdown(socket.SHUT_WR)
    assert await talk.receive_all(line.datacenter) == b"question"
    await wait_all_tasks_blocked()
    assert line.outcome is None  # half closed: the answer is still to come

    line.datacenter.send(b"answer")
    await wait_all_tasks_blocked()
    line.datacenter.send(b"s")
    line.datacenter.shutdown(socket.SHUT_WR)
    assert await talk.receive_all(line.client) == b"answers"
    await wait_all_tasks_blocked()
    assert line.outcome == Outcome(EndReason.FINISHED, 8, 7, 1, 2)


async def test_the_datacenter_may_finish_first(line, nursery, talk):
    nursery.start_soon(line.relay)
    line.datacenter.shutdown(socket.SHUT_WR)
    assert await talk.receive_all(line.client) == b""
    line.client.send(b"late")
    line.client.shutdown(socket.SHUT_WR)
    assert await talk.receive_all(line.datacenter) == b"late"
    await wait_all_tasks_blocked()
    assert line.outcome == Outcome(EndReason.FINISHED, 4, 0, 1, 0)


async def test_both_may_finish_at_once(line, talk):
    for sock in (line.client, line.datacenter):
        sock.send(b"bye")
        sock.shutdown(socket.SHUT_WR)
    await line.relay()
    assert line.outcome == Outcome(EndReason.FINISHED, 3, 3, 1, 1)
    assert await talk.receive_all(line.client) == await talk.receive_all(line.datacenter) == b"bye"


async def test_a_lost_client_ends_both(line, nursery):
    nursery.start_soon(line.relay)
    line.datacenter.send(b"abc")
    await wait_all_tasks_blocked()
    close_socket(line.client, reset=True)
    await wait_all_tasks_blocked()
    assert line.outcome.why is EndReason.CLIENT_LOST
    assert line.ending.why is EndReason.CLIENT_LOST
    assert (line.outcome.bytes_up, line.outcome.bytes_down) == (0, 3)


async def test_a_lost_datacenter_ends_both(line, nursery):
    nursery.start_soon(line.relay)
    await wait_all_tasks_blocked()
    close_socket(line.datacenter, reset=True)
    await wait_all_tasks_blocked()
    assert line.outcome == Outcome(EndReason.UPSTREAM_LOST, 0, 0, 0, 0)


async def test_a_client_lost_after_one_side_finished_still_ends_it(line, nursery):
    nursery.start_soon(line.relay)
    line.datacenter.shutdown(socket.SHUT_WR)
    await wait_all_tasks_blocked()
    close_socket(line.client, reset=True)
    await wait_all_tasks_blocked()
    assert line.outcome.why is EndReason.CLIENT_LOST


async def test_broken_records_end_both(both_ways, side, tcp_pair, nursery):
    line = Line(both_ways, side, tcp_pair, records=True)
    nursery.start_soon(line.relay)
    line.client.send(application_header(2) + b"ok" + b"GET / HTTP/1.1")
    await wait_all_tasks_blocked()
    assert line.outcome == Outcome(EndReason.PROTOCOL, 2, 0, 1, 0)
    assert line.datacenter.recv(10) == b"ok"


async def test_the_first_reason_wins(line, nursery):
    nursery.start_soon(line.relay)
    await wait_all_tasks_blocked()
    line.ending.end(EndReason.EVICTED)
    line.ending.end(EndReason.STOPPED)
    close_socket(line.client, reset=True)
    await wait_all_tasks_blocked()
    assert line.outcome.why is EndReason.EVICTED


async def test_an_end_before_the_start_takes_effect_at_once(line):
    line.ending.end(EndReason.DISABLED)
    with trio.fail_after(5):
        await line.relay()
    assert line.outcome == Outcome(EndReason.DISABLED, 0, 0, 0, 0)


async def test_an_end_from_outside_settles_the_counts(line, nursery, talk):
    """The client does not read: what its socket did not take must not count."""
    nursery.start_soon(line.relay)
    with trio.move_on_after(0):
        await talk.send_all(line.datacenter, bytes(100))
    line.client.send(b"up")
    await wait_all_tasks_blocked()
    line.ending.end(EndReason.ROUTE_CHANGED)
    await wait_all_tasks_blocked()
    assert line.outcome == Outcome(EndReason.ROUTE_CHANGED, 2, 100, 1, 1)


@pytest.mark.parametrize("upload", [True, False])
async def test_a_full_peer_is_settled_too(line, talk, upload):
    async with trio.open_nursery() as flood:
        flood.start_soon(line.relay)
        flood.start_soon(talk.send_all, line.client if upload else line.datacenter, bytes(30_000_000))
        await wait_all_tasks_blocked()
        line.ending.end(EndReason.STOPPED)
        await wait_all_tasks_blocked()
        flood.cancel_scope.cancel()
    (line.far if upload else line.near).shutdown(socket.SHUT_WR)
    delivered = len(await talk.receive_all(line.datacenter if upload else line.client))
    counted = line.outcome.bytes_up if upload else line.outcome.bytes_down
    assert counted == delivered if line.both_ways.exact else delivered - 65536 <= counted <= delivered


async def test_cancellation_passes_through_with_the_counts_settled(line, talk):
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(line.relay)
            nursery.start_soon(talk.send_all, line.datacenter, bytes(30_000_000))
            await wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught
    assert line.outcome is None
    assert line.ending.why is None
    line.near.shutdown(socket.SHUT_WR)
    delivered = len(await talk.receive_all(line.client))
    assert line.down.bytes == delivered if line.both_ways.exact else delivered - 65536 <= line.down.bytes <= delivered


async def test_the_sockets_stay_open_for_who_opened_them(line):
    line.ending.end(EndReason.STOPPED)
    await line.relay()
    assert line.near.fileno() > 0
    assert line.far.fileno() > 0
    line.near.send(b"x")


async def test_an_end_after_the_end_is_no_news(line):
    line.client.shutdown(socket.SHUT_WR)
    line.datacenter.shutdown(socket.SHUT_WR)
    await line.relay()
    line.ending.end(EndReason.IDLE)
    assert line.outcome.why is EndReason.FINISHED


class Buggy:
    """A cipher that nobody expected to fail."""

    def update(self, _data):
        raise ZeroDivisionError

    def update_into(self, _data, _out):
        raise ZeroDivisionError


async def test_a_bug_comes_out_where_the_relay_was_started(both_ways, side, tcp_pair):
    client, near = tcp_pair()
    far, datacenter = tcp_pair()
    up, down = both_ways.lay(side(near), side(far, decrypt=Buggy()))
    client.send(b"fine")

    async def trigger():
        await trio.lowlevel.wait_readable(datacenter)
        datacenter.send(b"not fine")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trigger)
        with pytest.RaisesGroup(ZeroDivisionError):
            await both_ways.relay(up, down, Ending())
    assert (up.bytes, down.bytes) == (4, 0)


# ---------------------------------------------------------------- nothing lost, nothing doubled


@given(
    size_up=st.integers(1, 1_000_000) | st.sampled_from([1, 1_000_000]),
    size_down=st.integers(1, 1_000_000) | st.sampled_from([1, 1_000_000]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_random_bytes_in_both_directions_arrive(both_ways, side, tcp_pair, size_up, size_down, seed):
    """A FakeTLS client and a datacenter, each with its own keys, talking at once and in pieces of any size."""
    rng = random.Random(seed)
    up, down = rng.randbytes(size_up), rng.randbytes(size_down)
    line = Line(both_ways, side, tcp_pair, records=True, keys=True)
    cipher = [aes_ctr(bytes([n]) * 32, bytes(16)) for n in range(4)]
    client = ObfuscatedStream(FakeTLSStream(TCPStream(line.client)), cipher[1], cipher[0])
    datacenter = ObfuscatedStream(TCPStream(line.datacenter), cipher[3], cipher[2])
    got = {client: bytearray(), datacenter: bytearray()}

    async def say(stream, data):
        at = 0
        while at < len(data):
            size = rng.choice([1, 100, 2878, 16384, 100_000])
            await stream.send_all(data[at : at + size])
            at += size
        await stream.send_eof()

    async def hear(stream):
        while data := await stream.receive_some(rng.choice([1, 4000, 65536])):
            got[stream] += data

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(line.relay)
            nursery.start_soon(say, client, up)
            nursery.start_soon(say, datacenter, down)
            nursery.start_soon(hear, client)
            nursery.start_soon(hear, datacenter)
    assert got[datacenter] == up
    assert got[client] == down
    assert line.outcome.why is EndReason.FINISHED
    assert (line.outcome.bytes_up, line.outcome.bytes_down) == (size_up, size_down)
    for stream in (client, datacenter):
        await stream.aclose()
    for sock in (line.near, line.far):
        sock.close()


# ---------------------------------------------------------------- the nursery alone, with directions made up


@attrs.define(eq=False)
class Fake:
    why: EndReason | None
    after: float = 0.0
    bytes: int = 0
    messages: int = 0
    settled: int = 0

    def settle(self):
        self.settled += 1


async def fake_driver(direction):
    await trio.sleep(direction.after)
    direction.bytes += 1
    direction.messages += 1
    if direction.why is None:
        raise ZeroDivisionError
    return direction.why


@pytest.mark.parametrize(
    ("up", "down", "why"),
    [
        (Fake(EndReason.FINISHED, 1), Fake(EndReason.FINISHED, 5), EndReason.FINISHED),
        (Fake(EndReason.FINISHED, 5), Fake(EndReason.FINISHED, 1), EndReason.FINISHED),
        (Fake(EndReason.FINISHED, 1), Fake(EndReason.UPSTREAM_LOST, 5), EndReason.UPSTREAM_LOST),
        (Fake(EndReason.CLIENT_LOST, 5), Fake(EndReason.FINISHED, 1), EndReason.CLIENT_LOST),
        (Fake(EndReason.CLIENT_LOST, 1), Fake(EndReason.UPSTREAM_LOST, 5), EndReason.CLIENT_LOST),
        (Fake(EndReason.PROTOCOL, 5), Fake(EndReason.UPSTREAM_LOST, 1), EndReason.UPSTREAM_LOST),
    ],
)
async def test_a_relay_lasts_until_both_finish_or_one_has_a_reason(autojump_clock, up, down, why):
    up, down = attrs.evolve(up), attrs.evolve(down)
    began = trio.current_time()
    outcome = await relay(fake_driver, up, down, Ending())
    assert outcome.why is why
    finished = up.why is down.why is EndReason.FINISHED
    last = max(up.after, down.after)
    by_reason = min(side.after for side in (up, down) if finished or side.why is not EndReason.FINISHED)
    assert trio.current_time() - began == (last if finished else by_reason)
    assert (outcome.bytes_up, outcome.messages_up) == (up.bytes, up.messages)
    assert (outcome.bytes_down, outcome.messages_down) == (down.bytes, down.messages)
    assert (up.settled, down.settled) == (1, 1)


async def test_a_bug_in_a_driver_comes_out_with_the_counts_settled(autojump_clock):
    up, down = Fake(None, 1), Fake(EndReason.FINISHED, 5)
    with pytest.RaisesGroup(ZeroDivisionError):
        await relay(fake_driver, up, down, Ending())
    assert (up.settled, down.settled) == (1, 1)
