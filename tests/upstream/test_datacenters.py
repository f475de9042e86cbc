import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.upstream.datacenters import (
    BUILT_IN_OVERRIDES,
    DATACENTERS,
    endpoints_of,
    groups,
    parse_endpoint,
    parse_overrides,
    resolve_dc,
)

INDEXES = st.integers(-32768, 32767)
V4, V4B, V6 = ("192.0.2.1", 443), ("192.0.2.2", 8443), ("2001:db8::1", 443)


# ---------------------------------------------------------------- which address


@pytest.mark.parametrize(
    ("dc", "v4", "v6"),
    [
        (1, "149.154.175.50", "2001:b28:f23d:f001::a"),
        (2, "149.154.167.51", "2001:67c:4e8:f002::a"),
        (3, "149.154.175.100", "2001:b28:f23d:f003::a"),
        (4, "149.154.167.91", "2001:67c:4e8:f004::a"),
        (5, "149.154.171.5", "2001:b28:f23f:f005::a"),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_table_serves_a_datacenter_and_its_media_cluster(dc, v4, v6, sign):
    four = resolve_dc(sign * dc)
    six = resolve_dc(sign * dc, prefer_v6=True)
    assert (four.dc_idx, four.cluster, four.address, four.known) == (sign * dc, dc, (v4, 443), True)
    assert six.address == (v6, 443)


def test_203_is_the_content_network():
    target = resolve_dc(203, prefer_v6=True)
    assert (target.cluster, target.address, target.known) == (203, ("91.105.192.100", 443), True)


@pytest.mark.parametrize("dc_idx", [0, 6, -6, 10001, -10002, 201, -203, 32767, -32768])
def test_an_unknown_index_goes_to_the_default(dc_idx):
    target = resolve_dc(dc_idx)
    assert (target.dc_idx, target.cluster, target.known) == (dc_idx, 2, False)
    assert target.address == ("149.154.167.51", 443)
    assert resolve_dc(dc_idx, default_dc=4).address == ("149.154.167.91", 443)


@pytest.mark.parametrize("default_dc", [0, 6, 203, -2, 255])
def test_a_default_outside_the_table_means_datacenter_1(default_dc):
    assert resolve_dc(0, default_dc=default_dc).cluster == 1


def test_an_override_comes_before_the_table():
    target = resolve_dc(2, overrides={2: [V4]})
    assert (target.cluster, target.address, target.known) == (2, V4, True)


def test_an_override_is_for_exactly_its_signed_index():
    assert resolve_dc(-2, overrides={2: [V4]}).address == ("149.154.167.51", 443)
    assert resolve_dc(2, overrides={-2: [V4]}).address == ("149.154.167.51", 443)
    target = resolve_dc(-2, overrides={-2: [V4]})
    assert (target.dc_idx, target.cluster, target.address) == (-2, 2, V4)


def test_an_override_makes_an_index_known():
    target = resolve_dc(-10001, overrides={-10001: [V4]})
    assert (target.cluster, target.address, target.known) == (10001, V4, True)
    assert resolve_dc(-32768, overrides={-32768: [V4]}).cluster == 32768


def test_an_override_gives_its_first_address_of_the_family_or_else_its_first():
    assert resolve_dc(1, overrides={1: [V6, V4B, V4]}).address == V4B
    assert resolve_dc(1, overrides={1: [V4, V6]}, prefer_v6=True).address == V6
    assert resolve_dc(1, overrides={1: [V4B, V4]}, prefer_v6=True).address == V4B
    assert resolve_dc(1, overrides={1: [V6]}).address == V6


def test_an_empty_override_is_none():
    assert resolve_dc(1, overrides={1: []}) == resolve_dc(1)


@given(
    INDEXES,
    st.dictionaries(INDEXES, st.lists(st.sampled_from([V4, V4B, V6]), max_size=3), max_size=4),
    st.none() | st.integers(-300, 300),
    st.booleans(),
)
def test_every_index_leads_somewhere(dc_idx, overrides, default_dc, prefer_v6):
    target = resolve_dc(dc_idx, overrides=overrides, default_dc=default_dc, prefer_v6=prefer_v6)
    assert target.dc_idx == dc_idx
    assert target.cluster > 0 or dc_idx == 0
    assert target.known == bool(overrides.get(dc_idx) or abs(dc_idx) in DATACENTERS)
    assert target.address in (overrides.get(dc_idx) or endpoints_of(target.cluster, {}))


# ---------------------------------------------------------------- endpoints and overrides as text


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1:443", ("192.0.2.1", 443)),
        (" 192.0.2.1:1 ", ("192.0.2.1", 1)),
        ("[2001:DB8:0::1]:65535", ("2001:db8::1", 65535)),
    ],
)
def test_endpoints(text, address):
    assert parse_endpoint(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.0.2.1",
        "192.0.2.1:",
        "192.0.2.1:0",
        "192.0.2.1:65536",
        "192.0.2.1:0000065536",
        "192.0.2.1:१",
        "2001:db8::1:443",
        "[192.0.2.1]:443",
        "[2001:db8::1]",
        "[2001:db8::1]443",
        "dc.example:443",
        "192.0.2.256:443",
        "192.0.2.1:443 # comment",
    ],
)
def test_what_is_no_endpoint(text):
    with pytest.raises(ValueError, match=r"."):
        parse_endpoint(text)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_endpoints_survive_being_written(ip, port):
    text = f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"
    if getattr(ip, "scope_id", None):
        return
    host, same_port = parse_endpoint(text)
    assert (ipaddress.ip_address(host), same_port) == (ip, port)


@given(st.text(max_size=40) | st.from_regex(r"\[?[0-9a-f:.]{0,20}\]?:?[0-9]{0,8}"))
def test_any_text_is_an_endpoint_or_a_value_error(text):
    try:
        host, port = parse_endpoint(text)
    except ValueError:
        return
    assert ipaddress.ip_address(host)
    assert 0 < port < 65536


def test_overrides_take_one_address_or_several():
    table, warnings = parse_overrides({"1": "192.0.2.1:443", "-2": ["[2001:db8::1]:443", "192.0.2.2:8443"]})
    assert table == {1: (V4,), -2: (V6, V4B), 203: (("91.105.192.100", 443),)}
    assert warnings == ()


def test_the_content_network_can_be_overridden():
    assert parse_overrides({"203": "192.0.2.1:443"})[0] == {203: (V4,)}
    assert parse_overrides({})[0] == BUILT_IN_OVERRIDES


def test_what_cannot_be_read_is_skipped_with_a_warning():
    table, warnings = parse_overrides({"1": ["nonsense", "192.0.2.1:443"], "2": "also nonsense", "x": "192.0.2.1:443"})
    assert table == {1: (V4,), **BUILT_IN_OVERRIDES}
    assert [warning.split(":")[0] for warning in warnings] == ["dc_overrides.1", "dc_overrides.2", "dc_overrides"]


def test_blank_values_count_as_absent():
    assert parse_overrides({"1": "", "2": ["  ", ""], "203": []}) == (BUILT_IN_OVERRIDES, ())


@pytest.mark.parametrize("key", ["", "-", "02", "-0", "+2", " 2", "2.0", "32768", "-32769", "99999999999", "२", "dc2"])
def test_what_is_no_index(key):
    table, warnings = parse_overrides({key: "192.0.2.1:443"})
    assert table == BUILT_IN_OVERRIDES
    assert len(warnings) == 1


@given(INDEXES)
def test_every_index_can_be_a_key(dc_idx):
    assert parse_overrides({str(dc_idx): "192.0.2.1:443"})[0][dc_idx] == (V4,)


# ---------------------------------------------------------------- what is probed


def test_the_groups_are_the_table_and_the_positive_overrides():
    assert groups({}) == (1, 2, 3, 4, 5)
    assert groups({203: (V4,), -7: (V4,), 10001: (V4,), 9: (), 2: (V4,)}) == (1, 2, 3, 4, 5, 203, 10001)


def test_the_endpoints_of_a_group():
    assert endpoints_of(2, {2: (V4, V6), -2: (V4B,)}) == (V4, V6)
    assert endpoints_of(2, {}) == (("149.154.167.51", 443), ("2001:67c:4e8:f002::a", 443))
