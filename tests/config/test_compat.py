from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from telemt_trio.config.compat import FOREIGN, RENAMED, is_foreign, translate
from telemt_trio.config.load import load_config, structure
from telemt_trio.config.schema import keys, schema
from telemt_trio.config.values import UnknownSniAction

COMPLETE = Path(__file__).with_name("telemt_complete.toml")


def test_a_complete_file_of_telemt_loads_with_one_warning():
    loaded = load_config(COMPLETE)
    (warning,) = loaded.warnings
    assert warning.startswith("these keys of telemt have no effect in this release: access.cidr_rate_limits, ")
    for name in ("access.user_expirations", "server.api", "server.listeners[].synlimit", "logging", "general.ad_tag"):
        assert warning.count(f"{name},") == 1
    config = loaded.config
    assert config.server.client_mss == 92
    assert config.server.client_mss_bulk == 1400
    assert config.server.listeners[0].client_mss == 256
    assert config.timeouts.client_handshake == 60
    assert config.censorship.unknown_sni_action is UnknownSniAction.DROP
    assert [upstream.type for upstream in config.upstreams] == ["direct", "socks4", "socks5"]
    assert [str(address) for address in config.dc_overrides["2"]] == ["149.154.167.50:443", "[2001:db8::2]:443"]
    assert not config.access.is_enabled("bob")


def test_the_warning_tells_no_values():
    text = " ".join(load_config(COMPLETE).warnings)
    assert "2030" not in text
    assert "00112233445566778899aabbccddeeff" not in text


def test_every_key_of_telemt_is_known():
    named = set(translate(tomllib.loads(COMPLETE.read_text())).foreign)
    table = {f"{path}.{name}".lstrip(".") for path, names in FOREIGN.items() for name in names}
    assert table - named == {"server.admin_api", "censorship.mask_unix_sock", "upstreams[].url"}


def test_no_key_is_both_ours_and_foreign():
    ours = set(keys())
    assert not ours & {f"{path}.{name}".lstrip(".") for path, names in FOREIGN.items() for name in names}
    assert not ours & set(RENAMED)
    assert set(RENAMED.values()) <= ours
    assert set(FOREIGN) <= {table.path for table in schema().walk()}


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"server": {"prot": 1}}, "config.server.prot: unknown key; did you mean port?"),
        (
            {"general": {"tls_domain": "x"}},
            "config.general.tls_domain: unknown key; did you mean censorship.tls_domain?",
        ),
        ({"tls_domain": "x"}, "config.tls_domain: unknown key; did you mean censorship.tls_domain?"),
        ({"censorsip": {}}, "config.censorsip: unknown key; did you mean censorship?"),
        ({"general": {"ad_tga": "x"}}, "config.general.ad_tga: unknown key; did you mean ad_tag?"),
        ({"upstreams": [{}, {"adress": 1}]}, "config.upstreams[1].adress: unknown key; did you mean address?"),
        ({"server": {"listeners": [{"adr": 1}]}}, "config.server.listeners[0].adr: unknown key"),
        ({"xyzzy": 1}, "config.xyzzy: unknown key"),
        ({"server": {5: 1}}, "config.server.5: unknown key: a key is text"),
    ],
)
def test_an_unknown_key_is_a_mistake_with_a_suggestion(document, problem):
    assert translate(document).problems == (problem,)


def test_the_input_is_left_alone():
    document = {"show_link": "*", "dc_overrides": {"2": "192.0.2.1:1"}, "general": {"prefer_ipv6": True, "ad_tag": "x"}}
    before = repr(document)
    translate(document)
    assert repr(document) == before


@pytest.mark.parametrize(
    ("document", "path", "value"),
    [
        ({"show_link": ["alice"]}, "general.links.show", ("alice",)),
        ({"show_link": ["bob"], "general": {"links": {"show": ["alice"]}}}, "general.links.show", ("alice",)),
        ({"general": {"prefer_ipv6": True}}, "network.prefer", 6),
        ({"general": {"prefer_ipv6": True}, "network": {"prefer": 4}}, "network.prefer", 4),
        ({"general": {"prefer_ipv6": False}}, "network.prefer", 4),
    ],
)
def test_old_names_are_moved_and_the_new_name_wins(minimal, document, path, value):
    with pytest.warns(UserWarning, match="old names, please write the new ones"):
        made = structure(minimal | document)
    for name in path.split("."):
        made = getattr(made, name)
    assert made == value


def test_old_names_inside_arrays_are_moved(minimal):
    minimal["server"] = {
        "listeners": [{"ip": "::", "announce_ip": "192.0.2.1"}, {"ip": "::1", "announce": "b.example"}]
    }
    minimal["upstreams"] = [{"type": "direct", "force_bind": "eth0"}]
    with pytest.warns(UserWarning, match="announce_ip .*force_bind"):
        config = structure(minimal)
    assert [one.announce for one in config.server.listeners] == ["192.0.2.1", "b.example"]
    assert config.upstreams[0].bindtodevice == "eth0"


def test_a_mistake_under_an_old_name_is_reported_under_the_new_one(problems):
    assert problems(show_link=5) == ("config.general.links.show: expected array, got int",)
    assert problems(show_link="*", general=5) == ("config.general: expected table, got int",)
    assert problems(general={"links": 5}, show_link="*") == ("config.general.links: expected table, got int",)
    assert problems(general={"prefer_ipv6": True}, network=5) == ("config.network: expected table, got int",)


def test_admin_api_is_the_old_api():
    assert translate({"server": {"admin_api": {"enabled": True}}}).foreign == ("server.admin_api",)


def test_addresses_of_a_datacenter_are_text_or_a_list():
    document = {"dc_overrides": {"2": "192.0.2.1:1", "3": ["", "192.0.2.2:1"], "4": "", "5": []}}
    assert translate(document).document["dc_overrides"] == {"2": ["192.0.2.1:1"], "3": ["192.0.2.2:1"]}


@pytest.mark.parametrize(
    ("path", "foreign"),
    [
        ("general.ad_tag", True),
        ("server.api", True),
        ("server.api.listen", True),
        ("server.listeners[].synlimit", True),
        ("server.port", False),
        ("nothing", False),
    ],
)
def test_foreign_tables_cover_their_keys(path, foreign):
    assert is_foreign(path) is foreign
