from __future__ import annotations

import tomllib
from pathlib import Path

import attrs
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.config.effective import HIDDEN, effective_toml
from telemt_trio.config.load import load_config, structure
from telemt_trio.config.model import (
    AccessConfig,
    CensorshipConfig,
    ListenerConfig,
    NetworkConfig,
    ProxyConfig,
    ServerConfig,
    UpstreamConfig,
)
from telemt_trio.config.schema import keys
from telemt_trio.config.values import DnsOverride, HexKey, HostPort, Scopes

from .conftest import ALICE

COMPLETE = Path(__file__).with_name("telemt_complete.toml")

names = st.from_regex(r"[a-z]{2,8}\.example", fullmatch=True)
places = st.builds(HostPort, st.ip_addresses().map(str), st.integers(1, 65535))
configurations = st.builds(
    ProxyConfig,
    access=st.builds(
        AccessConfig,
        users=st.dictionaries(
            st.from_regex(r"[A-Za-z .'\"]{0,9}[a-z]", fullmatch=True).map(str.strip),
            st.binary(min_size=16, max_size=16).filter(any).map(HexKey),
            min_size=1,
            max_size=3,
        ).filter(lambda users: len(set(users.values())) == len(users)),
    ),
    censorship=st.builds(CensorshipConfig, tls_domain=names, tls_domains=st.lists(names, max_size=2)),
    network=st.builds(
        NetworkConfig,
        ipv6=st.none() | st.just(value=True),
        dns_overrides=st.lists(
            st.builds(DnsOverride, names, st.integers(1, 65535), st.ip_addresses().map(str)), max_size=2
        ),
    ),
    server=st.builds(
        ServerConfig,
        client_mss=st.sampled_from([0, 88, 1400]),
        listeners=st.lists(
            st.builds(
                ListenerConfig, ip=st.ip_addresses().map(str), port=st.none() | st.just(8443), client_mss=st.just(0)
            ),
            max_size=2,
            unique_by=lambda one: one.ip,
        ),
    ),
    upstreams=st.lists(
        st.builds(
            UpstreamConfig,
            type=st.just("socks5"),
            address=places,
            scopes=st.lists(st.from_regex(r"[a-z]{1,5}", fullmatch=True), max_size=2).map(Scopes),
            username=st.just("name"),
            password=st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
        ),
        max_size=2,
    ),
    dc_overrides=st.dictionaries(
        st.integers(1, 9).map(str), st.lists(places, min_size=1, max_size=2).map(tuple), max_size=2
    ),
    default_dc=st.none() | st.integers(1, 5),
)


@given(configurations)
def test_written_out_with_secrets_it_reads_back_equal(config):
    assert structure(tomllib.loads(effective_toml(config, secrets=True))) == config


@given(configurations)
def test_without_secrets_it_shows_none(config):
    text = effective_toml(config)
    shown = tomllib.loads(text)
    assert set(shown["access"]["users"].values()) == {HIDDEN}
    assert {upstream["password"] for upstream in shown.get("upstreams", [])} <= {HIDDEN}
    assert not any(key.hex() in text for key in config.access.users.values())


def test_a_complete_file_round_trips():
    config = load_config(COMPLETE).config
    assert structure(tomllib.loads(effective_toml(config, secrets=True))) == config


def test_every_key_that_holds_a_value_is_shown():
    config = structure({"censorship": {"tls_domain": "a.example"}, "access": {"users": {"alice": ALICE}}})
    shown = tomllib.loads(effective_toml(config))
    for path, key in keys().items():
        if "[]" in path or key.default is None or key.default is attrs.NOTHING:
            continue
        here = shown
        for name in path.split("."):
            here = here[name]
