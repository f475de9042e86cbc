"""Secrets in every form clients read, and the links that carry them."""

import base64

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from telemt_trio.errors import ConfigError
from telemt_trio.wire.secrets import (
    Mode,
    ProxySecret,
    generate_key,
    parse_key,
    parse_link,
    parse_secret,
    proxy_links,
)

KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
CLASSIC = ProxySecret(KEY, Mode.CLASSIC)
PADDED = ProxySecret(KEY, Mode.SECURE)
TLS = ProxySecret(KEY, Mode.TLS, "example.com")
TLS_HEX = "ee00112233445566778899aabbccddeeff6578616d706c652e636f6d"

keys = st.binary(min_size=16, max_size=16)
domains = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=182)
secrets = (
    st.builds(ProxySecret, keys, st.just(Mode.CLASSIC))
    | st.builds(ProxySecret, keys, st.just(Mode.SECURE))
    | st.builds(ProxySecret, keys, st.just(Mode.TLS), domains)
)


def is_hex(text):
    try:
        bytes.fromhex(text)
    except ValueError:
        return False
    return True


# Forms


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("00112233445566778899aabbccddeeff", CLASSIC),
        ("dd00112233445566778899aabbccddeeff", PADDED),
        (TLS_HEX, TLS),
    ],
)
def test_the_three_forms_in_hex(text, secret):
    assert parse_secret(text) == parse_secret(text.upper()) == secret
    assert secret.hex() == text


@given(secrets)
def test_hex_is_read_back_in_any_case(secret):
    assert parse_secret(secret.hex()) == secret
    assert parse_secret(secret.hex().upper()) == secret
    assert secret.hex() == secret.hex().lower()


@given(secrets)
def test_base64_is_read_in_both_alphabets_with_padding_and_without(secret):
    raw = bytes.fromhex(secret.hex())
    for encode in (base64.urlsafe_b64encode, base64.b64encode):
        padded = encode(raw).decode()
        assume(not is_hex(padded.rstrip("=")))
        assert parse_secret(padded) == parse_secret(padded.rstrip("=")) == secret


def test_a_text_that_is_hex_is_never_taken_for_base64():
    # 22 characters of base64 hold 16 bytes, but these are eleven bytes of hex first.
    with pytest.raises(ConfigError, match="length or prefix"):
        parse_secret("aa" * 11)


@pytest.mark.parametrize("first", ["dd", "ee"])
def test_sixteen_bytes_are_a_classic_key_whatever_they_start_with(first):
    assert parse_secret(first + "00" * 15) == ProxySecret(bytes.fromhex(first) + bytes(15), Mode.CLASSIC)


def test_of_seventeen_bytes_only_dd_is_known():
    for first in range(256):
        text = bytes((first, *KEY)).hex()
        if first == 0xDD:
            assert parse_secret(text) == PADDED
        else:
            with pytest.raises(ConfigError):
                parse_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00" * 15,
        "dd" + "00" * 17,
        "00" * 18,
        "ee" + "00" * 16,
        "ee" + "00" * 16 + "61" * 183,
        "ee" + "00" * 16 + "20",
        "ee" + "00" * 16 + "c3a4",
        "ee" + "00" * 16 + "0a61",
        "0011 2233 4455 6677 8899 aabb ccdd eeff",
        "00112233445566778899aabbccddeeff\n",
        "00112233445566778899aabbccddeef",
        "0" * 33,
        "ABEiM0RVZneImaq7zN3u/w=",  # half the padding
        "ABEiM0RVZneImaq7zN3u/w===",
        "ABEiM0RVZneImaq7zN3u/x",  # bits behind the last byte
        "ABEiM0RVZneImaq7zN3u/",  # a length base64 has not
        "ABEiM0RV=ZneImaq7zN3u/w",
        "ABEiM0RVZneImaq7zN3u,w",
        "\u0660\u0660112233445566778899aabbccddeeff",
        "=",
        "==",
    ],
)
def test_everything_else_is_refused_in_words_that_quote_nothing(text):
    with pytest.raises(ConfigError) as caught:
        parse_secret(text)

    (problem,) = caught.value.problems
    assert problem
    assert "\n" not in problem
    assert len(text) < 3 or text not in problem


@pytest.mark.parametrize("text", ["", "dd" + "00" * 14, "ee" + "00" * 16, "dd" + "00" * 17, "00" * 17])
def test_a_wrong_length_or_prefix_is_named(text):
    with pytest.raises(ConfigError, match="wrong length or prefix"):
        parse_secret(text)


@pytest.mark.parametrize("size", [1, 182])
def test_a_domain_has_1_to_182_bytes(size):
    assert parse_secret("ee" + "00" * 16 + "61" * size).domain == "a" * size


@given(st.text() | st.text("0123456789abcdefABCDEF") | st.text("ABCwxyz019+/-_="))
def test_any_text_is_a_secret_or_a_configuration_error(text):
    try:
        secret = parse_secret(text)
    except ConfigError:
        return
    assert parse_secret(secret.hex()) == secret


@given(st.binary(max_size=220))
def test_any_bytes_are_judged_alike_in_hex_and_base64(raw):
    text = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    assume(not is_hex(text))

    def judged(form):
        try:
            return parse_secret(form)
        except ConfigError as error:
            return error.problems

    assert judged(text) == judged(raw.hex())


@pytest.mark.parametrize(
    "parts",
    [
        (KEY[1:], Mode.CLASSIC, None),
        (KEY + b"x", Mode.SECURE, None),
        (KEY, Mode.TLS, None),
        (KEY, Mode.TLS, ""),
        (KEY, Mode.TLS, "a" * 183),
        (KEY, Mode.TLS, "ä.example"),
        (KEY, Mode.TLS, "two words"),
        (KEY, Mode.CLASSIC, "example.com"),
        (KEY, Mode.SECURE, "example.com"),
    ],
)
def test_parts_that_make_no_secret_are_refused(parts):
    with pytest.raises(ConfigError):
        ProxySecret(*parts)


def test_a_key_never_shows_in_a_repr():
    assert repr(TLS) == "ProxySecret(mode=<Mode.TLS: 'tls'>, domain='example.com')"
    assert repr(proxy_links("192.0.2.1", 443, TLS)) == "Links()"


# Keys of the configuration


@given(keys)
def test_a_key_is_its_32_hex_digits(key):
    assert parse_key(key.hex()) == parse_key(key.hex().upper()) == key


@pytest.mark.parametrize(
    "text", ["", "00" * 15, "00" * 17, "0" * 31 + "g", "0" * 31 + " ", "\u0660" * 32, " " + "0" * 32]
)
def test_a_key_is_nothing_else(text):
    with pytest.raises(ConfigError, match="32 hex") as caught:
        parse_key(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("prefix", ["dd", "ee", "DD", "Ee"])
def test_a_prefix_in_front_of_a_key_is_named(prefix):
    with pytest.raises(ConfigError, match="leave out the dd or ee"):
        parse_key(prefix + KEY.hex())


def test_a_new_key_is_drawn():
    assert generate_key(lambda size: b"k" * size) == b"k" * 16


# Links


def test_links_in_both_forms():
    links = proxy_links("192.0.2.1", 443, TLS)

    assert links.tg == f"tg://proxy?server=192.0.2.1&port=443&secret={TLS_HEX}"
    assert links.https == f"https://t.me/proxy?server=192.0.2.1&port=443&secret={TLS_HEX}"


@pytest.mark.parametrize("host", ["2001:db8::1", "[2001:db8::1]"])
def test_ipv6_stands_without_brackets(host):
    link = proxy_links(host, 8443, CLASSIC).tg

    assert link == "tg://proxy?server=2001:db8::1&port=8443&secret=00112233445566778899aabbccddeeff"
    assert parse_link(link.replace("2001:db8::1", host)) == ("2001:db8::1", 8443, CLASSIC)


hosts = st.ip_addresses().map(str) | st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z0-9-]{1,20}){1,3}", fullmatch=True)


@given(hosts, st.integers(1, 65535), secrets)
def test_a_link_is_read_back(host, port, secret):
    links = proxy_links(host, port, secret)

    assert parse_link(links.tg) == parse_link(links.https) == (host, port, secret)


@pytest.mark.parametrize(
    "url",
    [
        "TG://Proxy?Server=192.0.2.1&PORT=443&secret=00112233445566778899aabbccddeeff",
        "http://t.me/proxy/?port=443&secret=00112233445566778899aabbccddeeff&server=192.0.2.1#fragment",
        "tg://proxy?server=192%2E0.2.1&port=443&secret=ABEiM0RVZneImaq7zN3u%2Fw%3D%3D&extra&more=1",
        "tg://proxy?server=192.0.2.1&port=443&secret=ABEiM0RVZneImaq7zN3u/w==&secret=second",
    ],
)
def test_links_are_read_generously(url):
    assert parse_link(url) == ("192.0.2.1", 443, CLASSIC)


def test_a_plus_sign_in_a_link_is_a_letter_of_base64():
    raw = b"\xfb\xef\xbe" * 5 + b"\xf8"
    text = base64.b64encode(raw).decode()

    assert "+" in text
    assert parse_link(f"tg://proxy?server=h&port=1&secret={text}")[2].key == raw


@pytest.mark.parametrize(
    "url",
    [
        "",
        "tg://socks?server=h&port=1&secret=00112233445566778899aabbccddeeff",
        "https://example.com/proxy?server=h&port=1&secret=00112233445566778899aabbccddeeff",
        "https://t.me.example/proxy?server=h&port=1&secret=00112233445566778899aabbccddeeff",
        "tg://proxy",
        "tg://proxy?",
        "tg://proxy?server=h&port=1",
        "tg://proxy?server=h&secret=00112233445566778899aabbccddeeff",
        "tg://proxy?port=1&secret=00112233445566778899aabbccddeeff",
        "tg://proxy?server=&port=1&secret=00112233445566778899aabbccddeeff",
        "tg://proxy?server=a%20b&port=1&secret=00112233445566778899aabbccddeeff",
        "tg://proxy?server=h&port=0&secret=00112233445566778899aabbccddeeff",
        "tg://proxy?server=h&port=65536&secret=00112233445566778899aabbccddeeff",
        "tg://proxy?server=h&port=+1&secret=00112233445566778899aabbccddeeff",
        "tg://proxy?server=h&port=%D9%A1&secret=00112233445566778899aabbccddeeff",
        "tg://proxy?server=h&port=x&secret=00112233445566778899aabbccddeeff",
        "tg://proxy?server=h&port=1&secret=0011",
    ],
)
def test_what_is_no_proxy_link_is_refused_without_quoting_it(url):
    with pytest.raises(ConfigError) as caught:
        parse_link(url)
    assert "0011" not in str(caught.value)


@given(st.text() | st.text("tg:/proxy?server=port&secret=1%#").map(lambda rest: "tg://proxy?" + rest))
def test_any_text_is_a_link_or_a_configuration_error(url):
    try:
        host, port, secret = parse_link(url)
    except ConfigError:
        return
    assert parse_link(proxy_links(host, port, secret).https) == (host, port, secret)


@pytest.mark.parametrize("host", ["", "a b", "a&b=c", "a#b", "a/b", "a?b", "a%b", "a+b", "a\x00b", "[a", "a\n"])
def test_a_host_that_would_break_the_link_is_refused(host):
    with pytest.raises(ConfigError, match="host"):
        proxy_links(host, 443, CLASSIC)


@pytest.mark.parametrize("port", [-1, 0, 65536, 10**9])
def test_a_port_that_is_none_is_refused(port):
    with pytest.raises(ConfigError, match="port"):
        proxy_links("192.0.2.1", port, CLASSIC)
