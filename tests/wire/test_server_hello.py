"""ServerHellos: the answer a proxy gives, the same answer as clients read it, and those of other servers."""

import hmac
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.errors import LocalProtocolError, RemoteProtocolError
from telemt_trio.wire.client_hello import build_client_hello, parse_client_hello, zeroed
from telemt_trio.wire.hello_extensions import write_extension
from telemt_trio.wire.need_data import NEED_DATA, NeedData
from telemt_trio.wire.server_hello import (
    CIPHERS,
    KEY_SHARE,
    MAX_APP_DATA,
    SUPPORTED_VERSIONS,
    X25519,
    X25519MLKEM768,
    Answer,
    AnswerReader,
    build_answer,
    choose_cipher,
    choose_group,
    parse_server_hello,
    server_key_share,
    x25519_source,
)

FLIGHTS = json.loads((Path(__file__).parents[1] / "vectors" / "faketls_first_flight.json").read_text())
FLIGHT_ANSWERS = [bytes.fromhex(flight["server_flight"]) for flight in FLIGHTS]

SECRET = bytes.fromhex("00112233445566778899aabbccddeeff")
CCS = bytes.fromhex("140303000101")

VECTORS = Path(__file__).parents[1] / "vectors"
GOLDEN_HELLO = bytes.fromhex((VECTORS / "golden_client_hello.hex").read_text())
GOLDEN_KEY = bytes.fromhex("07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c")  # of the scalar 01 … 20
GOLDEN_DIGEST = "aadd5dd4bddc0a86d43617412ed0e1d5ff5293ab5e37163b788f9f0f7cc84677"
GOLDEN_ANSWER = bytes.fromhex(
    "160303007a020000760303" + GOLDEN_DIGEST + "20000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    "130100002e"
    "00330024001d002007a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c"
    "002b00020304"
    "140303000101"
    "1703030040" + "aa" * 64
)

groups = st.sampled_from([X25519, X25519MLKEM768])
app_data = st.integers(1, 600).map(bytes) | st.just(bytes(MAX_APP_DATA))
orders = st.permutations([KEY_SHARE, SUPPORTED_VERSIONS]).map(tuple)


def sized(data, width=2):
    return len(data).to_bytes(width, "big") + data


def client_hello(*, suites=(0x1301,), shares=(), session_id=bytes(32), extensions=()):
    written = write_extension(KEY_SHARE, sized(b"".join(write_extension(*share) for share in shares)))
    written += b"".join(write_extension(*extension) for extension in extensions)
    body = b"\x03\x03" + bytes(range(32)) + sized(session_id, 1)
    body += sized(b"".join(suite.to_bytes(2, "big") for suite in suites)) + b"\x01\0" + sized(written)
    return parse_client_hello(b"\x16\x03\x01" + sized(b"\x01" + sized(body, 3)))


def answer(**changes):
    parts = {
        "secret": SECRET,
        "hello": parse_client_hello(GOLDEN_HELLO),
        "cipher": 0x1301,
        "group": X25519,
        "key_share": GOLDEN_KEY,
        "app_data": b"\xaa" * 64,
    }
    return build_answer(**(parts | changes))


def server_record(extensions=None, *, session_id=bytes(32), kind=2, behind=b"", version=b"\x03\x03"):
    body = b"\x03\x03" + bytes(range(32)) + sized(session_id, 1) + b"\x13\x02\x00"
    if extensions is not None:
        body += sized(b"".join(write_extension(*extension) for extension in extensions))
    return b"\x16" + version + sized(bytes((kind,)) + sized(body, 3) + behind)


def reader_of(data, *, secret=SECRET, client_random=GOLDEN_HELLO[11:43]):
    reader = AnswerReader(secret, client_random)
    reader.receive_data(data)
    return reader


def signed(records, client_random=GOLDEN_HELLO[11:43]):
    """These records with the right signature at bytes 11 to 43, whatever they are."""
    return records[:11] + hmac.digest(SECRET, client_random + zeroed(records), "sha256") + records[43:]


# --- choosing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "preferred", "chosen"),
    [
        ((0x1301, 0x1302, 0x1303), 0x1301, 0x1301),
        ((0x1302, 0x1303, 0x1301), 0x1301, 0x1301),
        ((0x1301, 0x1302, 0x1303), 0x1302, 0x1302),
        ((0x1301, 0x1302, 0x1303), 0x1303, 0x1303),
        ((0x1301, 0x1302), 0x1303, 0x1301),
        ((0x1302, 0x1303), 0x1301, 0x1303),
        ((0x0A0A, 0x1302, 0xC02F), 0x1301, 0x1302),
        ((0x0A0A, 0x1303, 0xC02F), 0x1302, 0x1303),
        ((0x1303, 0x1301, 0xC02F), 0xC02F, 0x1301),
        ((0x1303, 0x1301), 0x0000, 0x1301),
        ((0x0A0A, 0xC02F, 0x1304), 0x1301, None),
        ((0xC02F,), 0xC02F, None),
    ],
)
def test_the_cipher_is_the_preferred_or_the_first_known_that_is_offered(offered, preferred, chosen):
    assert choose_cipher(client_hello(suites=offered), preferred) == chosen


def test_the_default_cipher():
    assert choose_cipher(parse_client_hello(GOLDEN_HELLO)) == 0x1301


CLASSIC = (X25519, bytes(32))
HYBRID = (X25519MLKEM768, bytes(1216))
NOTHING = (0x0A0A, b"\0")


@pytest.mark.parametrize(
    ("shares", "first", "hybrid_first"),
    [
        ([CLASSIC], X25519, X25519),
        ([HYBRID], X25519MLKEM768, X25519MLKEM768),
        ([HYBRID, CLASSIC], X25519, X25519MLKEM768),
        ([NOTHING, CLASSIC, HYBRID], X25519, X25519MLKEM768),
        ([], None, None),
        ([NOTHING], None, None),
        ([(0x0017, bytes(65))], None, None),
        ([(X25519, bytes(31))], None, None),
        ([(X25519, bytes(33)), HYBRID], X25519MLKEM768, X25519MLKEM768),
        ([CLASSIC, CLASSIC], None, None),
        ([CLASSIC, (X25519, b"")], None, None),
        ([CLASSIC, HYBRID, HYBRID], X25519, X25519),
        ([(X25519MLKEM768, bytes(1184)), CLASSIC], X25519, X25519),
    ],
)
def test_the_group_has_exactly_one_key_of_its_size(shares, first, hybrid_first):
    read = client_hello(shares=shares)
    assert choose_group(read) == choose_group(read, X25519) == first
    assert choose_group(read, X25519MLKEM768) == hybrid_first


def test_a_truncated_list_has_no_group():
    listed = GOLDEN_HELLO.index(bytes.fromhex("0033002b0029"))
    broken = GOLDEN_HELLO[: listed + 5] + b"\x28" + GOLDEN_HELLO[listed + 6 :]
    assert choose_group(parse_client_hello(broken)) is None


def test_key_shares_of_the_server():
    entropy = random.Random(1).randbytes
    public_key = x25519_source(lambda size: bytes(range(1, size + 1)))
    assert server_key_share(X25519, entropy, public_key) == GOLDEN_KEY
    hybrid = server_key_share(X25519MLKEM768, entropy, public_key)
    assert hybrid == random.Random(1).randbytes(1088) + GOLDEN_KEY
    with pytest.raises(LocalProtocolError):
        server_key_share(0x0017, entropy, public_key)


# --- the answer ----------------------------------------------------------------------------------------------------


def test_the_golden_answer():
    assert answer() == GOLDEN_ANSWER
    assert len(GOLDEN_ANSWER) == 202


def test_the_golden_answer_with_its_extensions_the_other_way_round():
    swapped = answer(extensions=(SUPPORTED_VERSIONS, KEY_SHARE))
    assert swapped[11:43].hex() == "d5223d606b53768d2554533a978c51c23fb510caa06ee96fc007126a700e1e21"
    assert swapped[:11] + swapped[43:81] == GOLDEN_ANSWER[:11] + GOLDEN_ANSWER[43:81]
    assert swapped[81:127] == GOLDEN_ANSWER[121:127] + GOLDEN_ANSWER[81:121]
    assert swapped[127:] == GOLDEN_ANSWER[127:]


def test_the_golden_hybrid_answer():
    hybrid = answer(group=X25519MLKEM768, key_share=bytes(1120))
    assert len(hybrid) == 1290
    assert hybrid[:11].hex() == "16030304ba020004b60303"
    assert hybrid[11:43].hex() == "69d5d6efe57964bbd998dc50d2b90fe390e496ffc0c10a0201e74fc8be1ca2f2"


@pytest.mark.parametrize("flight", FLIGHTS, ids=lambda flight: f"{flight['client']} dc {flight['dc']}")
def test_recorded_answers_are_written_alike(flight):
    recorded = bytes.fromhex(flight["server_flight"])
    read = parse_server_hello(recorded[:127])
    assert recorded == build_answer(
        secret=bytes.fromhex(flight["secret"]),
        hello=parse_client_hello(bytes.fromhex(flight["client_hello"])),
        cipher=read.cipher,
        group=X25519,
        key_share=read.extension(KEY_SHARE)[4:],
        app_data=recorded[138:],
    )


@pytest.mark.parametrize("size", [0, 1, 32])
def test_the_session_id_is_echoed(size):
    session_id = bytes(range(size))
    written = answer(hello=client_hello(session_id=session_id))
    assert written[43 : 44 + size] == bytes((size,)) + session_id
    assert written.index(CCS) == 127 - 32 + size
    assert parse_server_hello(written[: 127 - 32 + size]).session_id == session_id


@given(groups, st.sampled_from(CIPHERS), app_data, orders)
def test_an_answer_is_three_records_and_nothing_else(group, cipher, data, order):
    key_share = server_key_share(group, random.Random(1).randbytes, lambda: GOLDEN_KEY)
    written = answer(group=group, cipher=cipher, key_share=key_share, app_data=data, extensions=order)
    size = {X25519: 127, X25519MLKEM768: 1215}[group]
    assert written[size:] == CCS + b"\x17\x03\x03" + sized(data)
    read = parse_server_hello(written[:size])
    assert (read.version, read.cipher, read.compression) == (0x0303, cipher, 0)
    assert read.session_id == bytes(range(32))
    assert read.group == group
    assert dict(read.extensions) == {KEY_SHARE: write_extension(group, key_share), SUPPORTED_VERSIONS: b"\x03\x04"}
    assert tuple(kind for kind, _ in read.extensions) == order
    assert read.message_size == size - 5
    assert written == signed(written)


@pytest.mark.parametrize(
    "changes",
    [
        {"app_data": b""},
        {"app_data": bytes(MAX_APP_DATA + 1)},
        {"key_share": GOLDEN_KEY + b"\0"},
        {"group": X25519MLKEM768},
        {"group": 0x0017},
        {"extensions": (KEY_SHARE,)},
        {"extensions": (KEY_SHARE, KEY_SHARE)},
        {"extensions": (KEY_SHARE, 0x0010)},
        {"extensions": (KEY_SHARE, SUPPORTED_VERSIONS, KEY_SHARE)},
    ],
)
def test_what_some_client_refuses_is_not_written(changes):
    with pytest.raises(LocalProtocolError):
        answer(**changes)


# --- reading it as a client ----------------------------------------------------------------------------------------


def test_an_answer_is_read():
    assert reader_of(GOLDEN_ANSWER).next_event() == Answer(parse_server_hello(GOLDEN_ANSWER[:127]), 127, 64, b"")
    read = reader_of(GOLDEN_ANSWER + b"\x17\x03").next_event()
    assert (read.cipher, read.group, read.session_id) == (0x1301, X25519, bytes(range(32)))
    assert (read.hello_size, read.app_data_size, read.trailing) == (127, 64, b"\x17\x03")


@pytest.mark.parametrize("flight", FLIGHTS, ids=lambda flight: f"{flight['client']} dc {flight['dc']}")
def test_recorded_answers_are_read(flight):
    secret, client_random = bytes.fromhex(flight["secret"]), bytes.fromhex(flight["client_hello"])[11:43]
    recorded = bytes.fromhex(flight["server_flight"])
    read = reader_of(recorded, secret=secret, client_random=client_random).next_event()
    assert (read.cipher, read.group, read.app_data_size, read.trailing) == (0x1301, X25519, 900, b"")


@given(groups, app_data, st.lists(st.integers(1, 400)), st.binary(max_size=20))
def test_an_answer_may_come_in_any_pieces(group, data, cuts, behind):
    record = build_client_hello(
        secret=SECRET, domain="example.com", unix_time=1, entropy=random.Random(4).randbytes, shape="minimal"
    )
    read = parse_client_hello(record)
    key_share = server_key_share(group, random.Random(1).randbytes, lambda: GOLDEN_KEY)
    left = answer(hello=read, group=group, key_share=key_share, app_data=data) + behind
    size = len(left) - len(behind)
    reader = AnswerReader(SECRET, read.random)
    received = 0
    event = reader.next_event()
    assert event is NEED_DATA is NeedData.NEED_DATA
    for cut in [*cuts, 20_000]:
        if event is not NEED_DATA:
            break
        reader.receive_data(left[received : received + cut])
        received += cut
        event = reader.next_event()
        assert (event is NEED_DATA) == (received < size)
    assert (event.group, event.app_data_size) == (group, len(data))
    assert event.trailing == left[size:received]


def test_an_answer_comes_byte_by_byte():
    reader = AnswerReader(SECRET, GOLDEN_HELLO[11:43])
    for at in range(len(GOLDEN_ANSWER)):
        assert reader.next_event() is NEED_DATA
        reader.receive_data(GOLDEN_ANSWER[at : at + 1])
    assert isinstance(reader.next_event(), Answer)


def test_the_client_does_not_look_into_the_records():
    garbage = b"\x16\x03\x03" + sized(bytes(200)) + CCS + b"\x17\x03\x03" + sized(b"")
    read = reader_of(signed(garbage)).next_event()
    assert (read.server_hello, read.cipher, read.group, read.session_id) == (None, None, None, None)
    assert (read.hello_size, read.app_data_size) == (205, 0)
    longest = b"\x16\x03\x03" + sized(bytes(65535)) + CCS + b"\x17\x03\x03" + sized(bytes(65535))
    assert reader_of(signed(longest)).next_event().app_data_size == 65535


def test_the_signature_may_reach_into_the_last_record():
    short = b"\x16\x03\x03" + sized(b"") + CCS + b"\x17\x03\x03" + sized(bytes(27))
    with pytest.raises(RemoteProtocolError):  # byte 11 is in a header here, so a right signature breaks the records
        reader_of(signed(short)).next_event()
    last = b"\x16\x03\x03" + sized(bytes(27)) + CCS + b"\x17\x03\x03" + sized(b"")
    assert len(last) == 43
    with pytest.raises(RemoteProtocolError):
        reader_of(signed(last)).next_event()


def test_an_answer_too_short_for_its_signature_is_refused():
    short = b"\x16\x03\x03" + sized(b"") + CCS + b"\x17\x03\x03" + sized(bytes(10))
    with pytest.raises(RemoteProtocolError):
        reader_of(short).next_event()


def test_a_flipped_bit_anywhere_is_refused():
    for at in range(len(GOLDEN_ANSWER)):
        flipped = bytearray(GOLDEN_ANSWER)
        flipped[at] ^= 0x10
        reader = reader_of(bytes(flipped) + bytes(70_000))
        for _ in range(2):
            with pytest.raises(RemoteProtocolError):
                reader.next_event()


def test_another_secret_or_another_hello_is_refused():
    for wrong in ({"secret": bytes(16)}, {"client_random": bytes(32)}):
        with pytest.raises(RemoteProtocolError):
            reader_of(GOLDEN_ANSWER, **wrong).next_event()


@pytest.mark.parametrize(
    "records",
    [
        b"H",
        b"HTTP/1.1 400 Bad Request\r\n",
        bytes.fromhex("15030300020228"),
        b"\x16\x03\x01",
        GOLDEN_ANSWER[:127] + b"\x17\x03\x03" + sized(bytes(64)),
        GOLDEN_ANSWER[:127] + CCS * 2 + b"\x17\x03\x03" + sized(bytes(64)),
        GOLDEN_ANSWER[:127] + b"\x17\x03\x03" + sized(bytes(64)) + CCS,
        GOLDEN_ANSWER[:127] + b"\x14\x03\x03\x00\x01\x02",
        GOLDEN_ANSWER[:133] + b"\x16",
    ],
)
def test_other_records_are_refused_as_soon_as_they_show(records):
    reader = reader_of(records)
    with pytest.raises(RemoteProtocolError):
        reader.next_event()


def test_a_second_record_under_the_signature_is_refused():
    both = signed(GOLDEN_ANSWER + b"\x17\x03\x03" + sized(bytes(80)))
    with pytest.raises(RemoteProtocolError):
        reader_of(both).next_event()


@pytest.mark.parametrize("size", [0, 1, 5, 126, 127, 130, 137, 138, 201])
def test_an_end_inside_the_answer_is_refused(size):
    reader = AnswerReader(SECRET, GOLDEN_HELLO[11:43])
    if size:
        reader.receive_data(GOLDEN_ANSWER[:size])
    assert reader.next_event() is NEED_DATA
    reader.receive_data(b"")
    with pytest.raises(RemoteProtocolError):
        reader.next_event()
    with pytest.raises(LocalProtocolError):
        reader.receive_data(b"late")


def test_an_end_behind_the_answer_is_none_of_its_business():
    reader = reader_of(GOLDEN_ANSWER)
    reader.receive_data(b"")
    assert isinstance(reader.next_event(), Answer)


def test_a_reader_reads_one_answer():
    reader = reader_of(GOLDEN_ANSWER)
    reader.next_event()
    with pytest.raises(LocalProtocolError):
        reader.receive_data(b"more")
    with pytest.raises(LocalProtocolError):
        reader.next_event()


@given(st.lists(st.binary(min_size=1, max_size=40)), st.integers(0, 202))
def test_any_bytes_are_an_answer_or_not_yet_or_refused(pieces, kept):
    reader = AnswerReader(SECRET, GOLDEN_HELLO[11:43])
    try:
        for piece in [GOLDEN_ANSWER[:kept], *pieces]:
            if piece:
                reader.receive_data(piece)
        event = reader.next_event()
    except RemoteProtocolError:
        return
    assert event is NEED_DATA or kept == len(GOLDEN_ANSWER) or b"".join(pieces).startswith(GOLDEN_ANSWER[kept:])


def test_nothing_of_an_answer_is_shown():
    read = reader_of(GOLDEN_ANSWER + b"trailing").next_event()
    assert "trailing'" not in repr(read)
    assert repr(GOLDEN_ANSWER[11:43]) not in repr(read)
    assert "0011" not in repr(reader_of(b"\x16"))


# --- ServerHellos of other servers ---------------------------------------------------------------------------------


def test_a_server_hello_of_an_older_server():
    read = parse_server_hello(server_record(behind=b"\x0b\0\0\0", session_id=b"", version=b"\x03\x01"))
    assert (read.cipher, read.extensions, read.group, read.session_id) == (0x1302, (), None, b"")
    assert read.message_size == len(server_record(session_id=b"")) - 5
    assert read.random == bytes(range(32))


def test_the_longest_record():
    room = 16384 + 5 - len(server_record())
    assert parse_server_hello(server_record(behind=bytes(room))).message_size == len(server_record()) - 5
    with pytest.raises(RemoteProtocolError):
        parse_server_hello(server_record(behind=bytes(room + 1)))


@pytest.mark.parametrize(
    ("share", "group"),
    [
        (b"\x00\x1d\x00\x02kk", X25519),
        (b"\x11\xec\x00\x00", X25519MLKEM768),
        (b"\x00\x1d", None),
        (b"", None),
        (b"\x00\x1d\x00\x02k", None),
        (b"\x00\x1d\x00\x02kkk", None),
    ],
)
def test_the_group_of_a_server_hello_comes_with_a_key(share, group):
    assert parse_server_hello(server_record([(KEY_SHARE, share)])).group == group


@pytest.mark.parametrize(
    ("what", "record"),
    [
        ("nothing", b""),
        ("half of it", server_record()[:43]),
        ("another record type", b"\x17" + server_record()[1:]),
        ("another record version", server_record(version=b"\x03\x00")),
        ("another message", server_record(kind=1)),
        ("a record that is too long", server_record(behind=bytes(16384))),
        ("a byte missing", server_record()[:-1]),
        ("a byte too many", server_record() + b"\0"),
        ("a message one byte beyond the record", server_record([])[:8] + b"\x49" + server_record([])[9:]),
        ("a message beyond the record", server_record()[:8] + b"\xff" + server_record()[9:]),
        ("a session id of 33 bytes", server_record(session_id=bytes(33))),
        ("a session id beyond the message", server_record(session_id=b"").replace(b"\x1f\x00", b"\x1f\x20")),
        ("a message without compression", server_record()[:8] + b"\x45" + server_record()[9:]),
        ("half an extension list", server_record([(KEY_SHARE, b"")])[:-4] + b"\x00\x33\x00\x01"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_server_hello_is_refused(what, record):
    with pytest.raises(RemoteProtocolError):
        parse_server_hello(record)


@given(st.binary(max_size=200), st.integers(0, 126), st.integers(0, 20))
def test_damaged_server_hellos_are_read_or_refused(data, at, removed):
    record = GOLDEN_ANSWER[:127]
    damaged = record[:at] + data + record[at + removed :]
    for candidate in (
        data,
        damaged,
        damaged[:3] + sized(damaged[5:]),
        damaged[:3] + sized(b"\x02" + sized(damaged[9:], 3)),
    ):
        try:
            read = parse_server_hello(candidate)
        except RemoteProtocolError:
            continue
        assert read.message_size <= len(candidate) - 5
        assert read.group is None or isinstance(read.group, int)


def test_keys_are_made_in_batches_and_never_twice():
    asked = []

    def entropy(size):
        asked.append(size)
        return bytes([len(asked)]) * size

    public_key = x25519_source(entropy, batch=3)
    keys = [public_key() for _ in range(3)]
    assert asked == [32] * 3
    keys += [public_key() for _ in range(4)]
    assert asked == [32] * 9
    assert len(set(keys)) == 7
