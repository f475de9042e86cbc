from __future__ import annotations

import sys

import pytest

from telemt_trio.cli import own_address as own_address_module
from telemt_trio.cli.own_address import is_private, own_address
from telemt_trio.cli.qr import terminal_qr

from .conftest import ALICE, CONFIG

SECRET = f"ee{ALICE}{b'front.example.net'.hex()}"


def test_links_of_everybody(telemt, file):
    code, out, err = telemt("link")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "alice:",
        "  tls front.example.net",
        f"    tg://proxy?server=proxy.example.net&port=443&secret={SECRET}",
        f"    https://t.me/proxy?server=proxy.example.net&port=443&secret={SECRET}",
    ]


def test_links_of_one_user(telemt, file):
    telemt("user", "add", "bob")
    _, out, _ = telemt("link", "bob")
    assert "bob:" in out
    assert "alice" not in out


def test_the_qr_code_follows(telemt, file, monkeypatch):
    drawn = []
    monkeypatch.setattr("telemt_trio.cli.qr.terminal_qr", lambda text: drawn.append(text) or "#QR#")
    code, out, _ = telemt("link", "--qr")
    assert code == 0
    assert drawn == [f"tg://proxy?server=proxy.example.net&port=443&secret={SECRET}"]
    assert out.endswith("#QR#\n")


def test_nobody_of_that_name(telemt, file):
    assert telemt("link", "alcie") == (2, "", "telemt-trio: there is no user alcie; did you mean alice?\n")


def test_links_of_nobody(telemt, file):
    file.write_text(CONFIG.replace("[general.links]", "[general.links]\nshow = []"))
    code, out, err = telemt("link")
    assert (code, out) == (0, "")
    assert "general.links.show names nobody" in err
    assert "alice:" in telemt("link", "alice")[1]


@pytest.mark.parametrize(
    ("address", "host", "hint"),
    [
        (None, "UNKNOWN", "this machine's address is not known: set general.links.public_host"),
        ("192.168.1.5", "192.168.1.5", "192.168.1.5 is a private address, which clients elsewhere cannot reach"),
        ("8.8.8.8", "8.8.8.8", ""),
        ("2001:4860:4860::8888", "2001:4860:4860::8888", ""),
    ],
)
def test_without_a_public_host_the_own_address_stands_there(telemt, file, monkeypatch, address, host, hint):
    file.write_text(CONFIG.replace('public_host = "proxy.example.net"', ""))
    monkeypatch.setattr(own_address_module, "own_address", lambda: address)
    code, out, err = telemt("link")
    assert code == 0
    assert f"server={host}&port=443" in out
    assert (hint in err) if hint else (err == "")


class FakeSocket:
    """A datagram socket that refuses everything but asking for the route."""

    routes: dict[int, str]

    def __init__(self, family, _kind):
        self.family = family

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def connect(self, _address):
        if self.family not in self.routes:
            raise OSError(101, "Network is unreachable")

    def getsockname(self):
        return (self.routes[self.family], 50000)


@pytest.mark.parametrize(
    ("routes", "address"),
    [
        ({}, None),
        ({"v4": "203.0.113.5"}, "203.0.113.5"),
        ({"v6": "2001:db8::5"}, "2001:db8::5"),
        ({"v4": "203.0.113.5", "v6": "2001:db8::5"}, "203.0.113.5"),
        ({"v4": "127.0.0.1", "v6": "2001:db8::5"}, "2001:db8::5"),
        ({"v4": "0.0.0.0", "v6": "fe80::1"}, None),
    ],
)
def test_the_own_address_is_that_of_the_route(monkeypatch, routes, address):
    families = {"v4": own_address_module.socket.AF_INET, "v6": own_address_module.socket.AF_INET6}
    fake = type("Fake", (FakeSocket,), {"routes": {families[name]: value for name, value in routes.items()}})
    monkeypatch.setattr(own_address_module.socket, "socket", fake)
    assert own_address() == address


def test_asking_for_the_own_address_leaves_no_socket_open():
    own_address()  # the fixture around every test counts descriptors


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("10.0.0.1", True),
        ("100.64.0.1", True),
        ("fd00::1", True),
        ("127.0.0.1", True),
        ("8.8.8.8", False),
        ("host", False),
    ],
)
def test_private_addresses(host, private):
    assert is_private(host) is private


class Terminal:
    def __init__(self, encoding):
        self.encoding = encoding


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", None, "no-such-encoding"])
def test_a_qr_code_fits_the_terminal(monkeypatch, encoding):
    monkeypatch.setattr(sys, "stdout", Terminal(encoding))
    drawn = terminal_qr(f"tg://proxy?server=h&port=1&secret={SECRET}")
    assert len(drawn.splitlines()) > 20
    assert drawn.isascii() is (encoding != "utf-8")
