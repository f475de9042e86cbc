"""What all adapters promise alike about cancellation, errors and closing."""

import pytest
import trio
from trio.testing import lockstep_stream_pair, wait_all_tasks_blocked

from telemt_trio.streams.conflict import ConflictDetector
from telemt_trio.streams.faketls import FakeTLSStream
from telemt_trio.streams.layer import Layer
from telemt_trio.streams.obfuscated import ObfuscatedStream
from telemt_trio.streams.rewind import RewindStream
from telemt_trio.wire.obfuscated2 import aes_ctr

KEY = b"k" * 32, bytes(16)


def obfuscated(inner):
    return ObfuscatedStream(inner, aes_ctr(*KEY), aes_ctr(*KEY))


def rewound(inner):
    return RewindStream(inner, b"")


def stacked(inner):
    return obfuscated(FakeTLSStream(inner))


@pytest.fixture(params=[obfuscated, FakeTLSStream, rewound, stacked], ids=lambda adapt: adapt.__name__)
def adapt(request):
    return request.param


# ---------------------------------------------------------------- sending


async def test_a_cancelled_send_leaves_the_sending_side_broken(adapt, nursery):
    near, far = lockstep_stream_pair()
    stream, peer = adapt(near), adapt(far)
    with trio.CancelScope() as scope:
        nursery.start_soon(cancel_when_blocked, scope)
        await stream.send_all(b"nobody reads this")
    assert scope.cancelled_caught

    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(b"x")
    with pytest.raises(trio.BrokenResourceError):
        await stream.wait_send_all_might_not_block()
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_eof()

    # the other direction does not care
    nursery.start_soon(peer.send_all, b"still here")
    assert await stream.receive_some() == b"still here"
    await wait_all_tasks_blocked()
    await stream.aclose()
    await peer.aclose()


async def test_even_a_send_that_was_cancelled_before_its_first_byte_breaks(adapt, scripted):
    stream = adapt(scripted())
    with trio.CancelScope() as scope:
        scope.cancel()
        await stream.send_all(b"x")
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(b"x")
    assert stream.inner is not None


async def test_a_cancelled_send_of_nothing_breaks_nothing(adapt, scripted):
    stream = adapt(scripted())
    with trio.CancelScope() as scope:
        scope.cancel()
        await stream.send_all(b"")
    assert scope.cancelled_caught
    await stream.send_all(b"x")


async def test_a_failed_send_leaves_the_sending_side_broken(adapt):
    near, far = lockstep_stream_pair()
    stream = adapt(near)
    await far.aclose()
    for _ in range(2):
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"x")
    await stream.aclose()


async def test_a_second_sender_is_refused_and_harms_nobody(adapt, nursery):
    near, far = lockstep_stream_pair()
    stream, peer = adapt(near), adapt(far)
    nursery.start_soon(stream.send_all, b"first")
    await wait_all_tasks_blocked()
    for refused in (stream.send_all, lambda _: stream.send_eof(), lambda _: stream.wait_send_all_might_not_block()):
        with pytest.raises(trio.BusyResourceError):
            await refused(b"second")
    assert await peer.receive_some() == b"first"
    await wait_all_tasks_blocked()
    nursery.start_soon(stream.send_all, b"second")
    assert await peer.receive_some() == b"second"


async def test_the_end_can_be_sent_twice_and_nothing_after_it(adapt, scripted):
    inner = scripted(b"")
    stream = adapt(inner)
    await stream.send_eof()
    await stream.send_eof()
    for late in (stream.send_all, lambda _: stream.wait_send_all_might_not_block()):
        with pytest.raises(trio.ClosedResourceError):
            await late(b"x")


async def test_a_cancelled_end_can_be_sent_again(adapt, scripted):
    stream = adapt(scripted())
    with trio.CancelScope() as scope:
        scope.cancel()
        await stream.send_eof()
    assert scope.cancelled_caught
    await stream.send_eof()
    with pytest.raises(trio.ClosedResourceError):
        await stream.send_all(b"x")


# ---------------------------------------------------------------- receiving


async def test_cancelled_receives_lose_nothing(adapt, nursery):
    near, far = lockstep_stream_pair()
    stream, peer = adapt(near), adapt(far)
    sent = bytes(range(200))
    got = bytearray()

    async def send():
        for start in range(0, len(sent), 7):
            await peer.send_all(sent[start : start + 7])
        await peer.aclose()

    with trio.CancelScope() as scope:  # nothing has come yet
        nursery.start_soon(cancel_when_blocked, scope)
        await stream.receive_some(3)
    assert scope.cancelled_caught

    nursery.start_soon(send)
    turn = 0
    while True:
        turn += 1
        with trio.CancelScope() as scope:
            if turn % 2:  # cancelled at its first checkpoint
                scope.cancel()
            data = await stream.receive_some(1 + turn % 5)
            if not data:
                break
            got += data
    assert got == sent


async def test_a_second_receiver_is_refused_and_harms_nobody(adapt, nursery):
    near, far = lockstep_stream_pair()
    stream, peer = adapt(near), adapt(far)
    got = []

    async def receive():
        got.append(await stream.receive_some())

    nursery.start_soon(receive)
    await wait_all_tasks_blocked()
    with pytest.raises(trio.BusyResourceError):
        await stream.receive_some()
    await peer.send_all(b"for the first")
    await wait_all_tasks_blocked()
    assert got == [b"for the first"]


async def test_the_end_stays_the_end(adapt, scripted):
    stream = adapt(scripted())
    assert [await stream.receive_some() for _ in range(3)] == [b""] * 3


async def test_errors_of_the_inner_stream_pass(adapt, scripted):
    stream = adapt(scripted(trio.BrokenResourceError("reset")))
    with pytest.raises(trio.BrokenResourceError, match="reset"):
        await stream.receive_some()


# ---------------------------------------------------------------- closing


async def test_closing_closes_the_inner_stream_even_when_cancelled(adapt, scripted):
    inner = scripted()
    stream = adapt(inner)
    await trio.aclose_forcefully(stream)
    assert inner.closed
    for use in (stream.send_all, stream.receive_some, lambda _: stream.send_eof()):
        with pytest.raises(trio.ClosedResourceError):
            await use(b"x" if use == stream.send_all else 10)


async def test_no_adapter_answers_when_its_kind_of_receiving_is_missing(scripted):
    with pytest.raises(NotImplementedError):
        await Layer(scripted()).receive_some()


def test_a_conflict_is_between_two_and_over_with_the_first():
    busy = ConflictDetector("somebody else is here")
    with busy, pytest.raises(trio.BusyResourceError, match="somebody else"), busy:
        pass
    with busy:
        pass


async def cancel_when_blocked(scope):
    await wait_all_tasks_blocked()
    scope.cancel()
