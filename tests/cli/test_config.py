from __future__ import annotations

import tomllib

import pytest

from .conftest import ALICE, CONFIG


@pytest.mark.parametrize("arguments", [(), ("telemt.toml",), ("-c", "telemt.toml")])
def test_a_good_file_is_summed_up(telemt, file, arguments):
    assert telemt("config", "check", *arguments) == (
        0,
        "telemt.toml: good; 1 of 1 users enabled, modes tls, listening on 0.0.0.0:443, [::]:443\n",
        "",
    )


def test_warnings_go_to_stderr_and_do_not_fail(telemt, file):
    file.write_text(f"{CONFIG}bob = '{ALICE[::-1]}'\n[access.user_enabled]\nbob = false\n[server.api]\nport = 1\n")
    code, out, err = telemt("config", "check")
    assert code == 0
    assert "1 of 2 users enabled" in out
    assert err == "telemt-trio: warning: these keys of telemt have no effect in this release: server.api\n"


def test_a_file_that_everyone_can_read_is_pointed_out(telemt, file):
    file.chmod(0o644)
    code, _, err = telemt("config", "check")
    assert code == 0
    assert "everyone on this machine can read telemt.toml and its secrets: chmod 600 telemt.toml" in err


@pytest.mark.parametrize("command", ["check", "show"])
def test_a_missing_file_is_two(telemt, file, command):
    code, out, err = telemt("config", command, "no.toml")
    assert (code, out) == (2, "")
    assert err == ("telemt-trio: no.toml: no such file; name another with -c, or let `telemt-trio run` write one\n")


def test_what_holds_is_shown_without_secrets(telemt, file):
    code, out, err = telemt("config", "show")
    assert (code, err) == (0, "")
    shown = tomllib.loads(out)
    assert shown["access"]["users"] == {"alice": "(hidden)"}
    assert shown["timeouts"]["client_handshake"] == 10
    assert ALICE not in out


def test_a_key_is_explained_without_a_file(telemt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = telemt("config", "explain", "server.port")
    assert (code, err) == (0, "")
    assert out.startswith("server.port\n  Port to listen on;")


def test_an_unknown_key_is_two(telemt):
    assert telemt("config", "explain", "prot") == (2, "", "telemt-trio: there is no key prot; did you mean port?\n")
