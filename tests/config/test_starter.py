from __future__ import annotations

import stat

import pytest

from telemt_trio.config.load import load_config
from telemt_trio.config.starter import starter_toml, write_starter
from telemt_trio.errors import ConfigError

from .conftest import ALICE


def test_the_first_file_is_complete(tmp_path):
    path = tmp_path / "telemt.toml"
    write_starter(path, starter_toml("Front.example.NET", ALICE))
    loaded = load_config(path)
    assert loaded.warnings == ()
    assert loaded.config.censorship.tls_domain == "front.example.net"
    assert [(name, key.hex()) for name, key in loaded.config.access.users.items()] == [("user", ALICE)]


def test_it_explains_every_key_and_the_choice_of_a_front():
    lines = starter_toml("front.example.net", ALICE, user="me").splitlines()
    for number, line in enumerate(lines):
        if " = " in line and not line.startswith("#"):
            assert lines[number - 1].startswith("# ")
    text = "\n".join(lines)
    for hint in ("443", "TLS 1.3", "X25519", "same country", "same company", "CDN"):
        assert hint in text
    assert f'me = "{ALICE}"' in text


def test_the_port_is_the_one_that_can_be_had(tmp_path):
    path = tmp_path / "telemt.toml"
    write_starter(path, starter_toml("front.example.net", ALICE, port=8443))
    assert load_config(path).config.server.port == 8443


def test_nobody_else_can_read_it(tmp_path):
    path = tmp_path / "telemt.toml"
    write_starter(path, "x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_existing_file_is_never_overwritten(tmp_path):
    path = tmp_path / "telemt.toml"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="cannot be written: File exists; name another place with -c"):
        write_starter(path, "x")
    assert path.read_text() == "mine"


def test_a_dangling_link_is_not_followed(tmp_path):
    (tmp_path / "telemt.toml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="File exists"):
        write_starter(tmp_path / "telemt.toml", "x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("not a name", ALICE), "must be a host name"),
        (("a.example", "short"), "32 hex"),
        (("a.example", ALICE, 'x" = 1'), "letters, digits"),
        (("a.example", ALICE, ""), "letters, digits"),
    ],
)
def test_nothing_unusable_is_written(arguments, message):
    with pytest.raises(ConfigError, match=message):
        starter_toml(*arguments)
