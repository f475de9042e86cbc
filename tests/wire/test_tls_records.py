"""Records behind the hellos: the reader against a model that sees all at once, and the writer against the reader."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.errors import RemoteProtocolError
from telemt_trio.wire.obfuscated2 import aes_ctr
from telemt_trio.wire.tls_records import (
    HEADER_SIZE,
    MAX_PAYLOAD,
    MAX_PAYLOAD_READ,
    RecordReader,
    RecordWriter,
    application_header,
    payload_accepted,
)

CCS = bytes.fromhex("140303000101")
ALERT = bytes.fromhex("15030300020228")


def record(payload):
    return application_header(len(payload)) + payload


def pieces(wire, cuts):
    """``wire`` cut at every place in ``cuts``."""
    places = sorted({min(cut, len(wire)) for cut in cuts} | {0, len(wire)})
    return [wire[start:end] for start, end in pairwise(places)]


def read(chunks):
    """(payload, ended, broken) of a stream that comes as ``chunks``; a broken reader must stay broken."""
    reader = RecordReader()
    payload = b""
    for chunk in chunks:
        try:
            payload += reader.decode(chunk)
        except RemoteProtocolError:
            break
    try:
        payload += reader.decode(b"")
    except RemoteProtocolError:
        with pytest.raises(RemoteProtocolError):
            reader.decode(record(b"more"))
        return payload, reader.ended, True
    return payload, reader.ended, False


payloads = st.binary(max_size=30) | st.integers(100, MAX_PAYLOAD_READ).map(lambda size: b"p" * size)
parts = st.lists(payloads.map(lambda payload: (record(payload), payload)) | st.just((CCS, b"")), max_size=8)
cuts = st.lists(st.integers(0, 400) | st.integers(0, 60_000), max_size=20)

# (wire bytes, payload in them, ended, broken)
BROKEN_HEADERS = {
    "an application record of one byte too many": application_header(16641),
    "the largest application record there is": application_header(0xFFFF),
    "another version": bytes.fromhex("1703010001"),
    "an empty change of cipher spec": bytes.fromhex("1403030000"),
    "a long change of cipher spec": bytes.fromhex("1403030002"),
    "a change of cipher spec of another version": bytes.fromhex("1403010001"),
    "a handshake record": bytes.fromhex("1603030010"),
    "a handshake record of the first version": bytes.fromhex("1603010010"),
    "a short alert": bytes.fromhex("1503030001"),
    "a long alert": bytes.fromhex("1503030003"),
    "a heartbeat": bytes.fromhex("1803030003"),
    "HTTP": b"GET /",
    "nothing": bytes(5),
}
endings = st.one_of(
    st.just((b"", b"", False, False)),
    st.binary(max_size=50).map(lambda rest: (ALERT + rest, b"", True, False)),
    st.tuples(st.sampled_from(sorted(BROKEN_HEADERS.values())), st.binary(max_size=50)).map(
        lambda bad: (bad[0] + bad[1], b"", True, True)
    ),
    st.integers(0, HEADER_SIZE - 1).map(lambda size: (application_header(9)[:size], b"", False, False)),
    st.binary(max_size=20).map(lambda part: (application_header(len(part) + 1) + part, part, False, False)),
)


# ---------------------------------------------------------------- reading


@given(parts=parts, ending=endings, cuts=cuts)
def test_what_is_read_does_not_depend_on_the_cuts(parts, ending, cuts):
    rest, last, ended, broken = ending
    wire = b"".join(raw for raw, _ in parts) + rest
    payload = b"".join(payload for _, payload in parts) + last
    assert read(pieces(wire, cuts)) == (payload, ended, broken)


@given(wire=st.binary(max_size=300), cuts=cuts)
def test_noise_is_payload_or_an_error_and_nothing_else(wire, cuts):
    assert read(pieces(wire, cuts)) == read([wire])


def test_every_cut_of_a_short_stream():
    wire = CCS + record(b"one") + record(b"") + CCS + CCS + record(b"two") + ALERT + b"noise"
    for first in range(len(wire) + 1):
        for second in range(first, len(wire) + 1):
            chunks = [wire[:first], wire[first:second], wire[second:]]
            assert read(chunks) == (b"onetwo", True, False)


@pytest.mark.parametrize("header", BROKEN_HEADERS.values(), ids=BROKEN_HEADERS)
def test_a_header_no_client_sends_is_an_error_as_soon_as_it_is_whole(header):
    reader = RecordReader()
    assert not reader.decode(header[:4])
    with pytest.raises(RemoteProtocolError):
        reader.decode(header[4:])
    assert reader.ended


@pytest.mark.parametrize("size", [1, 2, 16384, 16408, 16640])
def test_sizes_that_clients_send(size):
    payload = bytes(range(256)) * 65
    assert read([record(payload[:size])]) == (payload[:size], False, False)


def test_the_content_of_a_change_of_cipher_spec_is_not_looked_at():
    assert read([b"\x14\x03\x03\x00\x01" + bytes([any_byte]) for any_byte in range(256)]) == (b"", False, False)


def test_many_tiny_records_in_one_read():
    assert read([b"".join(record(bytes([n & 0xFF])) for n in range(5000))]) == (
        bytes(n & 0xFF for n in range(5000)),
        False,
        False,
    )


def test_an_empty_record_is_skipped():
    assert read([record(b"") * 100 + record(b"x") + record(b"")]) == (b"x", False, False)


def test_payload_within_one_record_is_not_copied():
    reader = RecordReader()
    first = application_header(6) + b"abc"
    view = reader.decode(first)
    assert view.obj is first
    assert view == b"abc"
    second = b"de"
    view = reader.decode(second)
    assert view.obj is second


def test_payload_comes_before_its_record_is_whole():
    reader = RecordReader()
    assert reader.decode(application_header(16000) + b"early") == b"early"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_bytes_is_read(kind):
    assert RecordReader().decode(kind(record(b"x"))) == b"x"


def test_nothing_is_read_behind_an_alert():
    reader = RecordReader()
    assert reader.decode(record(b"x") + ALERT) == b"x"
    assert reader.ended
    assert reader.decode(record(b"y")) == b""
    assert reader.decode(bytes(100)) == b""


def test_an_alert_ends_the_stream_only_when_it_is_whole():
    reader = RecordReader()
    reader.decode(ALERT[:-1])
    assert not reader.ended
    reader.decode(ALERT[-1:])
    assert reader.ended


@given(parts=parts, cuts=cuts)
def test_a_stream_may_end_between_records_and_nowhere_else(parts, cuts):
    wire = b"".join(raw for raw, _ in parts)
    borders, at = {0}, 0
    for raw, _ in parts:
        at += len(raw)
        borders.add(at)
    reader, read_so_far = RecordReader(), 0
    for chunk in pieces(wire, cuts):
        reader.decode(chunk)
        read_so_far += len(chunk)
        assert reader.between_records is (read_so_far in borders)


@given(payload=st.binary(max_size=80), sizes=st.lists(st.integers(1, 9)), cuts=cuts)
def test_a_keystream_runs_on_over_the_borders_of_records(payload, sizes, cuts):
    key, iv = b"k" * 32, bytes(16)
    hidden = aes_ctr(key, iv).update(payload)
    wire, at = b"", 0
    for size in [*sizes, len(payload)]:
        wire += record(hidden[at : at + size])
        at += size
    reader, cipher = RecordReader(), aes_ctr(key, iv)
    assert b"".join(cipher.update(reader.decode(chunk)) for chunk in pieces(wire, cuts)) == payload


# ---------------------------------------------------------------- writing


@given(payload=st.binary(max_size=400), limit=st.integers(1, 60))
def test_what_is_written_is_read_back(payload, limit):
    buffers = RecordWriter(limit).encode(payload)
    assert read([b"".join(buffers)]) == (payload, False, False)
    bodies = buffers[1::2]
    assert all(0 < len(body) <= limit for body in bodies)
    assert len(bodies) == -(-len(payload) // limit)
    assert [bytes(header) for header in buffers[::2]] == [application_header(len(body)) for body in bodies]


@pytest.mark.parametrize("size", [0, 1, 16383, 16384, 16385, 32768, 32769, 100_000])
@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_records_towards_a_client_hold_at_most_16384_bytes(size, kind):
    payload = (bytes(range(251)) * 400)[:size]
    buffers = RecordWriter().encode(kind(payload))
    assert [len(body) for body in buffers[1::2]] == [MAX_PAYLOAD] * (size // MAX_PAYLOAD) + (
        [size % MAX_PAYLOAD] if size % MAX_PAYLOAD else []
    )
    assert read([b"".join(buffers)]) == (payload, False, False)


def test_payload_that_fits_is_not_copied():
    payload = b"p" * MAX_PAYLOAD
    assert RecordWriter().encode(payload)[1] is payload
    assert all(body.obj is payload for body in RecordWriter(1000).encode(payload)[1::2])


@given(payload=st.binary(max_size=60), limit=st.integers(1, 20))
def test_the_payload_among_the_first_bytes_sent(payload, limit):
    buffers = RecordWriter(limit).encode(payload)
    is_payload = [index % 2 for index, buffer in enumerate(buffers) for _ in range(len(buffer))]
    for sent in range(len(is_payload) + 1):
        assert payload_accepted(buffers, sent) == sum(is_payload[:sent])


def test_without_records_every_byte_sent_is_payload():
    assert [payload_accepted((b"", b"abc"), sent) for sent in range(4)] == [0, 1, 2, 3]
