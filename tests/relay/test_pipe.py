"""One direction without a driver: what every call does and says, with ends that behave as told."""

import itertools
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.errors import RemoteProtocolError
from telemt_trio.events import EndReason
from telemt_trio.relay.ends import Scratch
from telemt_trio.relay.pipe import Pipe, Verdict
from telemt_trio.testing.ends import RecordingEnd, ScriptedSource, blocking_end, narrow_end
from telemt_trio.wire.obfuscated2 import aes_ctr
from telemt_trio.wire.tls_records import RecordReader, RecordWriter, application_header

MORE, READ, WRITE, WAIT, END = Verdict
FULL = BlockingIOError()
ALERT = bytes.fromhex("15030300020100")
HANDSHAKE = bytes.fromhex("1603030010") + bytes(16)
CCS = bytes.fromhex("140303000101")
SCRATCH = Scratch()


def record(payload):
    return application_header(len(payload)) + payload


def lay(source, sink, **options):
    return Pipe(source, sink, SCRATCH, **options)


def finish(pipe):
    """Call until the end; the verdicts on the way there."""
    verdicts = []
    while not verdicts or verdicts[-1] is not END:
        verdicts.append(pipe.transfer())
        assert len(verdicts) < 10_000
    return verdicts


class Budget:
    """A meter with a fixed number of bytes that says when it will have more, though it never has."""

    def __init__(self, left=10**9):
        self.left = left
        self.charged = self.refunded = 0

    def room(self, _now):
        return self.left - self.charged + self.refunded

    def ready_at(self, now):
        return now + 2.5

    def charge(self, size):
        assert size > 0
        self.charged += size

    def refund(self, size):
        assert size >= 0
        self.refunded += size


# ---------------------------------------------------------------- verdicts


def test_a_short_read_waits_for_more():
    sink = RecordingEnd()
    pipe = lay(ScriptedSource(b"hello"), sink)
    assert pipe.transfer() is READ
    assert sink.calls == [b"hello"]


def test_a_full_read_asks_for_the_next_at_once():
    pipe = lay(ScriptedSource(b"x" * 70_000, held_open=True), sink := RecordingEnd(), read_size=65536)
    assert [pipe.transfer() for _ in range(3)] == [MORE, READ, READ]
    assert sink.data == b"x" * 70_000


def test_nothing_to_read_waits_for_the_source():
    pipe = lay(ScriptedSource(FULL, b"x"), RecordingEnd())
    assert [pipe.transfer(), pipe.transfer()] == [READ, READ]
    assert pipe.messages == 1


def test_a_full_sink_waits_for_it_and_reads_nothing_meanwhile():
    source = ScriptedSource(b"one", b"two")
    pipe = lay(source, sink := blocking_end(3))
    assert [pipe.transfer() for _ in range(3)] == [WRITE] * 3
    assert source.reads == 1
    assert sink.blocked == 3
    assert finish(pipe) == [READ, END]
    assert sink.calls == [b"one", b"two"]


def test_a_sink_that_takes_little_gets_everything_in_order():
    pipe = lay(ScriptedSource(b"abcdefg", b"hi"), sink := narrow_end(3))
    assert finish(pipe) == [WRITE, WRITE, READ, END]
    assert sink.calls == [b"abc", b"def", b"g", b"hi"]


def test_the_end_of_the_source_is_passed_on_behind_what_is_left():
    pipe = lay(ScriptedSource(b"abc"), sink := RecordingEnd([1, 0]))
    assert [pipe.transfer(), pipe.transfer(), sink.ended] == [WRITE, WRITE, 0]
    assert pipe.transfer() is END
    assert pipe.why is EndReason.FINISHED
    assert (sink.data, sink.ended) == (b"abc", 1)


def test_the_end_is_the_write_side_alone():
    class Shutdown(RecordingEnd):
        def shutdown(self, how):
            assert how == socket.SHUT_WR
            super().shutdown(how)

    pipe = lay(ScriptedSource(), sink := Shutdown())
    assert pipe.transfer() is END
    assert sink.ended == 1


# ---------------------------------------------------------------- errors


LOST = {"source_lost": EndReason.EVICTED, "sink_lost": EndReason.STOPPED}  # any two reasons that cannot be mixed up


@pytest.mark.parametrize("reset", [ConnectionResetError(), TimeoutError(), OSError(113, "No route to host")])
def test_a_source_that_breaks_is_lost(reset):
    pipe = lay(ScriptedSource(b"abc", reset), sink := RecordingEnd(), **LOST)
    assert finish(pipe) == [READ, END]
    assert pipe.why is EndReason.EVICTED
    assert (sink.data, sink.ended, pipe.bytes) == (b"abc", 0, 3)


@pytest.mark.parametrize("records", [True, False])
@pytest.mark.parametrize("answers", [[], [0], [2], [6, 0, 0, 1]], ids=str)
def test_a_sink_that_breaks_is_lost_and_what_it_took_counts(records, answers):
    """At the first send, or at any flush behind it."""
    sink = RecordingEnd([*answers, BrokenPipeError()])
    budget = Budget()
    encoder = RecordWriter() if records else None
    pipe = lay(ScriptedSource(b"abcdefghi", b"more"), sink, encoder=encoder, meter=budget, clock=float, **LOST)
    verdicts = finish(pipe)
    assert verdicts == [WRITE] * len(answers) + [END]
    assert pipe.why is EndReason.STOPPED
    pipe.settle()
    assert pipe.bytes == max(0, len(sink.data) - 5 * records)
    assert budget.charged - budget.refunded == pipe.bytes


def test_an_end_that_cannot_be_passed_on_is_a_lost_sink():
    pipe = lay(ScriptedSource(), RecordingEnd(shutdown_error=OSError(107, "not connected")), **LOST)
    assert pipe.transfer() is END
    assert pipe.why is EndReason.STOPPED


def test_the_usual_reasons_are_those_of_the_way_up():
    pipe = lay(ScriptedSource(ConnectionResetError()), RecordingEnd())
    pipe.transfer()
    assert pipe.why is EndReason.CLIENT_LOST
    pipe = lay(ScriptedSource(b"x"), RecordingEnd([BrokenPipeError()]))
    pipe.transfer()
    assert pipe.why is EndReason.UPSTREAM_LOST


# ---------------------------------------------------------------- codecs


def ciphers():
    return [aes_ctr(bytes([n]) * 32, bytes(16)) for n in (1, 2)]


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("records_in", [True, False])
@pytest.mark.parametrize("records_out", [True, False])
def test_decode_then_ciphers_then_encode(count, records_in, records_out):
    chunks = [b"first", b"second" * 40]
    steps = [record(chunk) if records_in else chunk for chunk in chunks]
    pipe = lay(
        ScriptedSource(*steps),
        sink := RecordingEnd(),
        decoder=RecordReader() if records_in else None,
        ciphers=[context.update_into for context in ciphers()[:count]],
        encoder=RecordWriter() if records_out else None,
    )
    assert finish(pipe) == [READ, READ, END]
    expected = b"".join(chunks)
    for context in ciphers()[:count]:
        expected = context.update(expected)
    assert b"".join(sink.records()) == expected if records_out else sink.data == expected
    assert (pipe.bytes, pipe.messages) == (len(expected), 2)


def test_a_read_of_headers_alone_sends_nothing():
    source = ScriptedSource(CCS, application_header(0), application_header(4)[:3], application_header(4)[3:], b"data")
    pipe = lay(source, sink := RecordingEnd(), decoder=RecordReader())
    assert finish(pipe) == [READ] * 5 + [END]
    assert sink.calls == [b"data"]
    assert pipe.messages == 1


def test_large_chunks_leave_as_several_records_in_one_call():
    pipe = lay(ScriptedSource(b"x" * 40_000), sink := RecordingEnd(), encoder=RecordWriter())
    assert pipe.transfer() is READ
    assert len(sink.calls) == 1
    assert [len(payload) for payload in sink.records()] == [16384, 16384, 7232]


ENDINGS = {
    "an alert": (ALERT, EndReason.FINISHED),
    "an alert with more behind it": (ALERT + record(b"never"), EndReason.FINISHED),
    "a record no client sends": (HANDSHAKE, EndReason.PROTOCOL),
}


@pytest.mark.parametrize(("wire", "why"), ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("before", [b"", b"payload"])
@pytest.mark.parametrize("answers", [[], [0], [3, 0]], ids=str)
def test_what_ends_the_records_ends_the_pipe_at_once_behind_the_payload(wire, why, before, answers):
    """However the stream is cut, and though the source stays open and silent."""
    wire = (record(before) if before else b"") + wire
    for cut in range(len(wire) + 1):
        source = ScriptedSource(wire[:cut], wire[cut:], held_open=True)
        pipe = lay(source, sink := RecordingEnd(answers), decoder=RecordReader())
        verdicts = [pipe.transfer() for _ in range(8)]
        assert END in verdicts
        assert pipe.why is why
        assert sink.data == before
        assert (sink.ended > 0) is (why is EndReason.FINISHED)
        assert pipe.bytes == len(before)


@pytest.mark.parametrize("then", ["silence", "the end", "a reset"])
def test_a_decoder_that_had_ended_ends_the_pipe_behind_what_was_put_before_it(then):
    reader = RecordReader()
    reader.decode(record(b"surplus") + HANDSHAKE)
    steps = [ConnectionResetError()] if then == "a reset" else []
    source = ScriptedSource(*steps, held_open=then == "silence")
    pipe = lay(source, sink := RecordingEnd(), decoder=reader)
    pipe.preload(b"surplus", 7)
    assert pipe.transfer() is END
    assert pipe.why is EndReason.PROTOCOL
    assert (sink.data, sink.ended) == (b"surplus", 0)


def test_a_decoder_of_another_format_may_end_without_an_error():
    class Until:
        """Payload up to a full stop."""

        ended = False

        def decode(self, data):
            before, self.ended = bytes(data).split(b".")[0], b"." in bytes(data) or self.ended
            return before

    pipe = lay(ScriptedSource(b"abc", b"de.fg", b"h"), sink := RecordingEnd(), decoder=Until())
    assert finish(pipe) == [READ, END]
    assert sink.data == b"abcde"


def test_only_the_errors_of_a_peer_are_expected():
    class Buggy:
        ended = False

        def decode(self, _data):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lay(ScriptedSource(b"x"), RecordingEnd(), decoder=Buggy()).transfer()


# ---------------------------------------------------------------- bytes before everything


@pytest.mark.parametrize("answers", [[], [0, 0], [5, 0, 70]], ids=str)
def test_bytes_put_before_come_first_and_only_their_payload_counts(answers):
    pipe = lay(ScriptedSource(b"read"), sink := RecordingEnd(answers))
    pipe.preload(b"n" * 64 + b"early", 5)
    assert finish(pipe) == [WRITE] * (len(answers) - (70 in answers)) + [READ, END]
    assert sink.data == b"n" * 64 + b"early" + b"read"
    assert (pipe.bytes, pipe.messages) == (9, 2)


def test_a_nonce_alone_is_no_message():
    pipe = lay(ScriptedSource(), RecordingEnd())
    pipe.preload(b"n" * 64, 0)
    assert finish(pipe) == [END]
    pipe.settle()
    assert (pipe.bytes, pipe.messages) == (0, 0)


@pytest.mark.parametrize(("taken", "counted"), [(0, 0), (63, 0), (64, 0), (65, 1), (68, 4), (69, 5)])
def test_bytes_put_before_that_never_left_do_not_count(taken, counted):
    budget = Budget()
    pipe = lay(ScriptedSource(held_open=True), RecordingEnd([taken, *[0] * 10]), meter=budget, clock=float)
    pipe.preload(b"n" * 64 + b"early", 5)
    pipe.transfer()
    pipe.settle()
    assert (pipe.bytes, pipe.messages) == (counted, int(counted > 0))
    assert budget.charged - budget.refunded == counted


# ---------------------------------------------------------------- meters


def test_without_room_nothing_is_read():
    source = ScriptedSource(b"x")
    pipe = lay(source, RecordingEnd(), meter=Budget(0), clock=lambda: 40.0)
    assert [pipe.transfer(), pipe.transfer()] == [WAIT, WAIT]
    assert pipe.ready_at == 42.5
    assert source.reads == 0


def test_no_more_is_read_than_there_is_room_for():
    budget = Budget(10)
    pipe = lay(ScriptedSource(b"x" * 25, held_open=True), sink := RecordingEnd(), meter=budget, clock=float)
    assert [pipe.transfer(), pipe.transfer()] == [MORE, WAIT]
    assert (sink.data, budget.charged) == (b"x" * 10, 10)
    budget.left = 20
    assert [pipe.transfer(), pipe.transfer()] == [MORE, WAIT]
    budget.left = 30
    assert pipe.transfer() is READ
    assert (sink.data, budget.charged) == (b"x" * 25, 25)


def test_payload_is_charged_and_headers_are_not():
    budget = Budget()
    pipe = lay(
        ScriptedSource(CCS + record(b"abc") + record(b"de")),
        RecordingEnd(),
        decoder=RecordReader(),
        encoder=RecordWriter(),
        meter=budget,
        clock=float,
    )
    finish(pipe)
    assert budget.charged == 5


def test_little_room_does_not_make_later_reads_small():
    """The window a slow sink needs is another matter than the room a meter has."""
    sizes = []

    class Watched(ScriptedSource):
        def recv_into(self, buffer):
            sizes.append(len(buffer))
            return super().recv_into(buffer)

    budget = Budget(1)
    pipe = lay(Watched(b"x" * 100_000), RecordingEnd(), meter=budget, clock=float, read_size=65536)
    pipe.transfer()
    budget.left = 10**9
    finish(pipe)
    assert sizes == [1, 65536, 65536, 65536]


def test_what_a_lost_sink_never_took_is_given_back():
    budget = Budget()
    pipe = lay(ScriptedSource(b"abcdef"), RecordingEnd([2, 0, 1, OSError()]), meter=budget, clock=float)
    finish(pipe)
    pipe.settle()
    pipe.settle()
    assert (pipe.bytes, budget.charged, budget.refunded) == (3, 6, 3)


# ---------------------------------------------------------------- the read window


class Measured(ScriptedSource):
    """Tells how large a read it was offered."""

    def __init__(self, *steps):
        super().__init__(*steps)
        self.sizes = []

    def recv_into(self, buffer):
        self.sizes.append(len(buffer))
        return super().recv_into(buffer)


def test_a_slow_sink_is_offered_less_and_a_fast_one_more_again():
    source = Measured(b"x" * 2_000_000)
    sink = RecordingEnd([100, 0])
    pipe = lay(source, sink, read_size=262144)
    finish(pipe)
    assert source.sizes[:5] == [262144, 65536, 131072, 262144, 262144]
    assert sink.data == b"x" * 2_000_000


def test_a_sink_that_took_much_is_offered_as_much_again():
    source = Measured(b"x" * 600_000)
    pipe = lay(source, RecordingEnd([200_000]), read_size=262144)
    finish(pipe)
    assert source.sizes[:3] == [262144, 200_000, 262144]


def test_the_window_stays_where_the_source_does_not_fill_it():
    source = Measured(b"x" * 262144, b"y" * 100, b"z" * 100)
    pipe = lay(source, RecordingEnd([0]), read_size=262144)
    finish(pipe)
    assert source.sizes == [262144, 65536, 65536, 65536]


def test_bytes_put_before_do_not_make_the_first_read_small():
    source = Measured(b"x")
    pipe = lay(source, RecordingEnd(), read_size=262144)
    pipe.preload(b"n" * 64, 0)
    finish(pipe)
    assert source.sizes[0] == 262144


@pytest.mark.parametrize("read_size", [1, 10, 16384, 65536, 262144])
def test_a_read_is_never_larger_than_was_asked_for(read_size):
    source = Measured(b"x" * 300)
    pipe = lay(source, sink := RecordingEnd(itertools.cycle([7, 0])), read_size=read_size)
    finish(pipe)
    assert max(source.sizes) <= read_size
    assert sink.data == b"x" * 300


# ---------------------------------------------------------------- counts are exact


def payload_in(wire):
    """Payload bytes in the first part of a stream of records, however it is cut off."""
    count = 0
    while wire:
        length = int.from_bytes(wire[3:5], "big") if len(wire) >= 5 else 0
        count += min(length, max(0, len(wire) - 5))
        wire = wire[5 + length :]
    return count


answers = st.lists(st.integers(0, 60) | st.sampled_from([0, 1, 5, 6]) | st.builds(BrokenPipeError), max_size=40)
steps = st.lists(st.binary(min_size=1, max_size=50) | st.builds(BlockingIOError), max_size=12)


@given(
    steps=steps,
    answers=answers,
    limit=st.none() | st.integers(1, 30),
    records_in=st.booleans(),
    first=st.none() | st.tuples(st.integers(0, 20), st.binary(max_size=20)),
    calls=st.integers(0, 60),
)
def test_what_counts_is_what_the_sink_took(steps, answers, limit, records_in, first, calls):
    """Whatever the sink takes and whenever the relay is ended, settled counts are the payload that was delivered."""
    said = b"".join(step for step in steps if isinstance(step, bytes))
    source = ScriptedSource(*(record(step) if records_in and isinstance(step, bytes) else step for step in steps))
    sink, budget = RecordingEnd(answers), Budget()
    pipe = lay(
        source,
        sink,
        decoder=RecordReader() if records_in else None,
        encoder=None if limit is None else RecordWriter(limit),
        meter=budget,
        clock=float,
    )
    head = first[0] if first else 0
    if first:
        pipe.preload(b"h" * head + first[1], len(first[1]))
        said = first[1] + said
    ended = False
    for _ in range(calls):
        ended = pipe.transfer() is END
        if ended:
            break
    pipe.settle()
    pipe.settle()

    behind = sink.data[head + len(first[1]) :] if first else sink.data
    delivered = len(behind) if limit is None else payload_in(behind)
    if first:
        delivered += min(len(first[1]), max(0, len(sink.data) - head))
    assert pipe.bytes == delivered == budget.charged - budget.refunded
    assert pipe.messages <= sum(isinstance(step, bytes) for step in steps) + bool(first and first[1])
    assert (pipe.messages == 0) is (delivered == 0)
    if limit is None:
        assert sink.data[head:] == said[: len(sink.data) - head] if len(sink.data) > head else True
    if ended and pipe.why is EndReason.FINISHED:
        assert pipe.bytes == len(said)


def test_a_count_stands_as_delivered_while_its_rest_waits():
    """The watchdog sees a slow sink as alive from the read on."""
    pipe = lay(ScriptedSource(b"abcdef"), RecordingEnd([2, 0]))
    pipe.transfer()
    assert (pipe.bytes, pipe.messages) == (6, 1)
    pipe.settle()
    assert (pipe.bytes, pipe.messages) == (2, 1)


def test_a_chunk_of_which_nothing_left_is_no_message():
    pipe = lay(ScriptedSource(b"abcdef"), RecordingEnd([3, 0]), encoder=RecordWriter())
    pipe.transfer()
    pipe.settle()
    assert (pipe.bytes, pipe.messages) == (0, 0)


def test_what_is_left_survives_the_next_user_of_the_scratch_buffers():
    slow = lay(ScriptedSource(b"mine, all mine"), mine := RecordingEnd([4, 0]), ciphers=[ciphers()[0].update_into])
    slow.transfer()
    other = lay(ScriptedSource(b"overwritten" * 10), RecordingEnd(), ciphers=[ciphers()[1].update_into])
    finish(other)
    finish(slow)
    assert ciphers()[0].update(mine.data) == b"mine, all mine"


def test_an_error_of_the_reader_is_one_of_the_peer():
    with pytest.raises(RemoteProtocolError):
        RecordReader().decode(HANDSHAKE)
