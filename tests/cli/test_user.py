from __future__ import annotations

import re

import pytest

from telemt_trio.config.load import load_config
from telemt_trio.wire.secrets import Mode, parse_link

from .conftest import ALICE, CONFIG


def test_a_user_is_added_with_a_new_secret_and_the_links(telemt, file):
    code, out, err = telemt("user", "add", "bob")
    assert (code, err) == (0, "")
    assert out.startswith("bob is added to telemt.toml")
    links = re.findall(r"\S+secret=\S+", out)
    assert len(links) == 2
    key = load_config(file).config.access.users["bob"].key
    for url in links:
        host, port, secret = parse_link(url)
        assert (host, port, secret.key, secret.mode) == ("proxy.example.net", 443, key, Mode.TLS)
    assert "# the first" in file.read_text()


def test_two_users_get_two_secrets(telemt, file):
    telemt("user", "add", "bob")
    telemt("user", "add", "carol")
    assert len({key.key for key in load_config(file).config.access.users.values()}) == 3


@pytest.mark.parametrize("name", ["", "a b", "a\n", "ü", "x" * 65, "a/b"])
def test_a_name_that_a_panel_could_not_handle_is_refused(telemt, file, name):
    code, out, err = telemt("user", "add", name)
    assert (code, out) == (2, "")
    assert "a user's name has 1 to 64 letters" in err
    assert file.read_text() == CONFIG


def test_a_name_is_taken_once(telemt, file):
    code, _, err = telemt("user", "add", "alice")
    assert code == 2
    assert "there is a user alice already" in err


def test_users_are_listed_without_secrets(telemt, file):
    telemt("user", "add", "Zoe")
    file.write_text(f"{file.read_text()}[access.user_enabled]\nalice = false\n")
    code, out, _ = telemt("user", "list")
    assert (code, out) == (0, "Zoe\nalice (disabled)\n")
    assert ALICE not in out


def test_a_user_is_removed(telemt, file):
    telemt("user", "add", "bob")
    assert telemt("user", "remove", "bob") == (
        0,
        "bob is removed from telemt.toml and stays out after a restart of the proxy.\n",
        "",
    )
    assert file.read_text() == CONFIG


def test_the_last_user_stays(telemt, file):
    code, _, err = telemt("user", "remove", "alice")
    assert code == 2
    assert err.endswith("alice is the only user; add another one first\n")


def test_a_missing_file_is_two(telemt, tmp_path):
    for command in (("add", "x"), ("remove", "x"), ("list",)):
        code, _, err = telemt("-c", tmp_path / "no.toml", "user", *command)
        assert code == 2
        assert "no such file" in err
