from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.config.values import (
    Cidr,
    DnsOverride,
    Domain,
    HexKey,
    Host,
    HostPort,
    Ip,
    LogLevel,
    Mss,
    Port,
    RstOnClose,
    Scopes,
    UnknownSniAction,
    UpstreamType,
)
from telemt_trio.errors import ConfigError

TEXT_READERS = [
    Cidr,
    DnsOverride.parse,
    Domain,
    HexKey.parse,
    Host,
    HostPort.parse,
    Ip,
    LogLevel,
    Mss.parse,
    Port.parse,
    RstOnClose,
    Scopes.parse,
    UnknownSniAction,
    UpstreamType,
]

labels = st.from_regex(r"[a-z][a-z0-9]{0,10}", fullmatch=True)
names = st.lists(labels, min_size=2, max_size=4).map(".".join).filter(lambda name: len(name) >= 4)
addresses = st.ip_addresses().map(str)
ports = st.integers(1, 65535)


@pytest.mark.parametrize("read", TEXT_READERS)
@given(text=st.one_of(st.text(), st.text("0123456789abcdefx.:[]/-%, é\u0130\u00df\u200d", max_size=300)))
def test_any_text_is_a_value_or_a_config_error(read, text):
    problems = ("none",)
    try:
        read(text)
    except ConfigError as error:
        problems = error.problems
    assert problems


@pytest.mark.parametrize("read", [Cidr, DnsOverride.parse, Domain, Host, HostPort.parse, Ip, Mss.parse, Scopes.parse])
@given(text=st.one_of(st.text("0123456789abf.:[]/-, ", max_size=30), names, addresses))
def test_a_value_written_out_reads_back_equal(read, text):
    try:
        value = read(text)
    except ConfigError:
        return
    assert read(str(value)) == value


@pytest.mark.parametrize("number", [-1, 0, 65536, 10**9])
def test_a_port_outside_its_range_is_refused(number):
    with pytest.raises(ConfigError, match="must be a port, 1 to 65535"):
        Port(number)


@given(ports)
def test_a_port_is_its_number(number):
    assert Port(number) == number
    assert Port.parse(str(number)) == number


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", 0),
        ("extreme-low", 88),
        ("TSPU", 92),
        ("2in8", 256),
        ("88", 88),
        ("4096", 4096),
        (" 1400", None),
        ("87", None),
    ],
)
def test_segment_sizes_have_telemts_names(text, size):
    if size is None:
        with pytest.raises(ConfigError, match="must be 88 to 4096, extreme-low, tspu, 2in8 or empty"):
            Mss.parse(text)
    else:
        assert Mss.parse(text) == size


@given(st.integers())
def test_a_segment_size_is_off_or_88_to_4096(size):
    if size == 0 or 88 <= size <= 4096:
        assert Mss.parse(str(Mss(size))) == size
    else:
        with pytest.raises(ConfigError):
            Mss(size)


@given(addresses)
def test_an_address_is_canonical_and_knows_its_family(text):
    address = Ip(f" {text.upper()} ")
    assert address == str(ipaddress.ip_address(text))
    assert address.version == ipaddress.ip_address(text).version
    assert address.is_unspecified == ipaddress.ip_address(text).is_unspecified


@pytest.mark.parametrize("text", ["", "1.2.3", "256.1.1.1", "fe80::1%eth0", "example.com", "[::1]"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ConfigError, match="must be an IPv4 or IPv6 address"):
        Ip(text)


@pytest.mark.parametrize(
    ("text", "network"),
    [("10.1.2.3/8", "10.0.0.0/8"), ("::1", "::1/128"), ("0.0.0.0/0", "0.0.0.0/0"), ("10.0.0.0/33", None), ("x", None)],
)
def test_networks(text, network):
    if network is None:
        with pytest.raises(ConfigError, match="must be a network"):
            Cidr(text)
    else:
        assert Cidr(text) == network


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Example.COM", "example.com"),
        (" example.com ", "example.com"),
        ("Пример.рф", "xn--e1afmkfd.xn--p1ai"),
        ("straße.example", "xn--strae-oqa.example"),
        ("localhost", "localhost"),
        ("socks_proxy", "socks_proxy"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_hosts_are_normalised(text, host):
    assert Host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ".",
        "example.com.",
        ".example.com",
        "a..b",
        "-a.com",
        "a-.com",
        "exa mple.com",
        "a/b",
        "a\\b",
        "https://example.com",
        "a" * 64 + ".com",
        ".".join(["a" * 60] * 5),
        "256.1.1.1",
        "[::1",
        "é" * 300,
        "xn--\u0130\u0307",
    ],
)
def test_what_is_no_host_is_refused(text):
    with pytest.raises(ConfigError, match="must be"):
        Host(text)


@given(names)
def test_a_domain_is_a_host_in_lower_case(name):
    assert Domain(name.upper()) == name


@pytest.mark.parametrize("text", ["192.0.2.1", "::1", "[::1]", "under_score.com"])
def test_a_domain_is_a_name(text):
    with pytest.raises(ConfigError, match=r"must be a domain name such as example\.com"):
        Domain(text)


def test_a_domain_fits_what_clients_take():
    longest = f"{'a' * 60}.{'b' * 60}.{'c' * 60}"
    assert len(longest) == 182
    assert Domain(longest) == longest
    for text in ("a.b", f"x{longest[:-60]}{'c' * 60}"):
        with pytest.raises(ConfigError, match="must have 4 to 182 characters"):
            Domain(text)


@given(st.binary(min_size=16, max_size=16).filter(any))
def test_a_key_is_32_hex_digits_and_shows_none(raw):
    key = HexKey.parse(raw.hex().upper())
    assert key == HexKey(raw)
    assert key.key == raw
    assert key.hex() == raw.hex()
    assert repr(key) == str(key) == "HexKey()"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "32 hex"),
        ("0" * 31, "32 hex"),
        ("g" * 32, "32 hex"),
        ("dd" + "1" * 32, "leave out the dd or ee"),
        ("ee" + "1" * 32 + "6578616d706c652e636f6d", "leave out the dd or ee"),
        ("0" * 32, "must not be all zeros"),
    ],
)
def test_a_bad_key_is_refused_without_being_shown(text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        HexKey.parse(text)
    assert not text or text not in str(caught.value)


def test_a_key_has_16_bytes():
    with pytest.raises(ConfigError, match="must be 16 bytes"):
        HexKey(b"short")


@given(host=st.one_of(names, addresses), port=ports)
def test_host_and_port_round_trip(host, port):
    place = HostPort(host, port)
    assert HostPort.parse(str(place)) == place
    assert (place.host, place.port) == (host, port)


@pytest.mark.parametrize("text", ["", "host", "host:", "host:x", "host:0", "host:65536", ":1", "::1:443", "[::1]443"])
def test_a_bad_host_and_port_is_refused(text):
    with pytest.raises(ConfigError, match="must"):
        HostPort.parse(text)


@given(host=names, port=ports, ip=addresses)
def test_a_dns_override_round_trips(host, port, ip):
    override = DnsOverride(host, port, ip)
    assert DnsOverride.parse(str(override)) == override


@pytest.mark.parametrize(
    "text",
    ["", "host", "host:443", "host:443:", "host:x:1.2.3.4", "host:443:2001:db8::1", "host:443:[1.2.3.4]", ":1:1.2.3.4"],
)
def test_a_bad_dns_override_is_refused(text):
    with pytest.raises(ConfigError, match="must"):
        DnsOverride.parse(text)


def test_scopes_are_names_between_commas():
    assert Scopes.parse(" a, ,b,") == ("a", "b")
    assert str(Scopes.parse("a, b")) == "a,b"


@pytest.mark.parametrize("choice", [UnknownSniAction, RstOnClose, LogLevel, UpstreamType])
def test_a_choice_lists_what_it_takes(choice):
    with pytest.raises(ConfigError) as caught:
        choice("hunter2")
    assert all(one in str(caught.value) for one in choice)
    assert "hunter2" not in str(caught.value)


def test_shadowsocks_is_refused_with_a_way_out():
    with pytest.raises(ConfigError, match=r"shadowsocks is not part of this release: .*socks5"):
        UpstreamType("shadowsocks")
