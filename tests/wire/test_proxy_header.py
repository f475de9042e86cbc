"""The header of a load balancer: both versions, read and written, cut anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.errors import LocalProtocolError, RemoteProtocolError
from telemt_trio.wire.need_data import NEED_DATA
from telemt_trio.wire.proxy_header import ProxyHeader, ProxyHeaderReader, proxy_header_v1, proxy_header_v2

CLIENT, SERVER = ("192.168.1.1", 12345), ("10.0.0.1", 443)
CLIENT_6, SERVER_6 = ("2001:db8::1", 12345), ("2001:db8::2", 443)
NOBODY = ProxyHeader(None, None)
SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")

ports = st.integers(0, 65535)
pairs = st.tuples(st.tuples(st.ip_addresses(v=4).map(str), ports), st.tuples(st.ip_addresses(v=4).map(str), ports))
# Plain IPv6: an IPv4 address inside one is read as IPv4.
hosts_6 = st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None).map(str)
pairs_6 = st.tuples(st.tuples(hosts_6, ports), st.tuples(hosts_6, ports))
writers = st.sampled_from([proxy_header_v1, proxy_header_v2])


def read(wire):
    reader = ProxyHeaderReader()
    reader.receive_data(wire)
    return reader.next_event()


def block(command_and_version, family, rest, length=None):
    length = len(rest) if length is None else length
    return SIGNATURE + bytes((command_and_version, family)) + length.to_bytes(2, "big") + rest


def outcome(parts):
    """What a reader says in the end about bytes that arrive in these parts, an error included."""
    reader = ProxyHeaderReader()
    try:
        for part in parts:
            reader.receive_data(part)
            reader.next_event()
    except RemoteProtocolError as error:
        return str(error)
    return reader.next_event(), reader.trailing


# Golden vectors


def test_version_1_matches_the_golden_vector():
    wire = b"PROXY TCP4 192.168.1.1 10.0.0.1 12345 443\r\n"

    assert proxy_header_v1(CLIENT, SERVER) == wire
    assert read(wire) == ProxyHeader(CLIENT, SERVER)


def test_version_2_matches_the_golden_vector():
    wire = bytes.fromhex("0d0a0d0a000d0a515549540a2111000cc0a801010a000001303901bb")

    assert proxy_header_v2(CLIENT, SERVER) == wire
    assert read(wire) == ProxyHeader(CLIENT, SERVER)


def test_ipv6_is_written_in_both_versions():
    assert proxy_header_v1(CLIENT_6, SERVER_6) == b"PROXY TCP6 2001:db8::1 2001:db8::2 12345 443\r\n"
    assert proxy_header_v2(CLIENT_6, SERVER_6)[:16] == SIGNATURE + bytes.fromhex("21210024")
    assert len(proxy_header_v2(CLIENT_6, SERVER_6)) == 16 + 36


# What is written is read, wherever it is cut


@given(writers, pairs | pairs_6, st.binary(max_size=40))
def test_a_header_is_read_back_and_what_follows_is_kept(write, ends, following):
    reader = ProxyHeaderReader()
    wire = write(*ends)
    for at in range(len(wire)):
        assert reader.next_event() is NEED_DATA
        assert reader.trailing == b""
        reader.receive_data(wire[at : at + 1])
    header = reader.next_event()

    assert header == ProxyHeader(*ends)
    reader.receive_data(following)
    assert reader.trailing == following
    assert reader.next_event() is header


@given(writers, pairs | pairs_6, st.binary(max_size=40), st.integers(0))
def test_the_first_segment_may_reach_into_the_connection(write, ends, following, place):
    wire = write(*ends) + following
    place %= len(wire) + 1

    assert outcome([wire[:place], wire[place:]]) == (ProxyHeader(*ends), following)


beginnings = st.sampled_from(
    [
        b"",
        b"PROXY ",
        b"PROXY TCP4 1.2.3.4 ",
        b"PROXY TCP6 ::1 ::2 1 2",
        b"PROXY UNKNOWN",
        SIGNATURE,
        SIGNATURE + b"\x21\x11\x00\x0c",
        SIGNATURE + b"\x20\x00\x00\x03",
        SIGNATURE + b"\x21\x21\x00\x25",
    ]
)


@given(beginnings, st.binary(max_size=60), st.integers(0))
def test_any_bytes_give_the_same_however_they_are_cut(beginning, rest, place):
    data = beginning + rest
    whole = outcome([data])
    place %= len(data) + 1

    assert outcome([data[:place], data[place:]]) == whole
    assert outcome([data[at : at + 1] for at in range(len(data))]) == whole


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_buffer_is_read(kind):
    assert read(kind(proxy_header_v2(CLIENT, SERVER))) == ProxyHeader(CLIENT, SERVER)


# Version 1


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY TCP4 192.168.1.1 10.0.0.1 12345 443 and more\r\n",
        b"PROXY TCP4 192.168.1.1 10.0.0.1 12345 443 \xff\xfe\r\n",
        b"PROXY  TCP4\t192.168.1.1 10.0.0.1  12345 443 \r\n",
        b"PROXY TCP6 192.168.1.1 10.0.0.1 12345 443\r\n",
        b"PROXY TCP6 ::ffff:192.168.1.1 ::ffff:10.0.0.1 12345 443\r\n",
        b"PROXY TCP4 192.168.1.1 10.0.0.1 12345 443\r\n\r\n",
    ],
)
def test_version_1_is_read_generously(line):
    assert read(line) == ProxyHeader(CLIENT, SERVER)


def test_version_1_may_mix_families():
    assert read(b"PROXY TCP4 192.168.1.1 2001:db8::2 12345 443\r\n") == ProxyHeader(CLIENT, SERVER_6)


@pytest.mark.parametrize("line", [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN 1.2.3.4 nonsense \xff\r\n"])
def test_version_1_may_speak_for_nobody(line):
    assert read(line) == NOBODY


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP4 192.168.1.1 10.0.0.1 12345\r\n",
        b"PROXY TCP5 192.168.1.1 10.0.0.1 12345 443\r\n",
        b"PROXY tcp4 192.168.1.1 10.0.0.1 12345 443\r\n",
        b"PROXY UNIX /a /b 1 2\r\n",
        b"PROXY TCP4 192.168.1.256 10.0.0.1 12345 443\r\n",
        b"PROXY TCP4 192.168.1.1 localhost 12345 443\r\n",
        b"PROXY TCP4 192.168.1.1/8 10.0.0.1 12345 443\r\n",
        b"PROXY TCP6 :::: ::1 12345 443\r\n",
        b"PROXY TCP4 \xd9\xa1.2.3.4 10.0.0.1 12345 443\r\n",
        b"PROXY TCP4 192.168.1.1 10.0.0.1 65536 443\r\n",
        b"PROXY TCP4 192.168.1.1 10.0.0.1 -1 443\r\n",
        b"PROXY TCP4 192.168.1.1 10.0.0.1 +1 443\r\n",
        b"PROXY TCP4 192.168.1.1 10.0.0.1 1_0 443\r\n",
        b"PROXY TCP4 192.168.1.1 10.0.0.1 1 000443\r\n",
        b"PROXY TCP4 192.168.1.1 10.0.0.1 1 x\r\n",
        b"PROXY: TCP4 192.168.1.1 10.0.0.1 12345 443\r\n",
        b"POST / HTTP/1.1\r\n",
    ],
)
def test_version_1_refuses_what_names_no_addresses(line):
    with pytest.raises(RemoteProtocolError):
        read(line)


def test_a_line_of_256_bytes_is_the_longest():
    start = b"PROXY UNKNOWN "

    assert read(start.ljust(254, b"x") + b"\r\n") == NOBODY
    assert read(start.ljust(255, b"x")) is NEED_DATA
    with pytest.raises(RemoteProtocolError):
        read(start.ljust(256, b"x"))
    with pytest.raises(RemoteProtocolError):
        read(start.ljust(255, b"x") + b"\r\n")


def test_only_both_characters_end_a_line():
    assert read(b"PROXY UNKNOWN\r") is NEED_DATA
    assert read(b"PROXY UNKNOWN\n") is NEED_DATA


# Version 2


def test_version_2_ignores_what_follows_the_addresses():
    addresses = proxy_header_v2(CLIENT, SERVER)[16:]

    assert read(block(0x21, 0x11, addresses + b"\x04\x00\x01\xff")) == ProxyHeader(CLIENT, SERVER)
    assert read(block(0x21, 0x12, addresses)) == ProxyHeader(CLIENT, SERVER)  # a datagram


def test_version_2_unwraps_ipv4_inside_ipv6():
    mapped = bytes(10) + b"\xff\xff"
    rest = mapped + bytes((192, 168, 1, 1)) + mapped + bytes((10, 0, 0, 1)) + bytes.fromhex("303901bb")

    assert read(block(0x21, 0x21, rest)) == ProxyHeader(CLIENT, SERVER)


@pytest.mark.parametrize("kind", [(0x20, 0x00), (0x20, 0x11), (0x20, 0x31), (0x21, 0x00), (0x21, 0x01)])
def test_version_2_may_speak_for_nobody(kind):
    assert read(block(*kind, b"")) == NOBODY
    assert read(block(*kind, b"abc")) == NOBODY
    assert read(block(*kind, b"ab", length=3)) is NEED_DATA


@pytest.mark.parametrize(
    "wire",
    [
        block(0x11, 0x11, bytes(12)),  # version 1
        block(0x31, 0x11, bytes(12)),  # version 3
        block(0x22, 0x11, bytes(12)),  # an unknown command
        block(0x2F, 0x11, bytes(12)),
        block(0x21, 0x31, bytes(216)),  # unix addresses
        block(0x21, 0x41, bytes(12)),
        block(0x21, 0x11, bytes(11)),
        block(0x21, 0x11, b""),
        block(0x21, 0x21, bytes(35)),
        SIGNATURE[:11] + b"\x0b",
        b"\x16\x03\x01\x02\x00",
        b"\r\n\r\n\r",
        b"x",
    ],
    ids=lambda wire: wire[:18].hex(),
)
def test_version_2_refuses_what_it_cannot_mean(wire):
    with pytest.raises(RemoteProtocolError):
        read(wire)


def test_a_block_of_216_bytes_is_the_longest():
    assert read(block(0x21, 0x11, bytes(216))) == ProxyHeader(("0.0.0.0", 0), ("0.0.0.0", 0))
    with pytest.raises(RemoteProtocolError):
        read(block(0x21, 0x11, b"", length=217))


def test_an_error_is_final():
    reader = ProxyHeaderReader()
    for _ in range(2):
        reader.receive_data(b"x")
        with pytest.raises(RemoteProtocolError):
            reader.next_event()
    assert reader.trailing == b""


# What is written


@pytest.mark.parametrize(
    ("source", "destination"),
    [(CLIENT, SERVER_6), (CLIENT_6, SERVER), (None, SERVER), (CLIENT, None), (None, None)],
)
def test_what_a_header_cannot_say_is_left_unsaid(source, destination):
    assert proxy_header_v1(source, destination) == b"PROXY UNKNOWN\r\n"
    assert proxy_header_v2(source, destination) == SIGNATURE + bytes.fromhex("20000000")
    assert read(proxy_header_v1(source, destination)) == NOBODY
    assert read(proxy_header_v2(source, destination)) == NOBODY


def test_an_ipv4_client_of_a_dual_stack_socket_is_written_as_ipv4():
    assert proxy_header_v1(("::ffff:192.168.1.1", 12345), SERVER) == proxy_header_v1(CLIENT, SERVER)
    assert proxy_header_v2(CLIENT, ("::ffff:10.0.0.1", 443)) == proxy_header_v2(CLIENT, SERVER)


def test_the_scope_of_a_link_local_address_stays_at_home():
    assert proxy_header_v1(("fe80::1%eth0", 1), ("fe80::2%2", 2)) == b"PROXY TCP6 fe80::1 fe80::2 1 2\r\n"


@pytest.mark.parametrize("write", [proxy_header_v1, proxy_header_v2])
@pytest.mark.parametrize("host", ["", "example.com", "1.2.3", "1.2.3.4%eth0", "/run/socket"])
def test_a_name_is_no_address(write, host):
    with pytest.raises(LocalProtocolError):
        write((host, 1), SERVER)


# Privacy


def test_no_address_shows_in_a_repr_or_an_error():
    assert repr(ProxyHeader(CLIENT, SERVER)) == "ProxyHeader()"
    with pytest.raises(RemoteProtocolError) as caught:
        read(b"PROXY TCP4 192.168.1.1 10.0.0.999 12345 443\r\n")
    assert "10.0" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
