"""What every driver of one direction promises, over real sockets: one suite, once with pipes and once with streams."""

import socket

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from telemt_trio.events import EndReason
from telemt_trio.net.sockets import close_socket
from telemt_trio.wire.obfuscated2 import aes_ctr
from telemt_trio.wire.tls_records import application_header

ALERT = bytes.fromhex("15030300020100")
HANDSHAKE = bytes.fromhex("1603030010") + bytes(16)
CCS = bytes.fromhex("140303000101")
REASONS = {"source_lost": EndReason.EVICTED, "sink_lost": EndReason.STOPPED}  # reasons that cannot be mixed up


def record(payload):
    return application_header(len(payload)) + payload


class Lane:
    """A direction from ``client`` to ``server``, both sockets of peers."""

    def __init__(self, one_way, side, tcp_pair, *, records=(False, False), ciphers=(None, None), **options):
        self.client, near = tcp_pair()
        far, self.server = tcp_pair()
        self.near, self.far = near, far
        self.direction = one_way.lay(
            side(near, records=records[0], decrypt=ciphers[0]),
            side(far, records=records[1], encrypt=ciphers[1]),
            **REASONS,
            **options,
        )
        self.one_way = one_way
        self.why = None

    async def move(self):
        self.why = await self.one_way.move(self.direction)


@pytest.fixture
def lay(one_way, side, tcp_pair):
    return lambda **options: Lane(one_way, side, tcp_pair, **options)


async def test_bytes_arrive_and_so_does_the_end(lay, nursery, talk):
    lane = lay()
    nursery.start_soon(lane.move)
    lane.client.send(b"one")
    await wait_all_tasks_blocked()
    assert lane.server.recv(100) == b"one"
    lane.client.send(b"two")
    lane.client.shutdown(socket.SHUT_WR)
    assert await talk.receive_all(lane.server) == b"two"
    await wait_all_tasks_blocked()
    assert lane.why is EndReason.FINISHED
    assert (lane.direction.bytes, lane.direction.messages) == (6, 2)


async def test_the_end_alone_is_passed_on(lay, talk):
    lane = lay()
    lane.client.shutdown(socket.SHUT_WR)
    await lane.move()
    assert await talk.receive_all(lane.server) == b""
    assert lane.why is EndReason.FINISHED
    assert (lane.direction.bytes, lane.direction.messages) == (0, 0)


async def test_the_other_way_stays_open(lay):
    lane = lay()
    lane.client.shutdown(socket.SHUT_WR)
    await lane.move()
    lane.server.send(b"back")
    await trio.lowlevel.wait_readable(lane.far)
    assert lane.far.recv(10) == b"back"
    lane.near.send(b"on")
    await trio.lowlevel.wait_readable(lane.client)
    assert lane.client.recv(10) == b"on"


async def test_a_megabyte_waits_for_a_slow_reader(lay, nursery, talk):
    lane = lay(records=(False, True))
    payload = bytes(range(256)) * 4096
    got = bytearray()

    async def send():
        await talk.send_all(lane.client, payload)
        lane.client.shutdown(socket.SHUT_WR)

    nursery.start_soon(send)
    nursery.start_soon(lane.move)
    await wait_all_tasks_blocked()
    got += await talk.receive_all(lane.server)
    await wait_all_tasks_blocked()
    assert lane.why is EndReason.FINISHED
    assert lane.direction.bytes == len(payload)
    payloads = []
    while got:
        length = int.from_bytes(got[3:5], "big")
        assert got[:3] == b"\x17\x03\x03"
        assert 0 < length <= 16384
        payloads.append(bytes(got[5 : 5 + length]))
        del got[: 5 + length]
    assert b"".join(payloads) == payload


async def test_payload_is_what_counts(lay):
    lane = lay(records=(True, True))
    lane.client.send(CCS + record(b"abc") + record(b"") + record(b"de"))
    lane.client.shutdown(socket.SHUT_WR)
    await lane.move()
    assert lane.server.recv(100) == record(b"abcde")
    assert (lane.direction.bytes, lane.direction.messages) == (5, 1)


async def test_one_key_for_the_way_in_and_another_for_the_way_out(lay):
    def key(n):
        return aes_ctr(bytes([n]) * 32, bytes(16))

    lane = lay(records=(True, False), ciphers=(key(1), key(2)))
    lane.client.send(record(key(1).update(b"payload")))
    lane.client.shutdown(socket.SHUT_WR)
    await lane.move()
    assert key(2).update(lane.server.recv(100)) == b"payload"


# ---------------------------------------------------------------- ends


async def test_a_source_that_breaks_is_lost(lay):
    lane = lay()
    close_socket(lane.client, reset=True)
    await lane.move()
    assert lane.why is EndReason.EVICTED


async def test_a_source_that_breaks_in_the_middle_is_lost(lay, nursery):
    lane = lay(records=(True, False))
    nursery.start_soon(lane.move)
    lane.client.send(record(b"abc"))
    await wait_all_tasks_blocked()
    close_socket(lane.client, reset=True)
    await wait_all_tasks_blocked()
    assert lane.why is EndReason.EVICTED
    assert lane.direction.bytes == 3
    assert lane.server.recv(100) == b"abc"


async def test_a_sink_that_breaks_is_lost(lay, nursery):
    lane = lay()
    nursery.start_soon(lane.move)
    close_socket(lane.server, reset=True)
    await wait_all_tasks_blocked()
    lane.client.send(b"abc")
    await wait_all_tasks_blocked()
    lane.client.send(b"abc")
    await wait_all_tasks_blocked()
    assert lane.why is EndReason.STOPPED


async def test_a_sink_that_breaks_while_it_is_full_is_lost(lay, nursery, talk):
    lane = lay()
    nursery.start_soon(lane.move)
    with trio.move_on_after(0.5):
        nursery.start_soon(expect_broken, talk.send_all, lane.client, bytes(30_000_000))
        await wait_all_tasks_blocked()
    close_socket(lane.server, reset=True)
    await wait_all_tasks_blocked()
    assert lane.why is EndReason.STOPPED
    close_socket(lane.near, reset=True)


async def expect_broken(send, *args):
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        await send(*args)


async def test_an_end_that_cannot_be_passed_on_is_a_lost_sink(lay):
    lane = lay()
    close_socket(lane.server, reset=True)
    await trio.lowlevel.wait_readable(lane.far)
    lane.client.shutdown(socket.SHUT_WR)
    await lane.move()
    assert lane.why is EndReason.STOPPED


@pytest.mark.parametrize("cut", [0, 1, 5, 8, 10])
async def test_an_alert_is_the_end_while_the_socket_stays_open(lay, nursery, talk, cut):
    lane = lay(records=(True, False))
    wire = record(b"abc") + ALERT
    nursery.start_soon(lane.move)
    lane.client.send(wire[:cut])
    await wait_all_tasks_blocked()
    lane.client.send(wire[cut:])
    assert await talk.receive_all(lane.server) == b"abc"
    await wait_all_tasks_blocked()
    assert lane.why is EndReason.FINISHED


@pytest.mark.parametrize("cut", [0, 1, 5, 8, 12])
async def test_broken_records_end_it_at_once_behind_their_payload(lay, nursery, cut):
    lane = lay(records=(True, False))
    wire = record(b"abc") + HANDSHAKE
    nursery.start_soon(lane.move)
    lane.client.send(wire[:cut])
    await wait_all_tasks_blocked()
    lane.client.send(wire[cut:])
    await wait_all_tasks_blocked()
    assert lane.why is EndReason.PROTOCOL
    assert lane.direction.bytes == 3
    assert lane.server.recv(100) == b"abc"
    with pytest.raises(BlockingIOError):  # no end is passed on
        lane.server.recv(100)


async def test_a_stream_may_end_inside_a_record(lay, talk):
    lane = lay(records=(True, False))
    lane.client.send(record(b"abcdef")[:-2])
    lane.client.shutdown(socket.SHUT_WR)
    await lane.move()
    assert lane.why is EndReason.FINISHED
    assert await talk.receive_all(lane.server) == b"abcd"


# ---------------------------------------------------------------- meters and cancellation


async def test_a_meter_sets_the_pace_to_the_second(lay, allowance, autojump_clock, talk):
    lane = lay(meter=(meter := allowance(trio.current_time, 100)), clock=trio.current_time)
    lane.client.send(b"x" * 950)
    lane.client.shutdown(socket.SHUT_WR)
    began = trio.current_time()
    await lane.move()
    assert trio.current_time() == began + 9  # the tenth second has 50 bytes too many, enough to learn of the end
    assert (meter.charged, meter.refunded, lane.direction.bytes) == (950, 0, 950)
    assert len(await talk.receive_all(lane.server)) == 950


async def test_a_meter_is_charged_for_payload(lay, allowance):
    lane = lay(records=(True, True), meter=(meter := allowance(trio.current_time, 10_000)), clock=trio.current_time)
    lane.client.send(CCS + record(b"abc") + record(b"de"))
    lane.client.shutdown(socket.SHUT_WR)
    await lane.move()
    assert (meter.charged, meter.refunded) == (5, 0)


async def test_what_a_lost_sink_never_took_is_given_back(lay, allowance, nursery):
    lane = lay(meter=(meter := allowance(trio.current_time, 10_000)), clock=trio.current_time)
    nursery.start_soon(lane.move)
    close_socket(lane.server, reset=True)
    await wait_all_tasks_blocked()
    for _ in range(2):
        lane.client.send(b"abc")
        await wait_all_tasks_blocked()
    assert lane.why is EndReason.STOPPED
    lane.direction.settle()
    lane.direction.settle()
    assert meter.charged - meter.refunded == lane.direction.bytes


@pytest.mark.parametrize("records", [True, False])
async def test_cut_short_it_counts_what_was_delivered(lay, one_way, nursery, records, talk, allowance):
    """All of it where the driver can know, else the chunks that were delivered whole."""
    lane = lay(records=(False, records), meter=(meter := allowance(trio.current_time, 10**9)), clock=trio.current_time)
    lane.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_000_000)
    async with trio.open_nursery() as both:
        both.start_soon(lane.move)
        both.start_soon(talk.send_all, lane.client, bytes(30_000_000))
        await wait_all_tasks_blocked()
        both.cancel_scope.cancel()
    lane.direction.settle()
    lane.direction.settle()
    lane.far.shutdown(socket.SHUT_WR)
    wire = await talk.receive_all(lane.server)
    delivered = payload_size(wire) if records else len(wire)
    assert lane.why is None
    if one_way.exact:
        assert lane.direction.bytes == delivered
    else:
        assert delivered - 65536 <= lane.direction.bytes <= delivered
    assert meter.charged - meter.refunded == lane.direction.bytes


def payload_size(wire):
    """Payload bytes in records of which the last may be cut off."""
    at = size = 0
    while at < len(wire):
        length = int.from_bytes(wire[at + 3 : at + 5], "big") if at + 5 <= len(wire) else 0
        size += max(0, min(length, len(wire) - at - 5))
        at += 5 + length
    return size
