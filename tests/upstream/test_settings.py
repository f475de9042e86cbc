import pytest

from telemt_trio.errors import ConfigError
from telemt_trio.upstream.settings import FamilyPolicy, UpstreamSettings, parse_scopes


@pytest.mark.parametrize(
    ("text", "scopes"), [("", set()), ("vip", {"vip"}), (" vip , eu,,vip ", {"vip", "eu"}), (" , ", set())]
)
def test_scopes_are_separated_by_commas(text, scopes):
    assert parse_scopes(text) == scopes


def test_an_upstream_inherits_the_family_policy_and_may_narrow_or_widen_it():
    network = FamilyPolicy(ipv4=True, ipv6=False, prefer=4)
    assert network.narrowed(UpstreamSettings()) == network
    assert network.narrowed(UpstreamSettings(ipv6=True, prefer=6)).prefer_v6 is True
    assert network.narrowed(UpstreamSettings(ipv4=False, ipv6=True)).prefer_v6 is True


def test_a_disabled_family_is_never_preferred():
    assert FamilyPolicy(ipv4=True, ipv6=False, prefer=6).prefer_v6 is False
    assert FamilyPolicy(ipv4=False, ipv6=True, prefer=4).prefer_v6 is True


@pytest.mark.parametrize("upstream", [{"ipv4": False}, {"ipv4": False, "ipv6": True, "kind": "socks4"}])
def test_an_upstream_without_any_family_is_a_mistake(upstream):
    with pytest.raises(ConfigError, match="neither IPv4 nor IPv6"):
        FamilyPolicy().narrowed(UpstreamSettings(**upstream))


def test_socks4_never_uses_ipv6():
    assert not FamilyPolicy(ipv6=True, prefer=6).narrowed(UpstreamSettings(kind="socks4")).ipv6


def test_credentials_are_in_no_repr_and_no_label():
    settings = UpstreamSettings(
        kind="socks5", address=("192.0.2.1", 1080), user_id="Ident", username="Alice", password="Sesame"
    )
    for word in ("Ident", "Alice", "Sesame"):
        assert word not in repr(settings)
        assert word not in settings.label
    assert settings.label == "socks5 192.0.2.1:1080"
    assert UpstreamSettings().label == "direct"
