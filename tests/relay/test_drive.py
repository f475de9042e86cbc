"""The fast driver with ends that behave as told: when it waits, and that it never keeps the others waiting."""

import itertools

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from telemt_trio.events import EndReason
from telemt_trio.relay.drive import drive
from telemt_trio.relay.ends import scratch
from telemt_trio.relay.pipe import Pipe
from telemt_trio.testing.ends import RecordingEnd, ScriptedSource, blocking_end, narrow_end
from telemt_trio.wire.tls_records import RecordReader, RecordWriter, application_header


async def test_everything_there_is_arrives():
    with ScriptedSource(b"hello", BlockingIOError(), b"world") as source, RecordingEnd([3, 0, 4]) as sink:
        pipe = Pipe(source, sink, scratch())
        assert await drive(pipe) is EndReason.FINISHED
        assert sink.calls == [b"hel", b"lo", b"world"]
        assert (sink.ended, pipe.bytes, pipe.messages) == (1, 10, 2)


@pytest.mark.parametrize("sink", [lambda: blocking_end(20), lambda: narrow_end(7), RecordingEnd])
async def test_records_are_whole_however_the_sink_takes_them(sink):
    payload = bytes(range(250)) * 20
    with ScriptedSource(payload[:3000], payload[3000:]) as source, sink() as end:
        pipe = Pipe(source, end, scratch(), encoder=RecordWriter(1000))
        assert await drive(pipe) is EndReason.FINISHED
        assert b"".join(end.records()) == payload
        assert pipe.bytes == len(payload)


async def test_a_silent_source_costs_nothing_and_can_be_cancelled(autojump_clock):
    with ScriptedSource(held_open=True) as source, RecordingEnd() as sink:
        with trio.move_on_after(1000) as scope:  # autojump: a driver that did not sleep would never get there
            await drive(Pipe(source, sink, scratch()))
        assert scope.cancelled_caught


async def test_a_source_that_speaks_again_is_heard(autojump_clock, nursery):
    with ScriptedSource(held_open=True) as source, RecordingEnd() as sink:
        ended = []

        async def run():
            ended.append(await drive(Pipe(source, sink, scratch())))

        nursery.start_soon(run)
        for said in (b"one", b"two"):
            await trio.sleep(100)
            source.add(said)
        await trio.sleep(100)
        assert sink.calls == [b"one", b"two"]
        source.end()
        await wait_all_tasks_blocked()
        assert ended == [EndReason.FINISHED]


@pytest.mark.parametrize("answers", [[], itertools.repeat(20_000)], ids=["takes everything", "takes a little"])
async def test_a_source_that_never_runs_dry_lets_others_go_first(nursery, answers):
    """A turn is 256 KiB and a read at most; trio shuffles the tasks that are ready, so two may come in a row."""
    turns = []

    async def other():
        while True:
            turns.append(pipe.bytes)
            await trio.lowlevel.checkpoint()

    with ScriptedSource(*[b"x" * 65536] * 64) as source, RecordingEnd(answers) as sink:
        pipe = Pipe(source, sink, scratch())
        nursery.start_soon(other)
        await drive(pipe)
        nursery.cancel_scope.cancel()
    assert max(after - before for before, after in itertools.pairwise(turns)) <= 2 * (262144 + 65536)
    assert pipe.bytes == 64 * 65536


async def test_small_full_reads_take_turns_by_bytes_too(nursery):
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    with ScriptedSource(b"x" * 1_000_000) as source, RecordingEnd() as sink:
        nursery.start_soon(other)
        await drive(Pipe(source, sink, scratch(), read_size=1000))
        nursery.cancel_scope.cancel()
    assert 2 <= turns <= 10  # one a turn of 256 KiB, not one a read


async def test_a_flood_of_empty_records_lets_others_go_first(nursery):
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    with ScriptedSource(*[application_header(0) * 100] * 50) as source, RecordingEnd() as sink:
        nursery.start_soon(other)
        await drive(Pipe(source, sink, scratch(), decoder=RecordReader()))
        nursery.cancel_scope.cancel()
    assert turns >= 25


async def test_waiting_for_the_meter_ends_exactly_when_it_has_room(autojump_clock, allowance):
    """1000 bytes at 100 a second from now on: nine waits for them, and a tenth to learn that the stream has ended."""
    sink = RecordingEnd()
    with ScriptedSource(b"x" * 1000) as source, sink:
        meter = allowance(trio.current_time, 100)
        pipe = Pipe(source, sink, scratch(), meter=meter, clock=trio.current_time)
        began = trio.current_time()
        assert await drive(pipe) is EndReason.FINISHED
        assert trio.current_time() == began + 10
        assert [len(call) for call in sink.calls] == [100] * 10
        assert (meter.charged, meter.refunded) == (1000, 0)


async def test_waiting_for_the_meter_can_be_cancelled(autojump_clock, allowance):
    with ScriptedSource(b"x" * 1000) as source, RecordingEnd() as sink:
        meter = allowance(trio.current_time, 100)
        pipe = Pipe(source, sink, scratch(), meter=meter, clock=trio.current_time)
        with trio.move_on_after(4.5):
            await drive(pipe)
        pipe.settle()
        assert (len(sink.data), pipe.bytes, meter.charged, meter.refunded) == (500, 500, 500, 0)


async def test_cancellation_leaves_the_pipe_to_be_settled():
    """A sink that is always writable and takes nothing keeps the driver busy, but not deaf."""
    scope = trio.CancelScope()

    def answers():
        yield 300
        yield from [0] * 20
        scope.cancel()
        yield from itertools.repeat(0)

    with ScriptedSource(b"x" * 1000) as source, RecordingEnd(answers()) as sink:
        pipe = Pipe(source, sink, scratch())
        with scope:
            await drive(pipe)
        assert scope.cancelled_caught
        assert pipe.bytes == 1000
        pipe.settle()
        assert (pipe.bytes, pipe.messages) == (300, 1)
