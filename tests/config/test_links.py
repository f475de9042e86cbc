from __future__ import annotations

import pytest

from telemt_trio.config.links import link_address, shown_users, user_links
from telemt_trio.config.load import structure
from telemt_trio.wire.secrets import Mode, parse_link

from .conftest import ALICE, BOB


@pytest.fixture
def config(minimal):
    minimal["access"]["users"]["bob"] = BOB

    def make(**sections):
        return structure(minimal | sections)

    return make


def test_tls_links_come_first_one_for_each_domain(config, minimal):
    made = config(
        general={"modes": {"classic": True, "secure": True, "tls": True}},
        censorship={"tls_domain": "b.example", "tls_domains": ["a.example"]},
    )
    links = user_links(made, "alice", "proxy.example.net", 443)
    assert [label for label, _ in links] == ["tls b.example", "tls a.example", "secure", "classic"]
    for (_, link), (mode, domain) in zip(
        links,
        [(Mode.TLS, "b.example"), (Mode.TLS, "a.example"), (Mode.SECURE, None), (Mode.CLASSIC, None)],
        strict=True,
    ):
        for url in (link.tg, link.https):
            host, port, secret = parse_link(url)
            assert (host, port) == ("proxy.example.net", 443)
            assert (secret.key.hex(), secret.mode, secret.domain) == (ALICE, mode, domain)


def test_modes_that_are_off_have_no_links(config):
    assert [label for label, _ in user_links(config(), "bob", "h", 1)] == ["tls front.example.net"]


@pytest.mark.parametrize(("show", "names"), [("*", ["alice", "bob"]), (["bob"], ["bob"]), ([], [])])
def test_whose_links_are_shown(config, show, names):
    assert shown_users(config(general={"links": {"show": show}})) == names


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({}, ("198.51.100.1", 443)),
        ({"server": {"port": 8443}}, ("198.51.100.1", 8443)),
        ({"general": {"links": {"public_host": "p.example", "public_port": 99}}}, ("p.example", 99)),
        ({"server": {"listeners": [{"ip": "0.0.0.0", "port": 7, "announce": "a.example"}]}}, ("a.example", 7)),
        ({"server": {"listeners": [{"ip": "203.0.113.5"}]}}, ("203.0.113.5", 443)),
        ({"server": {"listeners": [{"ip": "::", "port": 7}]}}, ("198.51.100.1", 7)),
    ],
)
def test_the_address_in_links(config, sections, expected):
    assert link_address(config(**sections), detected="198.51.100.1") == expected


def test_the_port_that_was_really_bound_counts(config):
    assert link_address(config(), bound_port=8443) == ("UNKNOWN", 8443)
    public = config(general={"links": {"public_port": 99}})
    assert link_address(public, bound_port=8443) == ("UNKNOWN", 99)


def test_without_tls_there_are_no_tls_links(config):
    made = config(general={"modes": {"tls": False, "classic": True}})
    assert [label for label, _ in user_links(made, "alice", "h", 1)] == ["classic"]
