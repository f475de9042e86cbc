"""The ends that behave as told do as sockets do."""

import select
import socket

import pytest
import trio

from telemt_trio.testing.ends import RecordingEnd, ScriptedSource, blocking_end, narrow_end
from telemt_trio.wire.tls_records import RecordWriter, application_header


def read(source, size=100):
    buffer = memoryview(bytearray(size))
    return bytes(buffer[: source.recv_into(buffer)])


def is_ready(end, event):
    poll = select.poll()
    poll.register(end.fileno(), event)
    return bool(poll.poll(0))


# ---------------------------------------------------------------- sources


def test_a_source_says_its_steps_and_then_ends():
    reset = ConnectionResetError("told so")
    source = ScriptedSource(b"one", BlockingIOError(), b"", b"two", reset)
    assert read(source) == b"one"
    with pytest.raises(BlockingIOError):
        read(source)
    assert read(source) == b"two"
    with pytest.raises(ConnectionResetError) as caught:
        read(source)
    assert caught.value is reset
    assert [read(source), read(source)] == [b"", b""]
    assert source.reads == 6


def test_a_step_that_does_not_fit_comes_in_pieces():
    source = ScriptedSource(b"abcdefg", b"h")
    assert [read(source, 3) for _ in range(5)] == [b"abc", b"def", b"g", b"h", b""]


def test_a_source_held_open_is_silent_until_there_is_more():
    source = ScriptedSource(b"one", held_open=True)
    assert read(source) == b"one"
    with pytest.raises(BlockingIOError):
        read(source)
    source.add(b"two", b"")
    assert read(source) == b"two"
    source.end()
    assert read(source) == b""
    assert source.reads == 3


def test_a_source_is_readable_when_it_has_something_to_say():
    with ScriptedSource(b"one", held_open=True) as source:
        assert is_ready(source, select.POLLIN)
        read(source)
        assert not is_ready(source, select.POLLIN)
        source.add(ConnectionResetError())
        assert is_ready(source, select.POLLIN)
        with pytest.raises(ConnectionResetError):
            read(source)
        assert not is_ready(source, select.POLLIN)
        source.end()
        assert is_ready(source, select.POLLIN)


def test_a_source_that_was_silent_from_the_start_is_not_readable():
    with ScriptedSource(held_open=True) as source:
        assert not is_ready(source, select.POLLIN)


async def test_trio_can_wait_for_a_source(nursery, autojump_clock):
    with ScriptedSource(held_open=True) as source:
        with trio.move_on_after(5) as scope:
            await trio.lowlevel.wait_readable(source.fileno())
        assert scope.cancelled_caught
        source.add(b"x")
        with trio.fail_after(5):
            await trio.lowlevel.wait_readable(source.fileno())


# ---------------------------------------------------------------- sinks


def test_a_sink_takes_what_its_answers_say_and_then_everything():
    sink = RecordingEnd([2, 0, BrokenPipeError(), 100])
    assert sink.send(b"abc") == 2
    with pytest.raises(BlockingIOError):
        sink.send(b"c")
    with pytest.raises(BrokenPipeError):
        sink.send(b"c")
    assert sink.send(memoryview(b"c")) == 1
    assert sink.sendmsg([b"de", memoryview(b"f")]) == 3
    assert sink.calls == [b"ab", b"c", b"def"]
    assert (sink.data, sink.blocked) == (b"abcdef", 1)


def test_a_blocking_end_blocks_so_many_times():
    sink = blocking_end(2)
    for _ in range(2):
        with pytest.raises(BlockingIOError):
            sink.send(b"abc")
    assert sink.send(b"abc") == 3


def test_a_narrow_end_takes_so_many_bytes_a_call():
    sink = narrow_end(2)
    assert [sink.send(b"abc"), sink.sendmsg([b"a", b"bc"]), sink.send(b"c")] == [2, 2, 1]


def test_a_sink_counts_its_ends_or_refuses_them():
    sink = RecordingEnd()
    sink.shutdown(socket.SHUT_WR)
    assert sink.ended == 1
    with pytest.raises(OSError, match="not connected"):
        RecordingEnd(shutdown_error=OSError(107, "not connected")).shutdown(socket.SHUT_WR)


def test_records_are_seen_apart_from_calls():
    sink = narrow_end(4)
    left = b"".join(RecordWriter(5).encode(b"abcdefgh"))
    while left:
        left = left[sink.send(left) :]
    assert sink.records() == [b"abcde", b"fgh"]
    assert len(sink.calls) == 5


@pytest.mark.parametrize(
    "wire",
    [
        bytes.fromhex("140303000101"),
        bytes.fromhex("1703010001") + b"x",
        application_header(0),
        application_header(3) + b"ab",
        b"\x17\x03",
    ],
)
def test_what_no_client_may_be_sent_is_no_record(wire):
    sink = RecordingEnd()
    sink.send(wire)
    with pytest.raises(ValueError):
        sink.records()


def test_a_sink_is_always_writable():
    with narrow_end(1) as sink:
        for _ in range(3):
            assert is_ready(sink, select.POLLOUT)
            sink.send(b"x")


def test_an_end_that_nobody_waited_for_needs_no_closing():
    source, sink = ScriptedSource(b"x"), RecordingEnd()
    read(source)
    sink.send(b"x")
    source.close()
    sink.close()
