from __future__ import annotations

import errno
import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemt_trio.config.edit import add_user, remove_user, set_key
from telemt_trio.config.load import load_config
from telemt_trio.config.values import HexKey
from telemt_trio.errors import ConfigError

from .conftest import ALICE, BOB, MINIMAL

BOBS_KEY = HexKey.parse(BOB)

FULL = f"""\
# at the top
default_dc = 2   # why not

[server]   # where
port = 443   # the usual one

[censorship]
tls_domain = "front.example.net" # the front

# people
[access]
ignore_time_skew = false

[access.users]
alice = "{ALICE}"   # first
carol = "11111111111111111111111111111111"

[access.user_enabled]
carol = false # on holiday

[access.user_max_tcp_conns]
carol = 3

[general.links]
show = ["alice", "carol"]

[[upstreams]]
type = "direct"
# at the end
"""


def users(path) -> set[str]:
    return set(load_config(path).config.access.users)


def refusal(edit, *arguments) -> str:
    with pytest.raises(ConfigError) as caught:
        edit(*arguments)
    return str(caught.value)


def test_adding_a_user_adds_one_line(written):
    path = written(FULL)
    add_user(path, "bob", BOBS_KEY)
    carol = 'carol = "11111111111111111111111111111111"\n'
    assert path.read_text() == FULL.replace(carol, f'{carol}bob = "{BOB}"\n')
    assert load_config(path).config.access.users["bob"] == BOBS_KEY


def test_adding_and_removing_a_user_leaves_the_file_as_it_was(written):
    path = written(FULL)
    add_user(path, "bob", BOBS_KEY)
    remove_user(path, "bob")
    assert path.read_text() == FULL


def test_removing_a_user_forgets_every_trace(written):
    path = written(FULL)
    remove_user(path, "carol")
    text = path.read_text()
    assert "carol" not in text
    for comment in ("# at the top", "# why not", "# where", "# the usual one", "# people", "# first", "# at the end"):
        assert comment in text
    assert load_config(path).config.general.links.show == ("alice",)


@pytest.mark.parametrize(
    "text",
    [
        f'[censorship]\ntls_domain = "a.example"\n[access.users]\nalice = "{ALICE}"',
        f'access.users.alice = "{ALICE}"\ncensorship.tls_domain = "a.example"\n',
        f'access = {{ users = {{ alice = "{ALICE}" }} }}\ncensorship.tls_domain = "a.example"\n',
        f'[access]\nusers = {{ alice = "{ALICE}" }}\n[censorship]\ntls_domain = "a.example"\n',
        f'[access.users]\nalice = "{ALICE}"\n[censorship]\ntls_domain = "a.example"\n[access]\nreplay_check_len = 5\n',
        f'[access.users]\r\nalice = "{ALICE}"\r\n[censorship]\r\ntls_domain = "a.example"\r\n',
    ],
)
def test_users_are_found_however_they_are_written(written, text):
    path = written(text)
    add_user(path, "bob", BOBS_KEY)
    assert users(path) == {"alice", "bob"}
    remove_user(path, "alice")
    assert users(path) == {"bob"}


def test_the_first_user_of_a_file_without_any(written):
    path = written('[censorship]\ntls_domain = "a.example" # mine\n')
    add_user(path, "bob", BOBS_KEY)
    assert users(path) == {"bob"}
    assert "# mine" in path.read_text()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20))
def test_any_name_that_is_taken_can_be_removed_again(written, name):
    path = written(FULL)
    try:
        add_user(path, name, BOBS_KEY)
    except ConfigError:
        assert path.read_text() == FULL
        return
    assert users(path) == {"alice", "carol", name}
    remove_user(path, name)
    assert path.read_text() == FULL


def test_a_name_is_taken_once(written):
    path = written(FULL)
    assert "there is a user alice already" in refusal(add_user, path, "alice", BOBS_KEY)
    assert path.read_text() == FULL


def test_a_secret_is_given_once(written):
    path = written(FULL)
    message = refusal(add_user, path, "bob", HexKey.parse(ALICE))
    assert "alice and bob have the same secret" in message
    assert ALICE not in message
    assert path.read_text() == FULL


def test_removing_somebody_else(written):
    path = written(FULL)
    assert refusal(remove_user, path, "alcie").endswith("there is no user alcie; did you mean alice?")
    assert refusal(remove_user, path, "zzz").endswith("there is no user zzz")


def test_the_last_user_stays(written):
    path = written(MINIMAL)
    assert refusal(remove_user, path, "alice").endswith("alice is the only user; add another one first")
    assert path.read_text() == MINIMAL


def test_setting_a_key(written):
    path = written(FULL)
    set_key(path, "server.port", 8443)
    assert path.read_text() == FULL.replace("port = 443   # the", "port = 8443   # the")
    set_key(path, "general.modes.secure", value=True)
    assert load_config(path).config.general.modes.secure
    set_key(path, "default_dc", 3)
    set_key(path, "censorship.tls_domains", ["b.example"])
    assert load_config(path).config.censorship.domains == ("front.example.net", "b.example")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("server.port", 70000, "config.server.port: must be 0 to 65535"),
        ("server.port", "443", "config.server.port: expected int, got str"),
        ("server.prot", 1, "config.server.prot: unknown key; did you mean port?"),
        ("server.port.number", 1, "server.port is not a table"),
        ("access.users", {}, "config.access.users: nobody could connect"),
    ],
)
def test_an_invalid_result_is_not_written(written, key, value, message):
    path = written(FULL)
    assert refusal(set_key, path, key, value).startswith(message)
    assert path.read_text() == FULL


def test_a_file_that_is_no_toml_is_not_touched(written):
    path = written("[server\n")
    assert "line 1, column 8: not valid TOML" in refusal(add_user, path, "bob", BOBS_KEY)
    assert path.read_text() == "[server\n"


def test_includes_are_kept_and_seen(tmp_path):
    (tmp_path / "users.toml").write_text(f'alice = "{ALICE}"\n')
    (tmp_path / "front.toml").write_text('[censorship]\ntls_domain = "a.example"\n')
    path = tmp_path / "telemt.toml"
    text = '[access.users]\ninclude = "users.toml" # most of them\ninclude = "front.toml"\n'
    path.write_text(text)
    assert "there is a user alice already" in refusal(add_user, path, "alice", BOBS_KEY)
    # The new line would come after the included section and be part of it.
    assert "config.censorship.bob: unknown key" in refusal(add_user, path, "bob", BOBS_KEY)
    assert path.read_text() == text
    path.write_text('include = "front.toml"\n[access.users]\ninclude = "users.toml"\n')
    add_user(path, "bob", BOBS_KEY)
    assert path.read_text() == f'include = "front.toml"\n[access.users]\ninclude = "users.toml"\nbob = "{BOB}"\n'
    assert "alice stands in an included file" in refusal(remove_user, path, "alice")
    remove_user(path, "bob")
    assert users(path) == {"alice"}


def test_an_edit_that_an_include_would_swallow_is_refused(tmp_path):
    (tmp_path / "conns.toml").write_text("[access.user_max_tcp_conns]\nalice = 1\n")
    path = tmp_path / "telemt.toml"
    text = f'[censorship]\ntls_domain = "a.example"\n[access.users]\nalice = "{ALICE}"\ninclude = "conns.toml"\n'
    path.write_text(text)
    assert "cannot be edited automatically" in refusal(add_user, path, "bob", BOBS_KEY)
    assert path.read_text() == text


def test_the_mode_is_kept(written):
    path = written(FULL)
    path.chmod(0o640)
    add_user(path, "bob", BOBS_KEY)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("code", "reason"),
    [(errno.EBUSY, "it is mounted by itself; mount the directory that holds it instead"), (errno.EROFS, "Read-only")],
)
def test_a_place_that_cannot_be_written_is_explained(written, monkeypatch, code, reason):
    def refuse(self, target):
        raise OSError(code, "Read-only file system")

    path = written(FULL)
    monkeypatch.setattr(type(path), "replace", refuse)
    assert f"{path}: cannot be written: {reason}" in refusal(add_user, path, "bob", BOBS_KEY)
    monkeypatch.undo()
    assert [entry.name for entry in path.parent.iterdir()] == ["telemt.toml"]


def test_the_result_is_toml_for_others_too(written):
    path = written(FULL)
    add_user(path, "bob.smith", BOBS_KEY)
    assert tomllib.loads(path.read_text())["access"]["users"]["bob.smith"] == BOB


def test_what_only_one_of_two_parsers_takes_is_edited_by_hand(written, monkeypatch):
    from tomlkit.exceptions import ParseError

    def refuse(_):
        raise ParseError(1, 1)

    path = written(FULL)
    monkeypatch.setattr("tomlkit.parse", refuse)
    assert "please edit it by hand" in refusal(add_user, path, "bob", BOBS_KEY)
    assert path.read_text() == FULL
