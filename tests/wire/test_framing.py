"""Packets in a stream: the three framings, both roles, and every place a network may cut them."""

import json
import random
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.errors import LocalProtocolError, RemoteProtocolError
from telemt_trio.wire.framing import (
    MAX_PAYLOAD,
    Frame,
    FrameReader,
    FrameTooLargeError,
    QuickAck,
    frame,
    padding_to_client,
    padding_to_server,
    quick_ack_bytes,
)
from telemt_trio.wire.need_data import NEED_DATA
from telemt_trio.wire.obfuscated2 import ABRIDGED, INTERMEDIATE, NONCE_SIZE, SECURE, TAGS, open_nonce

LIMIT = 16 * 1024 * 1024
LENGTHED = [INTERMEDIATE, SECURE]

tags = st.sampled_from(sorted(TAGS))
payloads = st.integers(0, 300).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words))
tokens = st.integers(2**31, 2**32 - 1)
# Arbitrary bytes, among them headers that some framing takes, so that there is more to a stream than its first error.
headers = st.sampled_from([b"\0\0\0\0", b"\x01", b"\x81", b"\x7f\1\0\0", b"\4\0\0\0", b"\5\0\0\0", b"\4\0\0\x80"])
noise = st.lists(st.binary(max_size=5) | headers).map(b"".join)


def every(tags_):
    return pytest.mark.parametrize("tag", tags_, ids=lambda tag: {ABRIDGED: "abridged", SECURE: "padded"}.get(tag, "i"))


def drain(reader):
    return list(iter(reader.next_event, NEED_DATA))


def read(tag, wire, **options):
    reader = FrameReader(tag, options.pop("max_frame", LIMIT), **options)
    reader.receive_data(wire)
    return drain(reader)


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def outcome(tag, parts, *, from_server):
    """Everything a reader says about a stream that arrives in these parts, an error included."""
    reader = FrameReader(tag, 4096, from_server=from_server)
    events = []
    try:
        for part in parts:
            reader.receive_data(part)
            while (event := reader.next_event()) is not NEED_DATA:
                events.append(event)
    except RemoteProtocolError as error:
        return [*events, str(error)]
    return [*events, reader.between_frames]


# What one end writes, the other reads


@given(tags, st.lists(st.tuples(payloads, st.booleans())), st.lists(st.integers(0)), st.randoms())
def test_a_server_reads_what_a_client_writes(tag, packets, places, rng):
    padding = partial(padding_to_server, rng.randbytes)
    wire = b"".join(frame(tag, payload, quick_ack=ack, padding=padding) for payload, ack in packets)

    reader = FrameReader(tag, LIMIT)
    frames = []
    for part in cut(wire, places):
        reader.receive_data(part)
        frames += drain(reader)

    assert [one.quick_ack for one in frames] == [ack for _, ack in packets]
    for one, (payload, _) in zip(frames, packets, strict=True):
        # Whole words of padding cannot be told from payload; without padding nothing is added.
        assert one.payload[: len(payload)] == payload
        assert len(one.payload) - len(payload) in ({0, 4, 8, 12} if tag == SECURE else {0})
    assert sum(one.wire_size for one in frames) == len(wire)
    assert reader.between_frames


@given(tags, st.lists(payloads | tokens), st.lists(st.integers(0)), st.randoms())
def test_a_client_reads_what_a_server_writes(tag, sent, places, rng):
    padding = partial(padding_to_client, rng.randbytes)
    wire = b"".join(
        quick_ack_bytes(tag, one) if isinstance(one, int) else frame(tag, one, padding=padding) for one in sent
    )

    reader = FrameReader(tag, LIMIT, from_server=True)
    events = []
    for part in cut(wire, places):
        reader.receive_data(part)
        events += drain(reader)

    assert [event.token if isinstance(event, QuickAck) else event.payload for event in events] == sent
    assert reader.between_frames


@given(tags, st.booleans(), noise, st.lists(st.integers(0)))
def test_any_bytes_give_the_same_however_they_are_cut(tag, from_server, data, places):
    whole = outcome(tag, [data], from_server=from_server)

    assert outcome(tag, cut(data, places), from_server=from_server) == whole
    assert outcome(tag, [data[at : at + 1] for at in range(len(data))], from_server=from_server) == whole


@given(tags, payloads, st.booleans())
def test_no_frame_is_complete_before_its_last_byte(tag, payload, ack):
    wire = frame(tag, payload, quick_ack=ack)
    reader = FrameReader(tag, LIMIT)
    for at in range(len(wire)):
        assert reader.next_event() is NEED_DATA
        reader.receive_data(wire[at : at + 1])

    assert reader.next_event() == Frame(payload, ack, len(wire))


@given(tags, st.lists(payloads, min_size=1))
def test_every_kind_of_buffer_is_read_and_written(tag, packets):
    reader = FrameReader(tag, LIMIT)
    for payload in packets:
        for kind in (bytes, bytearray, memoryview):
            wire = frame(tag, kind(payload))
            assert wire == frame(tag, payload)
            reader.receive_data(kind(wire))
            assert reader.next_event() == Frame(payload, quick_ack=False, wire_size=len(wire))


def test_recorded_clients_are_read():
    flights = json.loads((Path(__file__).parents[1] / "vectors" / "obfuscated2_first_bytes.json").read_text())
    for flight in flights:
        wire = bytes.fromhex(flight["hex"])
        nonce = open_nonce(wire[:NONCE_SIZE], bytes.fromhex(flight["secret"])[-16:])

        (one,) = read(nonce.tag, nonce.decrypt.update(wire[NONCE_SIZE:]))

        # An unencrypted message: no auth key yet, and 20 bytes of header at least.
        assert one.payload[:8] == bytes(8)
        assert len(one.payload) >= 20
        assert one.wire_size == len(wire) - NONCE_SIZE


# Abridged


@pytest.mark.parametrize(
    ("words", "header"),
    [(0, "00"), (1, "01"), (126, "7e"), (127, "7f7f0000"), (128, "7f800000"), (0x12345, "7f452301")],
)
def test_abridged_lengths_are_words_in_one_byte_or_in_three_more(words, header):
    payload = bytes(4 * words)

    assert frame(ABRIDGED, payload) == bytes.fromhex(header) + payload
    assert read(ABRIDGED, bytes.fromhex(header) + payload) == [Frame(payload, False, len(header) // 2 + len(payload))]


@pytest.mark.parametrize(("words", "header"), [(0, "80"), (1, "81"), (126, "fe"), (127, "ff7f0000")])
def test_abridged_asks_for_a_quick_ack_in_the_highest_bit_of_both_forms(words, header):
    payload = bytes(4 * words)

    assert frame(ABRIDGED, payload, quick_ack=True) == bytes.fromhex(header) + payload
    assert read(ABRIDGED, bytes.fromhex(header) + payload) == [Frame(payload, True, len(header) // 2 + len(payload))]


def test_abridged_reads_the_long_form_of_a_short_length():
    assert read(ABRIDGED, bytes.fromhex("7f020000") + b"12345678") == [Frame(b"12345678", False, 12)]
    assert read(ABRIDGED, bytes.fromhex("ff000000")) == [Frame(b"", True, 4)]


# Intermediate, plain and padded


@every(LENGTHED)
def test_intermediate_lengths_are_bytes_and_the_highest_bit_asks_for_a_quick_ack(tag):
    assert frame(tag, b"12345678") == bytes.fromhex("08000000") + b"12345678"
    assert frame(tag, b"12345678", quick_ack=True) == bytes.fromhex("08000080") + b"12345678"
    assert read(tag, bytes.fromhex("08000080") + b"12345678") == [Frame(b"12345678", True, 12)]


@every(LENGTHED)
def test_the_highest_bit_is_taken_off_before_the_length_is_judged(tag):
    assert read(tag, bytes.fromhex("00000080"), max_frame=4) == [Frame(b"", True, 4)]
    assert read(tag, bytes.fromhex("04000080") + b"1234", max_frame=4) == [Frame(b"1234", True, 8)]


@pytest.mark.parametrize("length", [5, 6, 7, 17, 4095])
def test_intermediate_takes_whole_words_only(length):
    with pytest.raises(RemoteProtocolError):
        read(INTERMEDIATE, length.to_bytes(4, "little") + bytes(length))


@pytest.mark.parametrize("extra", [0, 1, 2, 3])
def test_padded_frames_lose_what_is_no_whole_word(extra):
    wire = (8 + extra).to_bytes(4, "little") + b"12345678" + b"\xaa" * extra

    assert read(SECURE, wire + wire) == [Frame(b"12345678", False, 12 + extra)] * 2


@every(LENGTHED)
@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("from_server", [False, True])
def test_a_frame_of_less_than_a_word_is_an_error(tag, length, from_server):
    with pytest.raises(RemoteProtocolError, match="too small"):
        read(tag, length.to_bytes(4, "little"), from_server=from_server)


# Limits


@every(sorted(TAGS))
def test_the_limit_itself_passes_and_a_word_more_does_not(tag):
    assert read(tag, frame(tag, bytes(4096)), max_frame=4096) == [
        Frame(bytes(4096), False, len(frame(tag, bytes(4096))))
    ]
    header = frame(tag, bytes(4100))[:4]

    with pytest.raises(FrameTooLargeError) as caught:
        read(tag, header, max_frame=4096)

    assert caught.value.length == 4100
    assert caught.value.header == header


def test_padding_counts_towards_the_limit():
    with pytest.raises(FrameTooLargeError):
        read(SECURE, (4097).to_bytes(4, "little"), max_frame=4096)


def test_a_short_abridged_header_is_reported_as_the_one_byte_it_is():
    with pytest.raises(FrameTooLargeError) as caught:
        read(ABRIDGED, b"\x10GET ", max_frame=32)

    assert caught.value.header == b"\x10"


def test_an_error_is_final():
    reader = FrameReader(INTERMEDIATE, LIMIT)
    reader.receive_data(frame(INTERMEDIATE, b"good") + b"\x01\0\0\0")

    assert reader.next_event().payload == b"good"
    for _ in range(2):
        with pytest.raises(RemoteProtocolError):
            reader.next_event()
        reader.receive_data(frame(INTERMEDIATE, b"more"))


@every(sorted(TAGS))
def test_frames_without_payload_are_handed_out(tag):
    assert read(tag, frame(tag, b"") * 3) == [Frame(b"", False, len(frame(tag, b"")))] * 3


# Where a stream may end


@pytest.mark.parametrize(
    ("tag", "wire", "clean"),
    [
        (ABRIDGED, "", True),
        (ABRIDGED, "7f", False),
        (ABRIDGED, "7f0100", False),
        (ABRIDGED, "01", False),
        (ABRIDGED, "0131323334", True),
        (INTERMEDIATE, "", True),
        (INTERMEDIATE, "040000", True),
        (INTERMEDIATE, "04000000", False),
        (INTERMEDIATE, "04000000313233", False),
        (INTERMEDIATE, "0400000031323334", True),
        (SECURE, "050000", True),
        (SECURE, "0500000031323334", False),
    ],
)
def test_an_end_within_the_first_length_cuts_no_frame(tag, wire, clean):
    reader = FrameReader(tag, LIMIT)
    reader.receive_data(bytes.fromhex(wire))
    drain(reader)

    assert reader.between_frames is clean


# Quick acknowledgements


@pytest.mark.parametrize(
    ("tag", "wire"), [(ABRIDGED, "89abcdef"), (INTERMEDIATE, "efcdab89"), (SECURE, "efcdab89")], ids=["a", "i", "s"]
)
def test_a_quick_ack_is_four_bytes_with_the_highest_bit_where_a_length_has_none(tag, wire):
    assert quick_ack_bytes(tag, 0x89ABCDEF).hex() == wire
    assert read(tag, bytes.fromhex(wire), from_server=True) == [QuickAck(0x89ABCDEF)]


@pytest.mark.parametrize("token", [-1, 0, 0x7FFFFFFF, 2**32])
def test_a_token_that_reads_as_a_length_is_not_written(token):
    with pytest.raises(LocalProtocolError):
        quick_ack_bytes(SECURE, token)


def test_a_client_never_acknowledges():
    # The same bytes from a client are a frame that asks for an acknowledgement.
    assert read(ABRIDGED, bytes.fromhex("8131323334")) == [Frame(b"1234", True, 5)]


# Padding


@given(st.binary(min_size=16, max_size=16))
def test_padding_is_short_towards_clients_and_longer_towards_servers(drawn):
    def entropy(size):
        return drawn[:size]

    assert len(padding_to_client(entropy)) == drawn[0] % 4
    assert len(padding_to_server(entropy)) == drawn[0] % 16


def test_every_length_of_padding_is_drawn():
    entropy = random.Random(1).randbytes

    assert {len(padding_to_client(entropy)) for _ in range(200)} == set(range(4))
    assert {len(padding_to_server(entropy)) for _ in range(400)} == set(range(16))


def test_padding_is_counted_by_the_length():
    assert frame(SECURE, b"1234", padding=lambda: b"abc") == bytes.fromhex("07000000") + b"1234abc"


@every([ABRIDGED, INTERMEDIATE])
def test_only_the_padded_framing_pads(tag):
    assert frame(tag, b"1234", padding=lambda: b"abc") == frame(tag, b"1234")


def test_a_frame_without_payload_is_not_padded():
    assert frame(SECURE, b"", padding=lambda: b"abc") == bytes(4)


# Bugs on this side


def test_padding_that_receivers_would_not_strip_is_refused():
    assert len(frame(SECURE, b"1234", padding=lambda: bytes(15))) == 23
    with pytest.raises(LocalProtocolError):
        frame(SECURE, b"1234", padding=lambda: bytes(16))


@every(sorted(TAGS))
@pytest.mark.parametrize("size", [1, 2, 3, 5, MAX_PAYLOAD + 4])
def test_a_payload_no_frame_can_hold_is_refused(tag, size):
    with pytest.raises(LocalProtocolError):
        frame(tag, bytes(size))


def test_the_longest_payload_has_a_header_in_every_framing():
    longest = memoryview(bytes(MAX_PAYLOAD))

    assert frame(ABRIDGED, longest)[:4] == b"\x7f\xff\xff\xff"


def test_there_is_no_fourth_framing():
    with pytest.raises(LocalProtocolError):
        FrameReader(b"\xcc" * 4, LIMIT)


def test_no_payload_shows_in_a_repr():
    assert "hush" not in repr(Frame(b"hush", quick_ack=False, wire_size=5))
