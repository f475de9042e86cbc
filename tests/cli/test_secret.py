from __future__ import annotations

from telemt_trio.config.values import HexKey
from telemt_trio.wire.secrets import Mode, parse_secret


def test_a_secret_in_its_forms(telemt):
    code, out, err = telemt("secret", "--domain", "Front.example.net")
    assert (code, err) == (0, "")
    secrets = [parse_secret(line.split()[0]) for line in out.splitlines()]
    assert [(one.mode, one.domain) for one in secrets] == [
        (Mode.CLASSIC, None),
        (Mode.SECURE, None),
        (Mode.TLS, "front.example.net"),
    ]
    assert len({one.key for one in secrets}) == 1
    assert HexKey.parse(out.split()[0]).key == secrets[0].key


def test_without_a_domain_there_is_no_tls_form(telemt):
    _, out, _ = telemt("secret")
    assert [line.split("  ")[1] for line in out.splitlines()] == ["in telemt.toml, and classic", "secure"]


def test_every_secret_is_new(telemt):
    assert telemt("secret")[1] != telemt("secret")[1]


def test_a_bad_domain_is_two(telemt):
    code, out, err = telemt("secret", "--domain", "192.0.2.1")
    assert (code, out) == (2, "")
    assert err == "telemt-trio: must be a domain name such as example.com\n"
