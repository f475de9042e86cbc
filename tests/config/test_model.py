from __future__ import annotations

import attrs
import pytest

from telemt_trio.config.model import (
    AccessConfig,
    CensorshipConfig,
    GeneralConfig,
    LinksConfig,
    ListenerConfig,
    ModesConfig,
    NetworkConfig,
    ProxyConfig,
    ServerConfig,
    TimeoutsConfig,
    UpstreamConfig,
)
from telemt_trio.config.schema import keys
from telemt_trio.config.values import HexKey, HostPort, LogLevel, UnknownSniAction
from telemt_trio.errors import ConfigError

from .conftest import ALICE, BOB


def config(**sections) -> ProxyConfig:
    sections.setdefault("access", AccessConfig(users={"alice": HexKey.parse(ALICE)}))
    sections.setdefault("censorship", CensorshipConfig(tls_domain="front.example.net"))
    return ProxyConfig(**sections)


def refusal(build, *arguments, **named) -> str:
    with pytest.raises(ConfigError) as caught:
        build(*arguments, **named)
    return str(caught.value)


def test_the_smallest_configuration_has_safe_defaults():
    smallest = config()
    assert smallest.general.modes == ModesConfig(classic=False, secure=False, tls=True)
    assert smallest.general.use_middle_proxy is False
    assert smallest.censorship.unknown_sni_action is UnknownSniAction.MASK
    assert smallest.censorship.mask
    assert smallest.censorship.mask_relay_max_bytes == 0
    assert smallest.access.ignore_time_skew is False
    assert smallest.timeouts.client_handshake == 10
    assert smallest.network.ipv6 is None


def test_values_are_normalised_in_code_too():
    made = config(
        censorship=CensorshipConfig(tls_domain="Front.Example.NET", unknown_sni_action="drop"),
        general=GeneralConfig(log_level="debug"),
    )
    assert made.censorship.tls_domain == "front.example.net"
    assert made.censorship.unknown_sni_action is UnknownSniAction.DROP
    assert made.general.log_level is LogLevel.DEBUG


def test_nothing_secret_is_in_a_repr():
    made = config(
        upstreams=[
            UpstreamConfig(type="socks5", address=HostPort("proxy", 1), username="hunter1", password="hunter2"),
            UpstreamConfig(type="socks4", address=HostPort("proxy", 1), user_id="hunter3"),
        ]
    )
    shown = repr(made)
    assert ALICE not in shown
    assert repr(bytes.fromhex(ALICE)) not in shown
    assert "hunter" not in shown


def test_settings_are_frozen():
    made = config()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        made.server.port = 1
    with pytest.raises(TypeError):
        made.access.users["eve"] = HexKey.parse(BOB)


def test_a_later_change_of_the_mapping_does_not_reach_in():
    users = {"alice": HexKey.parse(ALICE)}
    access = AccessConfig(users=users)
    users["eve"] = HexKey.parse(BOB)
    assert set(access.users) == {"alice"}


@pytest.mark.parametrize("path", [path for path, key in keys().items() if key.limits and " to " in key.limits])
def test_numbers_keep_their_limits(path):
    key = keys()[path]
    section = {
        "general": GeneralConfig,
        "server": ServerConfig,
        "server.listeners[]": lambda **given: ListenerConfig(ip="::", **given),
        "timeouts": TimeoutsConfig,
        "censorship": CensorshipConfig,
        "upstreams[]": lambda **given: UpstreamConfig(type="direct", **given),
        "": config,
    }[path.rpartition(".")[0]]
    lowest, highest = (int(bound) for bound in key.limits.split(" to "))
    for good in (lowest, highest):
        section(**{key.name: good})
    for bad in (lowest - 1, highest + 1):
        assert refusal(section, **{key.name: bad}) == f"{key.name}: must be {lowest} to {highest}"


@pytest.mark.parametrize("name", ["replay_check_len", "replay_window_secs"])
def test_replay_memory_is_never_empty(name):
    message = refusal(AccessConfig, users={"alice": HexKey.parse(ALICE)}, **{name: 0})
    assert message == f"{name}: must be 1 or more"


def test_absurd_numbers_fail_here():
    assert refusal(ServerConfig, max_connections=2**60).startswith("max_connections: must be smaller")
    assert refusal(ServerConfig, max_connections=-1) == "max_connections: must be 0 or more"


def test_the_middle_proxy_path_is_refused():
    assert refusal(GeneralConfig, use_middle_proxy=True) == (
        "use_middle_proxy: the path through middle proxies is not in this release: set it to false"
    )


def test_one_mode_is_on():
    assert "nobody could connect" in refusal(ModesConfig, tls=False)
    assert ModesConfig(tls=False, classic=True).classic


@pytest.mark.parametrize("path", ["", " ", "../x", "a/../b", "/var/.."])
def test_the_unknown_dc_file_stays_where_it_is(path):
    assert 'must be a file name without ".."' in refusal(GeneralConfig, unknown_dc_log_path=path)


def test_a_name_with_two_dots_inside_is_no_parent():
    assert GeneralConfig(unknown_dc_log_path="a..b").unknown_dc_log_path == "a..b"


def test_one_address_family_is_on():
    assert "both families are off" in refusal(NetworkConfig, ipv4=False, ipv6=False)
    assert NetworkConfig(ipv4=False).family == 6


@pytest.mark.parametrize(
    ("network", "family"),
    [
        (NetworkConfig(), 4),
        (NetworkConfig(prefer=6), 6),
        (NetworkConfig(prefer=6, ipv6=True), 6),
        (NetworkConfig(prefer=6, ipv6=False), 4),
        (NetworkConfig(prefer=4, ipv4=False, ipv6=True), 6),
    ],
)
def test_the_preferred_family_is_one_that_is_on(network, family):
    assert network.family == family


def test_prefer_is_a_family():
    assert refusal(NetworkConfig, prefer=5) == "prefer: must be 4 or 6"


def test_without_listeners_both_families_are_listened_on():
    places = ServerConfig(port=8443).addresses()
    assert [(one.ip, one.port, one.client_mss) for one in places] == [("0.0.0.0", 8443, 0), ("::", 8443, 0)]


def test_an_empty_address_switches_a_family_off():
    assert [one.ip for one in ServerConfig(listen_addr_ipv6="").addresses()] == ["0.0.0.0"]
    assert "nothing to listen on" in refusal(ServerConfig, listen_addr_ipv4="", listen_addr_ipv6="")


def test_listen_addresses_have_their_family():
    assert refusal(ServerConfig, listen_addr_ipv4="::") == "listen_addr_ipv4: must be an IPv4 address"
    assert refusal(ServerConfig, listen_addr_ipv6="127.0.0.1") == "listen_addr_ipv6: must be an IPv6 address"
    assert "must be an IPv4 or IPv6 address" in refusal(ServerConfig, listen_addr_ipv4="here")


def test_listeners_inherit_what_they_leave_out():
    server = ServerConfig(
        port=443,
        client_mss=92,
        listeners=[ListenerConfig(ip="127.0.0.1"), ListenerConfig(ip="::1", port=8443, client_mss=0)],
    )
    assert [(one.ip, one.port, one.client_mss) for one in server.addresses()] == [
        ("127.0.0.1", 443, 92),
        ("::1", 8443, 0),
    ]


def test_an_address_is_listened_on_once():
    twice = [ListenerConfig(ip="127.0.0.1"), ListenerConfig(ip="127.0.0.1", port=443)]
    assert refusal(ServerConfig, listeners=twice) == "listeners: 127.0.0.1 port 443 is listed twice: keep one of them"
    ServerConfig(listeners=[attrs.evolve(one, reuse_allow=True) for one in twice])
    ServerConfig(port=0, listeners=[ListenerConfig(ip="127.0.0.1"), ListenerConfig(ip="127.0.0.1")])


def test_tls_needs_a_domain_and_says_how_to_choose_it():
    message = refusal(config, censorship=CensorshipConfig())
    assert message.startswith("censorship.tls_domain: missing")
    for hint in ("443", "TLS 1.3", "X25519", "near this server", "CDN"):
        assert hint in message


def test_masking_needs_a_site():
    plain = GeneralConfig(modes=ModesConfig(tls=False, secure=True))
    assert "set mask = false" in refusal(config, general=plain, censorship=CensorshipConfig())
    assert config(general=plain, censorship=CensorshipConfig(mask=False)).censorship.mask_target() is None
    assert config(general=plain, censorship=CensorshipConfig(mask_host="site")).censorship.mask_target() == "site"


def test_more_domains_need_a_first_one():
    assert refusal(CensorshipConfig, tls_domains=("other.example.net",)).startswith("tls_domain: missing beside")


def test_domains_are_listed_once_the_first_first():
    made = CensorshipConfig(tls_domain="b.example", tls_domains=["a.example", "B.example", "a.example"])
    assert made.domains == ("b.example", "a.example")
    assert CensorshipConfig().domains == ()
    assert CensorshipConfig(tls_domain="b.example", mask_host="c.example").mask_target() == "c.example"
    assert made.mask_target() == "b.example"


def test_the_answer_comes_before_the_handshake_times_out():
    message = refusal(
        config,
        timeouts=TimeoutsConfig(client_handshake=1),
        censorship=CensorshipConfig(tls_domain="a.example", server_hello_delay_max_ms=1000),
    )
    assert message == "censorship.server_hello_delay_max_ms: must be less than timeouts.client_handshake"


def test_a_minimum_delay_above_the_maximum_is_no_mistake():
    assert CensorshipConfig(server_hello_delay_min_ms=50).server_hello_delay_max_ms == 24


def test_somebody_has_to_be_let_in():
    assert "nobody could connect: `telemt-trio user add NAME`" in refusal(AccessConfig, users={})


def test_two_users_have_two_secrets():
    users = {"alice": HexKey.parse(ALICE), "bob": HexKey.parse(ALICE.upper())}
    assert refusal(AccessConfig, users=users) == (
        "users: alice and bob have the same secret: give one of them a new one"
    )


@pytest.mark.parametrize("name", ["", " alice", "alice ", "al\nice", "x" * 65, "\x1b[31m"])
def test_names_fit_on_a_line(name):
    assert refusal(AccessConfig, users={name: HexKey.parse(ALICE)}).startswith("users: a name has 1 to 64 printable")


def test_a_secret_is_no_name():
    message = refusal(AccessConfig, users={ALICE: HexKey.parse(BOB)})
    assert message.startswith("users: a name looks like a secret")
    assert ALICE not in message


def test_users_are_enabled_unless_it_says_otherwise():
    users = {"alice": HexKey.parse(ALICE), "bob": HexKey.parse(BOB)}
    access = AccessConfig(users=users, user_enabled={"bob": False})
    assert access.is_enabled("alice")
    assert not access.is_enabled("bob")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"type": "socks5"}, "address: missing; a socks5 upstream needs the host:port of its proxy"),
        ({"type": "http"}, "address: missing; a http upstream needs the host:port of its proxy"),
        ({"type": "direct", "address": HostPort("a", 1)}, "address: direct upstreams do not have it: remove it"),
        ({"type": "direct", "user_id": "x"}, "user_id: direct upstreams do not have it: remove it"),
        (
            {"type": "socks5", "address": HostPort("a", 1), "user_id": "x"},
            "user_id: socks5 upstreams do not have it: remove it",
        ),
        (
            {"type": "socks5", "address": HostPort("a", 1), "bind_addresses": ["127.0.0.1"]},
            "bind_addresses: socks5 upstreams do not have it: remove it",
        ),
        (
            {"type": "socks5", "address": HostPort("a", 1), "username": "x"},
            "username: needs a password beside it, and a password needs a username",
        ),
        (
            {"type": "direct", "ipv4": False, "ipv6": False},
            "ipv4: both families are off, so nothing could go this way: set enabled = false instead",
        ),
        ({"type": "direct", "prefer": 5}, "prefer: must be 4 or 6"),
        (
            {"type": "direct", "bindtodevice": "x" * 16},
            "bindtodevice: must be the name of a network device, 15 bytes at most",
        ),
        (
            {"type": "direct", "bindtodevice": "a/b"},
            "bindtodevice: must be the name of a network device, 15 bytes at most",
        ),
    ],
)
def test_upstreams_take_what_belongs_to_their_type(given, message):
    assert refusal(UpstreamConfig, **given) == message


@pytest.mark.parametrize(
    "given",
    [
        {"type": "direct", "bind_addresses": ["127.0.0.1"], "bindtodevice": "eth0", "interface": "eth0"},
        {"type": "socks4", "address": HostPort("a", 1), "user_id": "x"},
        {"type": "socks5", "address": HostPort("a", 1), "username": "x", "password": "y"},
        {"type": "http", "address": HostPort("a", 1), "username": "x", "password": "y"},
    ],
)
def test_good_upstreams(given):
    assert UpstreamConfig(**given).enabled


def test_one_upstream_is_enabled():
    off = UpstreamConfig(type="direct", enabled=False)
    assert refusal(config, upstreams=[off]).startswith("upstreams: every one is disabled")
    assert len(config(upstreams=[off, UpstreamConfig(type="direct")]).upstreams) == 2


def test_datacenter_203_is_always_known():
    assert config().dc_overrides == {"203": (HostPort("91.105.192.100", 443),)}
    own = {"203": (HostPort("192.0.2.1", 443),), "-2": (HostPort("192.0.2.2", 443),)}
    assert config(dc_overrides=own).dc_overrides == own


@pytest.mark.parametrize("key", ["", "0", "two", "02", "+2", "2.0", "32768", "-32769", "--2", "\u0662"])
def test_datacenters_are_numbers(key):
    message = refusal(config, dc_overrides={key: (HostPort("192.0.2.1", 443),)})
    assert message.startswith("dc_overrides: a datacenter is a number")


def test_datacenters_have_addresses():
    message = refusal(config, dc_overrides={"2": (HostPort("dc.example.net", 443),)})
    assert message == "dc_overrides: datacenter 2: must be ip:port, not a name"


def test_links_show_everybody_by_default():
    assert LinksConfig().show == "*"
    assert LinksConfig(public_host="Пример.рф", public_port=1).public_host == "xn--e1afmkfd.xn--p1ai"


def test_every_setting_explains_itself():
    for key in keys().values():
        assert key.about.doc.endswith("."), key.path
        assert "  " not in key.about.doc
        assert len(key.about.doc.split()) > 2
