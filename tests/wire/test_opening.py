"""What a new connection is, whatever the cuts, and what a stranger's front gets to see."""

import hmac
import json
from itertools import pairwise
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.errors import LocalProtocolError, RemoteProtocolError
from telemt_trio.events import RejectReason
from telemt_trio.wire.client_hello import HelloKey, parse_client_hello, zeroed
from telemt_trio.wire.framing import FrameReader
from telemt_trio.wire.need_data import NEED_DATA
from telemt_trio.wire.obfuscated2 import (
    ABRIDGED,
    NONCE_SIZE,
    RESERVED_PREFIXES,
    open_nonce,
)
from telemt_trio.wire.opening import MAX_HELLO, MIN_HELLO, Hello, Nonce, Opening, PlainNonce, Stranger
from telemt_trio.wire.tls_records import application_header

RECORDED = json.loads((Path(__file__).parents[1] / "vectors" / "faketls_first_flight.json").read_text())

CCS = bytes.fromhex("140303000101")
ALERT = bytes.fromhex("15030300020100")
HELLO = bytes.fromhex("16030100c8") + b"\x01" + bytes(199)
NONCE = bytes(range(100, 100 + NONCE_SIZE))


def record(payload):
    return application_header(len(payload)) + payload


def pieces(wire, cuts):
    places = sorted({min(cut, len(wire)) for cut in cuts} | {0, len(wire)})
    return [wire[start:end] for start, end in pairwise(places)]


@attrs.frozen
class Story:
    """How a connection went: what it was, and what a relay or a front got of it."""

    what: object
    hello: bytes | None = None
    nonce: bytes | None = None
    payload: bytes = b""
    broken: bool = False
    raw: bytes = b""


def tell(chunks, *, tls=True, plain=True, patient=False):
    """Feed ``chunks`` and act on the events as a proxy would that accepts every hello.

    A ``patient`` one, once the hello is answered, asks for events only when everything has come.
    """
    opening = Opening(tls=tls, plain=plain)
    hello, sent = None, b""
    chunks = list(chunks)
    while chunks:
        chunk = chunks.pop(0)
        opening.receive_data(chunk)
        sent += chunk
        if patient and opening.answered and chunks:
            continue
        while (event := opening.next_event()) is not NEED_DATA:
            assert opening.raw == sent or opening.answered
            if isinstance(event, Hello):
                hello = event.record
                opening.hello_accepted()
            elif isinstance(event, Stranger):
                assert opening.next_event() == event  # for good
                opening.receive_data(b"".join(chunks))
                assert opening.next_event() == event
                return Story(event, hello, raw=opening.raw)
            else:
                assert opening.next_event() is NEED_DATA
                payload, broken = relay(opening, event, chunks)
                opening.receive_data(b"".join(chunks))
                return Story(type(event), hello, event.nonce, payload, broken, opening.raw)
    return Story(NEED_DATA, hello, raw=opening.raw)


def relay(opening, event, chunks):
    """What comes behind the nonce, and whether the stream broke."""
    if isinstance(event, PlainNonce):
        return event.surplus + b"".join(chunks), False
    payload = event.surplus
    try:
        for chunk in [*chunks, b""]:
            payload += opening.reader.decode(chunk)
    except RemoteProtocolError:
        return payload, True
    return payload, False


cuts = st.lists(st.integers(0, 700), max_size=12)


def is_plain(wire):
    return wire[:4] not in RESERVED_PREFIXES and wire[0] not in {ABRIDGED[0], 0x16}


# ---------------------------------------------------------------- clients without TLS


@given(
    wire=st.binary(min_size=NONCE_SIZE, max_size=200).filter(is_plain),
    cuts=cuts,
    tls=st.booleans(),
    patient=st.booleans(),
)
def test_64_bytes_of_noise_are_a_nonce(wire, cuts, tls, patient):
    assert tell(pieces(wire, cuts), tls=tls, patient=patient) == Story(
        PlainNonce, nonce=wire[:NONCE_SIZE], payload=wire[NONCE_SIZE:], raw=wire
    )


@pytest.mark.parametrize("size", [1, 3, 4, 63])
def test_less_is_not_yet_anything(size):
    assert tell([NONCE[:size]]) == Story(NEED_DATA, raw=NONCE[:size])


def test_nothing_at_all_is_not_yet_anything():
    assert Opening(tls=True, plain=True).next_event() is NEED_DATA


@pytest.mark.parametrize("start", [b"\x16", b"\x16\x03", b"\x16\x03\x02", b"\x16\x02", b"\x17\x03\x03"])
def test_a_nonce_may_start_like_a_tls_record_as_long_as_it_is_none(start):
    wire = (start + b"\x77" * NONCE_SIZE)[:NONCE_SIZE]
    for cut in range(len(wire) + 1):
        assert tell([wire[:cut], wire[cut:]]).what is PlainNonce


@pytest.mark.parametrize("start", [*sorted(RESERVED_PREFIXES - {b"\x16\x03\x01\x02"}), b"\xef", b"\xef\x00\x00\x00"])
def test_another_protocol_is_a_stranger(start):
    wire = start + bytes(100)
    story = Story(Stranger(RejectReason.NOT_OURS), raw=wire)
    for cut in range(6):
        assert tell([wire[:cut], wire[cut:]]) == story


@pytest.mark.parametrize("first", [b"\x00", b"G", b"\xef", b"\x16\x04", b"\x16\x03\x00"])
def test_without_plain_modes_the_first_byte_that_is_not_tls_makes_a_stranger(first):
    opening = Opening(tls=True, plain=False)
    opening.receive_data(first)
    assert opening.next_event() == Stranger(RejectReason.PLAIN_OFF)
    assert opening.raw == first


# ---------------------------------------------------------------- a hello, or not


@pytest.mark.parametrize("version", [b"\x03\x01", b"\x03\x03"])
@pytest.mark.parametrize("size", [MIN_HELLO, 517 - 5, 2000, MAX_HELLO])
@pytest.mark.parametrize("plain", [True, False])
def test_a_whole_record_is_a_hello_with_nothing_of_what_follows(version, size, plain):
    hello = b"\x16" + version + size.to_bytes(2, "big") + b"\x01" + bytes(size - 1)
    opening = Opening(tls=True, plain=plain)
    opening.receive_data(hello[:-1])
    assert opening.next_event() is NEED_DATA
    opening.receive_data(hello[-1:] + b"pipelined")
    assert opening.next_event() == Hello(hello)
    assert opening.next_event() is NEED_DATA  # the verdict is the caller's
    assert opening.raw == hello + b"pipelined"
    assert not opening.answered


STRANGERS = {
    "too short": (bytes.fromhex("1603010063"), 5, RejectReason.HELLO_SIZE),
    "empty": (bytes.fromhex("1603030000"), 5, RejectReason.HELLO_SIZE),
    "too long": (bytes.fromhex("1603014001"), 5, RejectReason.HELLO_SIZE),
    "far too long": (bytes.fromhex("160303ffff"), 5, RejectReason.HELLO_SIZE),
    "no ClientHello": (bytes.fromhex("160301020002"), 6, RejectReason.NOT_A_HELLO),
}


@pytest.mark.parametrize(("wire", "decided", "reason"), STRANGERS.values(), ids=STRANGERS)
def test_a_record_that_holds_no_client_hello_is_a_stranger_at_once(wire, decided, reason):
    wire += b"the rest"
    opening = Opening(tls=True, plain=True)
    for at in range(decided - 1):
        opening.receive_data(wire[at : at + 1])
        assert opening.next_event() is NEED_DATA
    opening.receive_data(wire[decided - 1 : decided])
    assert opening.next_event() == Stranger(reason)
    assert opening.raw == wire[:decided]
    for cut in range(len(wire)):
        assert tell([wire[:cut], wire[cut:]]) == Story(Stranger(reason), raw=wire)


def test_without_tls_a_hello_is_a_stranger():
    for cut in range(8):
        story = tell([HELLO[:cut], HELLO[cut:]], tls=False)
        assert story == Story(Stranger(RejectReason.TLS_OFF), raw=HELLO)


@given(wire=st.binary(max_size=300), cuts=cuts, tls=st.booleans(), plain=st.booleans())
def test_any_bytes_are_something_and_the_same_whatever_the_cuts(wire, cuts, tls, plain):
    told = tell(pieces(wire, cuts), tls=tls, plain=plain)
    assert told == tell([wire], tls=tls, plain=plain)
    assert told.hello is not None or told.raw == wire


# ---------------------------------------------------------------- records behind the hello

# What a client sends behind the hello, up to the end of the nonce: any number of records, changes of cipher spec
# anywhere.
noise = st.sampled_from([b"", CCS, record(b""), CCS + CCS])


surplus = st.binary(max_size=30)


@st.composite
def nonce_records(draw):
    """(wire bytes up to byte 63 of the payload, what is left of that record)."""
    wire, at = draw(noise), 0
    while True:
        size = draw(st.integers(1, NONCE_SIZE - at) | st.just(NONCE_SIZE - at))
        left = draw(surplus) if at + size == NONCE_SIZE else b""
        wire += application_header(size + len(left)) + NONCE[at : at + size]
        at += size
        if at == NONCE_SIZE:
            return wire, left
        wire += draw(noise)


tails = st.one_of(
    st.lists(st.binary(max_size=20).map(record) | st.just(CCS), max_size=4).map(b"".join),
    st.binary(max_size=20),
    st.just(ALERT + b"x"),
    st.just(record(b"good") + b"\x16\x03\x01\x00\x10bad"),
    st.integers(1, 60).map(lambda size: application_header(size + 1) + b"p" * size),
)


@given(first=nonce_records(), tail=tails, cuts=cuts, patient=st.booleans(), at_once=st.booleans())
def test_a_nonce_in_records_is_found_whatever_the_cuts(first, tail, cuts, patient, at_once):
    start, left = first
    wire = HELLO + start + left + tail
    chunks = pieces(wire, [cut + len(HELLO) for cut in cuts] if at_once else [*cuts, len(HELLO)])
    story = tell(chunks, patient=patient)
    whole = tell([wire])
    assert story.what is Nonce
    assert story.hello == HELLO
    assert story.nonce == NONCE
    assert story.payload.startswith(left)
    assert story == whole
    assert story.raw == (application_header(len(left)) + left if left else b"") + tail


@pytest.mark.parametrize("tail", [b"noise and noise", b"\x16\x03\x01\x00\x10bad", ALERT, b"GET / HTTP/1.1\r\n\r\n"])
def test_garbage_behind_the_record_of_the_nonce_is_the_relays_to_find(tail):
    wire = HELLO + CCS + record(NONCE + b"payload") + tail
    whole = tell([wire])
    assert whole.what is Nonce
    assert whole.payload == b"payload"
    assert whole.broken is (tail is not ALERT)
    for cut in range(len(HELLO), len(wire)):
        assert tell([wire[:cut], wire[cut:]]) == whole
        assert tell([HELLO, wire[len(HELLO) : cut], wire[cut:]], patient=True) == whole


@given(first=nonce_records(), tail=tails)
def test_behind_a_refused_nonce_the_front_gets_a_stream_of_records(first, tail):
    """What the record of byte 63 has left is wrapped anew, however much of it has come by then."""
    start, left = first
    wire = start + left + tail
    for arrived in range(len(start), len(wire) + 1):
        opening = Opening(tls=True, plain=False)
        opening.receive_data(HELLO)
        assert opening.next_event() == Hello(HELLO)
        opening.hello_accepted()
        opening.receive_data(wire[:arrived])
        assert isinstance(opening.next_event(), Nonce)
        header = application_header(len(left)) if left else b""
        assert opening.raw == header + wire[len(start) : arrived]


BROKEN = {
    "a handshake record": b"\x16\x03\x03\x00\x10" + bytes(16),
    "an alert": ALERT,
    "HTTP": b"GET / HTTP/1.1\r\n",
    "a record of another version": b"\x17\x03\x01\x00\x40" + NONCE,
    "a long change of cipher spec": b"\x14\x03\x03\x00\x02\x01\x01",
    "an alert after 63 bytes": record(NONCE[:63]) + ALERT,
    "garbage after 63 bytes": CCS + record(NONCE[:63]) + b"garbage" + record(NONCE),
}


@pytest.mark.parametrize("wire", BROKEN.values(), ids=BROKEN)
def test_records_that_break_before_the_nonce_make_a_stranger(wire):
    for patient in (False, True):
        for cut in range(len(wire) + 1):
            story = tell([HELLO, wire[:cut], wire[cut:]], patient=patient)
            assert story == Story(Stranger(RejectReason.BROKEN_RECORDS), HELLO, raw=wire)


def test_somebody_who_never_comes_to_the_nonce_is_a_stranger():
    opening = Opening(tls=True, plain=False)
    opening.receive_data(HELLO)
    opening.next_event()
    opening.hello_accepted()
    sent = 0
    while opening.next_event() is NEED_DATA:
        opening.receive_data(CCS * 100)
        sent += len(CCS) * 100
        assert sent < 40_000
    assert opening.next_event() == Stranger(RejectReason.BROKEN_RECORDS)


def test_63_bytes_of_payload_are_not_yet_a_nonce():
    wire = HELLO + CCS + record(NONCE[:63])
    assert tell([wire]) == Story(NEED_DATA, HELLO, raw=wire[len(HELLO) :])


def test_a_refused_hello_is_part_of_what_the_front_sees():
    opening = Opening(tls=True, plain=False)
    opening.receive_data(HELLO + b"early data")
    opening.next_event()
    opening.receive_data(b" and more")
    assert opening.next_event() is NEED_DATA
    assert opening.raw == HELLO + b"early data and more"


def test_an_accepted_hello_is_not():
    opening = Opening(tls=True, plain=False)
    opening.receive_data(HELLO + CCS)
    opening.next_event()
    opening.hello_accepted()
    assert opening.answered
    assert opening.raw == CCS


@pytest.mark.parametrize("wire", [b"", HELLO[:100], NONCE, HELLO + CCS + record(NONCE)])
def test_only_a_hello_that_was_given_out_can_be_accepted(wire):
    opening = Opening(tls=True, plain=True)
    opening.receive_data(wire)
    if isinstance(opening.next_event(), Hello):
        opening.hello_accepted()
    with pytest.raises(LocalProtocolError):
        opening.hello_accepted()


# ---------------------------------------------------------------- recorded clients


@pytest.mark.parametrize("flight", RECORDED, ids=lambda flight: f"{flight['client']}-dc{flight['dc']}")
@pytest.mark.parametrize("step", [1, 7, 64, 1460, 100_000])
def test_recorded_first_flights_open(flight, step):
    hello, first = bytes.fromhex(flight["client_hello"]), bytes.fromhex(flight["first_flight"])
    secret = bytes.fromhex(flight["secret"])
    # The client sends its first flight once it has seen the answer, so the two never share a segment.
    chunks = [part[at : at + step] for part in (hello, first) for at in range(0, len(part), step)]
    story = tell(chunks, plain=False)

    assert story.what is Nonce
    assert story.hello == hello
    parsed = parse_client_hello(story.hello)
    assert parsed.server_name == flight["domain"]
    assert hmac.compare_digest(HelloKey(secret).mac(zeroed(story.hello))[:28], parsed.random[:28])

    opened = open_nonce(story.nonce, secret)
    assert (opened.tag.hex(), opened.dc) == (flight["tag"], flight["dc"])
    assert not story.broken
    frames = FrameReader(opened.tag, max_frame=1 << 20)
    frames.receive_data(opened.decrypt.update(story.payload))
    frame = frames.next_event()
    assert frame is not NEED_DATA
    assert len(frame.payload) % 4 == 0
