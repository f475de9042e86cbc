"""ClientHellos: recorded ones, golden ones, broken ones, and those we write ourselves."""

import hmac
import json
import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.errors import LocalProtocolError, RemoteProtocolError
from telemt_trio.wire.client_hello import (
    BOOT_CLOCK_CAP,
    MAX_CLOCK_SKEW,
    MAX_DOMAIN,
    SIGNED_SIZE,
    TLS12,
    TLS13,
    HelloKey,
    acceptable_time,
    boot_cap_for,
    build_client_hello,
    first_match,
    parse_client_hello,
    timestamp,
    zeroed,
)
from telemt_trio.wire.hello_extensions import (
    ALPN,
    GREASE,
    KEY_SHARE,
    SERVER_NAME,
    SUPPORTED_GROUPS,
    SUPPORTED_VERSIONS,
    X25519,
    X25519MLKEM768,
    read_key_shares,
    read_protocols,
    read_server_name,
    read_versions,
    write_extension,
    x25519_source,
)
from telemt_trio.wire.hello_shapes import LEGACY_SIZE, TDLIB_ECH_SIZES, unsigned_hello

VECTORS = Path(__file__).parents[1] / "vectors"
TDLIB = json.loads((VECTORS / "tdlib_client_hello.json").read_text())
FLIGHTS = json.loads((VECTORS / "faketls_first_flight.json").read_text())
TDLIB_HELLOS = [bytes.fromhex(vector["hex"]) for vector in TDLIB]
TELETHON_HELLO = bytes.fromhex(FLIGHTS[-1]["client_hello"])
REAL_HELLOS = [*TDLIB_HELLOS, *(bytes.fromhex(vector["client_hello"]) for vector in FLIGHTS)]

SECRET = bytes.fromhex("00112233445566778899aabbccddeeff")
NOW = 1_700_000_000

# 194 bytes, made at 1700000000 for example.com.
GOLDEN = bytes.fromhex((VECTORS / "golden_client_hello.hex").read_text())

secrets = st.binary(min_size=16, max_size=16)
shapes = st.sampled_from(["tdlib", "legacy", "minimal"])
domains = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,8}){1,4}", fullmatch=True)


def sized(data, width=2):
    return len(data).to_bytes(width, "big") + data


def hello(*extensions, session_id=bytes(32), suites=b"\x13\x01", compression=b"\0", tail=None, kind=1):
    """A hello of these (type, data) extensions, or with ``tail`` in place of all that follows the compression."""
    body = b"\x03\x03" + bytes(32) + sized(session_id, 1) + sized(suites) + sized(compression, 1)
    body += sized(b"".join(write_extension(*extension) for extension in extensions)) if tail is None else tail
    return b"\x16\x03\x01" + sized(bytes((kind,)) + sized(body, 3))


def made_at(record, secret):
    """The time at which the holder of ``secret`` made this hello, or None if someone else did."""
    read = parse_client_hello(record)
    mac = HelloKey(secret).mac(zeroed(record))
    return timestamp(read.random, mac) if hmac.compare_digest(mac[:28], read.random[:28]) else None


def build(shape="tdlib", *, secret=SECRET, domain="www.example.com", unix_time=NOW, seed=1, rng=None):
    entropy = random.Random(seed).randbytes
    return build_client_hello(secret=secret, domain=domain, unix_time=unix_time, entropy=entropy, rng=rng, shape=shape)


# --- the MAC -------------------------------------------------------------------------------------------------------


@given(secrets, st.binary(max_size=3000))
def test_a_hello_key_computes_hmac_sha256(secret, message):
    key = HelloKey(secret)
    assert key.mac(message) == hmac.digest(secret, message, "sha256")
    assert key.mac(message) == hmac.digest(secret, message, "sha256"), "a MAC leaves no trace in the key"


def test_the_keyed_halves_can_be_used_without_the_method():
    key = HelloKey(SECRET)
    inner = key.copy_inner()
    inner.update(b"message")
    outer = key.copy_outer()
    outer.update(inner.digest())
    assert outer.digest() == key.mac(b"message")


def test_a_hello_key_shows_nothing():
    assert repr(HelloKey(SECRET)) == "HelloKey()"


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_a_secret_has_16_bytes(size):
    with pytest.raises(LocalProtocolError):
        HelloKey(bytes(size))


def test_golden_mac_of_a_bare_buffer():
    digest = bytes.fromhex("a93225d1d6b46260bc9ce0cc48c7487d2b1ca5afa7ae9fc6609d9e60a3ca842b")
    buffer = b"\x42" * 11 + digest + b"\x20" + b"\x42" * 32
    mac = HelloKey(SECRET).mac(zeroed(buffer))
    assert mac[:28] == digest[:28]
    assert timestamp(digest, mac) == 0x01020304


def test_zeroed_keeps_everything_but_the_random():
    assert zeroed(GOLDEN) == GOLDEN[:11] + bytes(32) + GOLDEN[43:]


@pytest.mark.parametrize(
    ("record", "secret", "made"),
    [(bytes.fromhex(v["hex"]), bytes.fromhex(v["secret"]), v["embedded_timestamp"]) for v in TDLIB],
)
def test_recorded_hellos_are_signed_with_their_secret_and_time(record, secret, made):
    assert made_at(record, secret) == made
    assert made_at(record, bytes(16)) is None


@pytest.mark.parametrize("vector", FLIGHTS, ids=lambda vector: f"{vector['client']} dc {vector['dc']}")
def test_the_hellos_of_recorded_flights_are_signed(vector):
    made = made_at(bytes.fromhex(vector["client_hello"]), bytes.fromhex(vector["secret"]))
    assert made is not None
    assert abs(made - TDLIB[0]["timestamp"]) < 86_400


def test_a_flipped_bit_changes_the_owner_or_only_the_time():
    for at in range(5, len(GOLDEN)):
        for bit in (0x01, 0x80):
            flipped = bytearray(GOLDEN)
            flipped[at] ^= bit
            mac = HelloKey(SECRET).mac(zeroed(bytes(flipped)))
            ours = mac[:28] == flipped[11:39]
            assert ours == (39 <= at < 43)
            if ours:
                assert timestamp(bytes(flipped[11:43]), mac) == NOW ^ bit << 8 * (at - 39)


def test_a_byte_behind_the_record_is_not_part_of_it():
    longer = GOLDEN + b"\0"
    with pytest.raises(RemoteProtocolError):
        parse_client_hello(longer)
    assert HelloKey(SECRET).mac(zeroed(longer))[:28] != GOLDEN[11:39]


# --- time ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "fits"), [(-121, False), (-120, True), (0, True), (120, True), (121, False), (2**31, False)]
)
def test_the_window_is_two_minutes_both_ways_and_inclusive(age, fits):
    assert acceptable_time(2_500_000_000 - age, 2_500_000_000, boot_cap=0) is fits


def test_fractions_of_a_second_do_not_count():
    assert acceptable_time(NOW - MAX_CLOCK_SKEW, NOW + 0.99, boot_cap=0)


@given(st.integers(0, 2**32 - 1), st.integers(-(2**63), 2**63), st.integers(0, 120))
def test_time_is_judged_without_overflow(ts, now, cap):
    assert acceptable_time(ts, now, boot_cap=cap) == (now >= 0 and (ts < cap or abs(now - ts) <= 120))


def test_a_clock_before_1970_accepts_nothing():
    assert not acceptable_time(0, -1, boot_cap=120)
    assert not acceptable_time(0, -0.5, boot_cap=120)


@pytest.mark.parametrize(("replay_window", "cap"), [(0, 0), (1, 1), (2, 2), (119.9, 119), (120, 120), (10_000, 120)])
def test_an_uptime_passes_for_a_time_while_the_replay_memory_lasts(replay_window, cap):
    assert boot_cap_for(replay_window) == cap <= BOOT_CLOCK_CAP
    accepted = [ts for ts in range(200) if acceptable_time(ts, NOW, boot_cap=cap)]
    assert accepted == list(range(cap))


def test_the_timestamp_is_unsigned_and_little_endian():
    assert timestamp(bytes(28) + b"\xff\xff\xff\xff", bytes(32)) == 2**32 - 1
    assert timestamp(bytes(28) + b"\x01\x00\x00\x00", bytes(28) + b"\x00\x02\x00\x00") == 0x0201


# --- reading -------------------------------------------------------------------------------------------------------


def test_the_golden_hello_is_read():
    read = parse_client_hello(GOLDEN)
    assert read.record == GOLDEN
    assert read.random == GOLDEN[11:43]
    assert read.random[:16].hex() == "dd5ab654abe9a5c009bf9d8d8845d244"
    assert read.session_id == bytes(range(32))
    assert read.legacy_version == 0x0303
    assert read.cipher_suites == (0x0A0A, 0x1301, 0x1302, 0x1303)
    assert [kind for kind, _ in read.extensions] == [0x00, 0x0A, 0x10, 0x33, 0x2B]
    assert read.server_name == "example.com"
    assert read.alpn == (b"h2", b"http/1.1")
    assert read.key_shares == ((0x0A0A, b"\0"), (X25519, bytes(range(0x60, 0x80))))
    assert read.versions == (0x0304, 0x0303)
    assert read.version == TLS13
    assert made_at(GOLDEN, SECRET) == NOW


@pytest.mark.parametrize("vector", TDLIB, ids=lambda vector: vector["domain"][:8])
def test_recorded_hellos_of_tdlib_are_read(vector):
    read = parse_client_hello(bytes.fromhex(vector["hex"]))
    assert read.server_name == vector["domain"]
    assert read.alpn == (b"h2", b"http/1.1")
    assert len(read.session_id) == 32
    assert len(read.extensions) == 18
    assert [len(key) for _, key in read.key_shares] == [1, 1216, 32]
    assert [group for group, _ in read.key_shares][1:] == [X25519MLKEM768, X25519]
    assert read.version == TLS13


def test_the_recorded_hello_of_517_bytes_is_read():
    read = parse_client_hello(TELETHON_HELLO)
    assert len(TELETHON_HELLO) == LEGACY_SIZE
    assert read.server_name == "www.example.com"
    assert [group for group, _ in read.key_shares][1:] == [X25519]


def test_neither_keys_nor_randoms_are_shown():
    read = parse_client_hello(GOLDEN)
    for hidden in (read.record, read.random, read.session_id, read.key_shares, read.extensions):
        assert repr(hidden) not in repr(read)


@pytest.mark.parametrize("version", [b"\x03\x01", b"\x03\x03"])
@pytest.mark.parametrize("size", [0, 1, 31, 32])
def test_session_ids_of_0_to_32_bytes(size, version):
    record = hello(session_id=bytes(range(size)))
    assert parse_client_hello(record[:1] + version + record[3:]).session_id == bytes(range(size))


def test_a_hello_may_end_before_the_extensions():
    read = parse_client_hello(hello(tail=b""))
    assert read.extensions == ()
    assert (read.server_name, read.alpn, read.key_shares, read.versions) == (None, (), (), None)


def test_a_hello_may_fill_a_record():
    room = 16384 - len(hello((0x15, b""))) + 5
    assert parse_client_hello(hello((0x15, bytes(room)))).extensions == ((0x15, bytes(room)),)
    with pytest.raises(RemoteProtocolError):
        parse_client_hello(hello((0x15, bytes(room + 1))))


@pytest.mark.parametrize(
    ("what", "record"),
    [
        ("nothing", b""),
        ("a record header", GOLDEN[:5]),
        ("no session id length", GOLDEN[:43]),
        ("another record type", b"\x17" + GOLDEN[1:]),
        ("another record version", b"\x16\x03\x02" + GOLDEN[3:]),
        ("SSL 2", b"\x16\x02\x01" + GOLDEN[3:]),
        ("another message", hello(kind=2)),
        ("a message longer than the record", GOLDEN[:8] + b"\xba" + GOLDEN[9:]),
        ("a message shorter than the record", GOLDEN[:8] + b"\xb8" + GOLDEN[9:]),
        ("a byte missing", GOLDEN[:-1]),
        ("a record that is too long", hello((0x15, bytes(16384)))),
        ("a session id of 33 bytes", hello(session_id=bytes(33))),
        ("a session id of 255 bytes", hello(session_id=bytes(255))),
        ("a session id beyond the end", GOLDEN[:43] + b"\xff" + GOLDEN[44:]),
        ("no cipher suites", hello(suites=b"")),
        ("half a cipher suite", hello(suites=b"\x13\x01\x13")),
        ("no compression", hello(compression=b"")),
        ("compression one byte beyond the end", hello(tail=b"")[:-2] + b"\x02\0"),
        ("compression beyond the end", hello(tail=b"")[:-2] + b"\x09\0"),
        ("no room for compression", b"\x16\x03\x01\x00\x2b\x01\x00\x00\x27\x03\x03" + bytes(33) + b"\0\x02\x13\x01"),
        ("half an extension list length", hello(tail=b"\0")),
        ("an extension list beyond the end", hello(tail=b"\0\x05\0\0\0\0")),
        ("bytes behind the extensions", hello(tail=b"\0\x04\0\0\0\0\0")),
        ("half an extension header", hello(tail=sized(b"\0\0\0"))),
        ("an extension beyond the list", hello(tail=sized(b"\0\x15\0\x02\0"))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_hello_is_refused(what, record):
    with pytest.raises(RemoteProtocolError):
        parse_client_hello(record)


@pytest.mark.parametrize("record", REAL_HELLOS[::4])
def test_every_truncation_is_refused(record):
    for size in range(len(record)):
        with pytest.raises(RemoteProtocolError):
            parse_client_hello(record[:size])


def read_or_refused(record):
    """Whatever it is, it is read or refused; and what is read can be asked for everything."""
    try:
        read = parse_client_hello(record)
    except RemoteProtocolError:
        return None
    assert read.record == record
    assert read.versions is None or isinstance(read.versions, tuple)
    assert read.version in {None, TLS12, TLS13}
    assert repr(read)
    return read


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data):
    read_or_refused(data)
    read_or_refused(hello(tail=data))
    read_or_refused(hello(tail=sized(data)))


@given(st.sampled_from(REAL_HELLOS), st.integers(0, 1999), st.binary(min_size=1, max_size=8), st.integers(0, 8))
def test_damaged_hellos_are_read_or_refused(record, at, inserted, removed):
    at %= len(record)
    damaged = record[:at] + inserted + record[at + removed :]
    read_or_refused(damaged)
    # The same behind lengths that fit, so that the damage is not caught at the door.
    read_or_refused(damaged[:3] + sized(b"\x01" + sized(damaged[9:], 3)))


@given(st.binary(max_size=60))
def test_the_content_of_an_extension_never_stops_the_hello(data):
    for kind in (SERVER_NAME, ALPN, KEY_SHARE, SUPPORTED_VERSIONS):
        read = read_or_refused(hello((kind, data)))
        assert read.extension(kind) == data
        assert read.extension(kind + 1) is None


# --- the server name -----------------------------------------------------------------------------------------------


def names(*entries, kind=0):
    return sized(b"".join(bytes((kind,)) + sized(entry) for entry in entries))


@pytest.mark.parametrize(
    "name",
    ["example.com", "EXAMPLE.Com", "a", "x-1.b", "1.2.3", "1.2.3.4.5", "1234.1.1.1", "a" * 63, "xn--e1afmkfd.xn--p1ai"],
)
def test_host_names_are_kept_as_sent(name):
    assert read_server_name(names(name.encode())) == name


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b".",
        b"example.com.",
        b".example.com",
        b"a..b",
        b"-a.b",
        b"a-.b",
        b"a_b.c",
        b"a b",
        b"example.com\n",
        b"example.com\0",
        b"\xd0\xbf\xd1\x80.\xd1\x80\xd1\x84",
        b"\xff\xfe",
        b"192.168.1.1",
        b"::1",
        b"[::1]",
        b"a" * 64,
        b".".join([b"a" * 49] * 5 + [b"abcd"]),
    ],
)
def test_what_is_no_host_name_is_no_server_name(name):
    assert read_server_name(names(name)) is None


def test_a_host_name_has_at_most_253_characters():
    longest = b".".join([b"a" * 49] * 5 + [b"abc"])
    assert len(longest) == 253
    assert read_server_name(names(longest)) == longest.decode()


def test_the_first_usable_name_counts():
    assert read_server_name(names(b"1.1.1.1", b"first.org", b"second.org")) == "first.org"
    assert read_server_name(names(b"other.kind", kind=1)) is None


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0", b"\0\0\0\0\0", b"\0\x03\0\0", b"\0\x04\0\0\x01"])
def test_a_list_without_a_name_has_none(data):
    assert read_server_name(data) is None


def test_a_name_ends_within_its_list_and_its_extension():
    data = names(b"example.com")
    assert read_server_name(data[:1] + b"\x0d" + data[2:]) is None
    assert read_server_name(data[:-1]) is None
    assert read_server_name(b"\xff\xff" + data[2:]) == "example.com"


def test_two_server_names_are_none():
    name = (SERVER_NAME, names(b"example.com"))
    assert parse_client_hello(hello(name)).server_name == "example.com"
    twice = parse_client_hello(hello(name, (ALPN, b"\0\x03\x02h2"), name))
    assert twice.server_name is twice.extension(SERVER_NAME) is None
    assert [kind for kind, _ in twice.extensions] == [SERVER_NAME, ALPN, SERVER_NAME]
    assert twice.alpn == (b"h2",)


# --- the other extensions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "protocols"),
    [
        (b"", ()),
        (b"\0", ()),
        (b"\0\0", ()),
        (b"\0\x03\x02h2", (b"h2",)),
        (b"\0\x01\0", (b"",)),
        (b"\0\x04\0\x02h2", (b"", b"h2")),
        (b"\0\x05\x02h2\x09h", (b"h2",)),
        (b"\0\x03\x02h2\x02h3", (b"h2",)),
        (b"\0\x04\x02h2\x01", (b"h2",)),
        (b"\0\xff\x02h2", (b"h2",)),
    ],
)
def test_protocols_offered(data, protocols):
    assert read_protocols(data) == protocols


def test_without_the_extension_no_protocol_is_offered():
    assert parse_client_hello(hello()).alpn == ()


@pytest.mark.parametrize(
    ("data", "shares"),
    [
        (b"", ()),
        (b"\0", ()),
        (b"\0\0", ()),
        (b"\0\x05\0\x1d\0\x01k", ((X25519, b"k"),)),
        (b"\0\x09\x0a\x0a\0\x00\0\x1d\0\x01k", ((0x0A0A, b""), (X25519, b"k"))),
        (b"\0\x04\x0a\x0a\0\0", ((0x0A0A, b""),)),
        (b"\0\x04\0\x1d\0\x01k", ()),
        (b"\0\x06\0\x1d\0\x01k", ()),
        (b"\0\x06\0\x1d\0\x01k\0", ()),
        (b"\0\x08\0\x1d\0\x01k\0\x1d\0", ()),
        (b"\0\x05\0\x1d\0\x02k", ()),
    ],
)
def test_key_shares_fill_their_list_or_are_nothing(data, shares):
    assert read_key_shares(data) == shares


def test_key_shares_that_come_twice_are_nothing():
    shares = (KEY_SHARE, sized(write_extension(X25519, bytes(32))))
    assert parse_client_hello(hello(shares)).key_shares == ((X25519, bytes(32)),)
    assert parse_client_hello(hello(shares, shares)).key_shares == ()


@pytest.mark.parametrize(
    ("data", "versions", "version"),
    [
        (b"\x02\x03\x04", (0x0304,), TLS13),
        (b"\x06\x0a\x0a\x03\x04\x03\x03", (0x0A0A, 0x0304, 0x0303), TLS13),
        (b"\x04\x03\x03\x03\x02", (0x0303, 0x0302), TLS12),
        (b"\x02\x03\x01", (0x0301,), TLS12),
        (b"\x02\x03\x00", (0x0300,), None),
        (b"\x02\x03\x04\xff", (0x0304,), TLS13),
        (b"", (), None),
        (b"\0", (), None),
        (b"\x03\x03\x04\x03", (), None),
        (b"\x04\x03\x04", (), None),
        (b"\x04\x03\x04\x03", (), None),
    ],
)
def test_versions_offered(data, versions, version):
    assert read_versions(data) == versions
    read = parse_client_hello(hello((SUPPORTED_VERSIONS, data)))
    assert (read.versions, read.version) == (versions, version)


@pytest.mark.parametrize(("legacy", "version"), [(0x0301, None), (0x0303, TLS12), (0x0304, TLS12)])
def test_without_the_extension_the_legacy_version_decides(legacy, version):
    record = hello()
    read = parse_client_hello(record[:9] + legacy.to_bytes(2, "big") + record[11:])
    assert (read.versions, read.version) == (None, version)


def test_x25519_keys_are_points_of_the_curve():
    public_key = x25519_source(lambda size: bytes(range(1, size + 1)))()
    assert public_key.hex() == "07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c"


# --- writing -------------------------------------------------------------------------------------------------------


@given(shapes, secrets, domains, st.integers(0, 2**32 - 1), st.integers(0, 2**32))
def test_what_is_written_is_read_and_recognised(shape, secret, domain, unix_time, seed):
    record = build(shape, secret=secret, domain=domain, unix_time=unix_time, seed=seed)
    assert made_at(record, secret) == unix_time
    assert made_at(record, bytes(byte ^ 1 for byte in secret)) is None
    read = parse_client_hello(record)
    assert read.server_name == domain
    assert read.alpn == (b"h2", b"http/1.1")
    assert len(read.session_id) == 32
    assert read.version == TLS13


@pytest.mark.parametrize(
    ("unix_time", "written"), [(0, 0), (2**31, 2**31), (2**32 - 1, 2**32 - 1), (2**32 + 5, 5), (-1, 2**32 - 1)]
)
def test_the_time_is_written_with_32_bits(unix_time, written):
    assert made_at(build("minimal", unix_time=unix_time), SECRET) == written


def outline(record):
    """What stays the same in hellos of one kind: everything but random bytes, GREASE, order, domain and ECH size."""

    def plain(value):
        return "grease" if value in GREASE else value

    read = parse_client_hello(record)
    groups = read.extension(SUPPORTED_GROUPS)
    sizes = {plain(kind): len(data) for kind, data in read.extensions[1:-1] if kind not in {0xFE0D, SERVER_NAME, 0x15}}
    contents = {
        kind: data
        for kind, data in read.extensions
        if kind not in GREASE | {0xFE0D, SERVER_NAME, KEY_SHARE, SUPPORTED_VERSIONS, SUPPORTED_GROUPS, 0x15}
    }
    return {
        "head": (record[:3], record[5:6], read.legacy_version, len(read.session_id)),
        "suites": [plain(suite) for suite in read.cipher_suites],
        "types": sorted(str(plain(kind)) for kind, _ in read.extensions),
        "sizes": sizes,
        "contents": contents,
        "groups": [plain(int.from_bytes(groups[at : at + 2], "big")) for at in range(2, len(groups), 2)],
        "shares": [(plain(group), len(key)) for group, key in read.key_shares],
        "versions": [plain(version) for version in read.versions],
        "ends": [(plain(kind), data) for kind, data in (read.extensions[0], read.extensions[-1]) if kind != 0x15],
    }


@pytest.mark.parametrize("recorded", TDLIB_HELLOS)
def test_the_tdlib_shape_is_that_of_recorded_hellos(recorded):
    assert outline(build("tdlib", seed=7)) == outline(recorded)


def test_the_legacy_shape_is_that_of_a_recorded_hello():
    ours, recorded = build("legacy"), TELETHON_HELLO
    assert outline(ours) == outline(recorded)
    order = [
        [kind for kind, _ in parse_client_hello(each).extensions if kind not in GREASE] for each in (ours, recorded)
    ]
    assert order[0] == order[1]
    assert parse_client_hello(ours).extension(0x15) == parse_client_hello(recorded).extension(0x15)


def test_the_minimal_shape_is_that_of_the_golden_hello():
    ours = build("minimal", domain="example.com")
    assert len(ours) == len(GOLDEN)
    assert outline(ours) == outline(GOLDEN)


@pytest.mark.parametrize("domain", ["a", "www.example.com", "a" * 60 + "." + "b" * 60 + "." + "c" * 60])
def test_the_sizes_are_those_of_the_clients(domain):
    records = [build("tdlib", domain=domain, seed=seed) for seed in range(24)]
    assert {len(record) - 1572 - len(domain) for record in records} == set(TDLIB_ECH_SIZES) == {144, 176, 208, 240}
    assert len(build("legacy", domain=domain)) == 517


def test_the_tdlib_shape_differs_each_time():
    reads = [parse_client_hello(build("tdlib", seed=seed)) for seed in range(40)]
    orders = [[kind for kind, _ in read.extensions] for read in reads]
    assert len({tuple(order) for order in orders}) == 40
    assert all(order[0] in GREASE and order[-1] in GREASE and order[0] != order[-1] for order in orders)
    assert {order.index(SERVER_NAME) for order in orders} > {1, 16}
    for read in reads:
        group = read.key_shares[0][0]
        assert group in GREASE
        assert read.extension(SUPPORTED_GROUPS)[2:4] == group.to_bytes(2, "big")


def test_keys_of_the_tdlib_shape_pass_for_real_ones():
    drawn = []
    rng = random.Random(3)

    def entropy(size):
        drawn.append(rng.randbytes(size))
        return drawn[-1]

    record = build_client_hello(secret=SECRET, domain="a.b", unix_time=NOW, entropy=entropy)
    (_, hybrid), (_, alone) = parse_client_hello(record).key_shares[1:]
    points = {X25519PrivateKey.from_private_bytes(d).public_key().public_bytes_raw() for d in drawn if len(d) == 32}
    assert {alone, hybrid[-32:]} < points
    assert alone != hybrid[-32:]
    triples = [int.from_bytes(hybrid[at : at + 3], "little") for at in range(0, 1152, 3)]
    coefficients = [number for triple in triples for number in (triple & 0xFFF, triple >> 12)]
    assert max(coefficients) < 3329
    assert len(set(coefficients)) > 500


def test_the_shape_can_be_drawn_apart_from_the_keys():
    ones = [build("tdlib", seed=seed, rng=random.Random(5)) for seed in (1, 2)]
    orders = [[kind for kind, _ in parse_client_hello(one).extensions] for one in ones]
    assert orders[0] == orders[1]
    assert ones[0] != ones[1]
    assert build("tdlib", rng=random.Random(5)) == ones[0]


@pytest.mark.parametrize("domain", ["", "a" * (MAX_DOMAIN + 1), "пример.рф"])
def test_domains_that_no_client_takes_are_not_written(domain):
    with pytest.raises(LocalProtocolError):
        build(domain=domain)


def test_unknown_shapes_and_short_secrets_are_not_written():
    with pytest.raises(LocalProtocolError):
        build("netscape")
    with pytest.raises(LocalProtocolError):
        build(secret=b"short")


def test_an_unsigned_hello_has_no_random():
    record = unsigned_hello("legacy", domain=b"example.com", entropy=random.Random(1).randbytes)
    assert record == zeroed(record)


# ---------------------------------------------------------------- the search over keys


def keys_of(count):
    return [HelloKey(bytes([number]) * 16) for number in range(count)]


@pytest.mark.parametrize("place", [0, 1, 6])
def test_the_search_finds_the_place_and_the_mac(place):
    keys = keys_of(7)
    mac = keys[place].mac(b"message")
    assert first_match(keys, b"message", mac[:SIGNED_SIZE]) == (place, mac)


def test_the_search_goes_on_behind_a_match():
    keys = [*keys_of(3), *keys_of(3)]
    mac = keys[1].mac(b"message")
    assert first_match(keys, b"message", mac[:SIGNED_SIZE], 2) == (4, mac)
    assert first_match(keys, b"message", mac[:SIGNED_SIZE], 5) is None


def test_the_search_compares_all_that_is_signed():
    keys = keys_of(3)
    mac = keys[2].mac(b"message")
    for index in range(SIGNED_SIZE):
        wrong = bytearray(mac[:SIGNED_SIZE])
        wrong[index] ^= 1
        assert first_match(keys, b"message", bytes(wrong)) is None
    assert first_match([], b"message", mac[:SIGNED_SIZE]) is None
