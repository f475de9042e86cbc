from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemt_trio.config.load import load_config, structure
from telemt_trio.config.schema import keys
from telemt_trio.config.values import HexKey, UpstreamType
from telemt_trio.errors import ConfigError

from .conftest import ALICE, BOB, MINIMAL

if TYPE_CHECKING:
    from pathlib import Path

json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10) | st.dates(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=10), below, max_size=3),
    max_leaves=5,
)


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return str(caught.value)


# ---------------------------------------------------------------- strictness


def test_a_minimal_file_loads_without_a_warning(written):
    path = written(MINIMAL)
    loaded = load_config(path)
    assert loaded.warnings == ()
    assert loaded.path == path
    assert loaded.config.access.users == {"alice": HexKey.parse(ALICE)}
    assert loaded.config == load_config(str(path)).config


def test_a_mapping_gives_the_same(written, minimal):
    assert structure(minimal) == load_config(written(MINIMAL)).config


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ({"server": {"port": "443"}}, "config.server.port: expected int, got str"),
        ({"server": {"port": True}}, "config.server.port: expected int, got bool"),
        ({"server": {"port": 443.0}}, "config.server.port: expected int, got float"),
        ({"server": {"port": 65536}}, "config.server.port: must be 0 to 65535"),
        ({"censorship": {"mask_port": 0}}, "config.censorship.mask_port: must be a port, 1 to 65535"),
        ({"general": {"fast_mode": "false"}}, "config.general.fast_mode: expected bool, got str"),
        ({"general": {"fast_mode": 1}}, "config.general.fast_mode: expected bool, got int"),
        ({"general": {"modes": {"tls": 1}}}, "config.general.modes.tls: expected bool, got int"),
        ({"general": {"log_level": "loud"}}, "config.general.log_level: must be one of debug, verbose, normal, silent"),
        ({"general": {"log_level": 1}}, "config.general.log_level: expected str, got int"),
        ({"general": 5}, "config.general: expected table, got int"),
        ({"general": {"links": []}}, "config.general.links: expected table, got array"),
        ({"general": {"links": {"show": "alice"}}}, 'config.general.links.show: must be "*" or an array of names'),
        ({"general": {"links": {"show": [1]}}}, "config.general.links.show[0]: expected str, got int"),
        ({"general": {"links": {"show": 1}}}, "config.general.links.show: expected array, got int"),
        ({"network": {"ipv6": "auto"}}, "config.network.ipv6: expected bool, got str"),
        ({"network": {"prefer": 4.0}}, "config.network.prefer: expected int, got float"),
        ({"network": {"dns_overrides": "a:1:1.2.3.4"}}, "config.network.dns_overrides: expected array, got str"),
        ({"network": {"dns_overrides": ["a:1:1.2.3.4", "b"]}}, "config.network.dns_overrides[1]: must be host:port:ip"),
        ({"server": {"listeners": {"ip": "::"}}}, "config.server.listeners: expected array, got table"),
        ({"server": {"listeners": [7]}}, "config.server.listeners[0]: expected table, got int"),
        ({"server": {"listeners": [{}]}}, "config.server.listeners[0].ip: missing"),
        ({"server": {"client_mss": 92}}, "config.server.client_mss: expected str, got int"),
        ({"censorship": {"tls_domains": "a.example"}}, "config.censorship.tls_domains: expected array, got str"),
        (
            {"censorship": {"tls_domain": "::1"}},
            "config.censorship.tls_domain: must be a domain name such as example.com",
        ),
        ({"censorship": {"fake_cert_len": 63}}, "config.censorship.fake_cert_len: must be 64 to 10240"),
        (
            {"censorship": {"mask_relay_timeout_ms": 0}},
            "config.censorship.mask_relay_timeout_ms: must be 1 to 86400000",
        ),
        ({"access": {"users": [ALICE]}}, "config.access.users: expected table, got array"),
        ({"access": {"users": {"bob": 7}}}, "config.access.users.bob: expected str, got int"),
        ({"access": {"user_enabled": {"bob": "no"}}}, "config.access.user_enabled.bob: expected bool, got str"),
        ({"access": 1}, "config.access: expected table, got int"),
        ({"upstreams": [{}]}, "config.upstreams[0].type: missing"),
        ({"upstreams": [{"type": "direct", "scopes": ["a"]}]}, "config.upstreams[0].scopes: expected str, got array"),
        ({"default_dc": 6}, "config.default_dc: must be 1 to 5"),
        ({"default_dc": True}, "config.default_dc: expected int, got bool"),
        ({"dc_overrides": {"2": [5]}}, "config.dc_overrides.2[0]: expected str, got int"),
        ({"dc_overrides": {"2": 5}}, "config.dc_overrides.2: expected array, got int"),
        ({"dc_overrides": {"2": "1.2.3.4"}}, "config.dc_overrides.2[0]: must be host:port"),
        ({"dc_overrides": 5}, "config.dc_overrides: expected table, got int"),
    ],
)
def test_a_mistake_is_named_with_its_path(problems, tables, problem):
    assert problems(**tables) == (problem,)


def test_rules_between_keys_have_the_path_of_their_section(problems):
    assert problems(general={"modes": {"tls": False}})[0].startswith("config.general.modes.tls: every mode is off")
    assert problems(network={"ipv4": False, "ipv6": False})[0].startswith("config.network.ipv4: both families")
    assert problems(upstreams=[{"type": "direct"}, {"type": "http"}]) == (
        "config.upstreams[1].address: missing; a http upstream needs the host:port of its proxy",
    )
    assert problems(censorship={"server_hello_delay_max_ms": 10_000}) == (
        "config.censorship.server_hello_delay_max_ms: must be less than timeouts.client_handshake",
    )


def test_all_mistakes_are_reported_at_once(problems):
    found = problems(
        server={"port": "443", "prot": 1, "listeners": [{"ip": "x", "port": -1}]},
        general={"fast_mode": 0, "modes": {"tls": False}},
        access={"users": {"bob": "short", "eve": 1}},
    )
    assert found == (
        "config.server.prot: unknown key; did you mean port?",
        "config.general.modes.tls: every mode is off, so nobody could connect: turn at least one on",
        "config.general.fast_mode: expected bool, got int",
        "config.server.port: expected int, got str",
        "config.server.listeners[0].ip: must be an IPv4 or IPv6 address",
        "config.server.listeners[0].port: must be 0 to 65535",
        "config.access.users.bob: a user's secret must be 32 hex characters: generate a new one",
        "config.access.users.eve: expected str, got int",
    )


def test_unknown_keys_are_reported_even_if_all_else_is_right(problems):
    assert problems(server={"prot": 1}) == ("config.server.prot: unknown key; did you mean port?",)


def test_an_empty_file_says_what_is_missing(written):
    assert refusal(written("")) == (
        "config.access.users: nobody could connect: `telemt-trio user add NAME` adds a user"
    )


def test_secrets_in_the_wrong_place_are_not_repeated(problems):
    found = problems(access={"users": {ALICE: "alice"}, BOB: 1}, upstreams=[{"type": "hunter2", "password": 5}])
    assert found
    for secret in (ALICE, BOB, "hunter2"):
        assert secret not in "".join(found)


@pytest.mark.filterwarnings("ignore:general.links.show names nobody", "ignore:access.user_enabled names nobody")
@settings(max_examples=400)
@given(path=st.sampled_from(list(keys())), value=json_like)
def test_any_value_in_any_place_is_taken_or_explained(path, value):
    document = {"censorship": {"tls_domain": "front.example.net"}, "access": {"users": {"alice": ALICE}}}
    here = document
    *tables, name = path.split(".")
    for table in tables:
        if table.endswith("[]"):
            here.setdefault(table[:-2], [{}])
            here = here[table[:-2]][0]
        else:
            here = here.setdefault(table, {})
    here[name] = value
    problems = ()
    try:
        structure(document)
    except ConfigError as error:
        problems = error.problems
    assert all(problem.startswith("config.") for problem in problems)


def test_values_made_in_code_are_taken(minimal):
    minimal["access"]["users"] = {"alice": HexKey.parse(ALICE)}
    minimal["upstreams"] = ({"type": UpstreamType.DIRECT},)
    assert structure(minimal).upstreams[0].type is UpstreamType.DIRECT


def test_an_embedder_is_warned_in_pythons_way(minimal):
    minimal["general"] = {"ad_tag": "x"}
    with pytest.warns(UserWarning, match=r"no effect in this release: general\.ad_tag"):
        structure(minimal)


# ---------------------------------------------------------------- advice


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("[access.user_enabled]\nbbo = false", "access.user_enabled names nobody in access.users: bbo"),
        ('[general.links]\nshow = ["alice", "bbo"]', "general.links.show names nobody in access.users: bbo"),
        ("[network]\nprefer = 6\nipv6 = false", "network.prefer is 6, but that family is off: the other one is used"),
    ],
)
def test_what_is_probably_not_meant_is_a_warning(written, text, warning):
    assert load_config(written(f"{MINIMAL}{text}\n")).warnings == (warning,)


# ---------------------------------------------------------------- files


def test_a_missing_file(tmp_path):
    assert refusal(tmp_path / "no.toml") == (
        f"{tmp_path}/no.toml: no such file; name another with -c, or let `telemt-trio run` write one"
    )


def test_a_directory(tmp_path):
    assert refusal(tmp_path) == f"{tmp_path}: is a directory; name the file in it"


def test_a_file_of_somebody_else(written, monkeypatch):
    path = written(MINIMAL)

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "read_bytes", refuse)
    assert "not readable for this user" in refusal(path)


def test_other_trouble_with_the_file(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert "cannot be read: Too many levels of symbolic links" in refusal(loop)
    assert "cannot be read: embedded null byte" in refusal(tmp_path / "a\0b")


def test_text_that_is_not_utf8(tmp_path):
    path = tmp_path / "telemt.toml"
    path.write_bytes(b"# one\n# two \xff\n")
    assert refusal(path) == f"{path}, line 2: not UTF-8 text; save the file as UTF-8"


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path):
    path = tmp_path / "telemt.toml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert load_config(path).config.access.users


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[server]\nport = \n", ", line 2, column 8: not valid TOML: invalid value"),
        ("[server]\nport = 1\nport = 2\n", ", line 3, column 9: not valid TOML: cannot overwrite a value"),
        ("[server\n", ", line 1, column 8: not valid TOML: expected ']' at the end of a table declaration"),
        ('a = """', ": not valid TOML: unterminated string at its end; a quote or bracket may not be closed"),
        ("a = " + "[" * 5000, ": not valid TOML: values nested too deep"),
    ],
)
def test_bad_toml_is_located(written, text, where):
    path = written(text)
    assert refusal(path) == f"{path}{where}"


@given(st.binary(max_size=200) | st.text("[]=\"'\n\t#.abc123{},\\ ", max_size=60).map(str.encode))
def test_any_bytes_are_a_configuration_or_a_sentence(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert caught.value.problems


# ---------------------------------------------------------------- includes


def test_an_include_stands_for_the_text_of_its_file(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "users.toml").write_text(f'alice = "{ALICE}"\ninclude = "more.toml"\n')
    (tmp_path / "parts" / "more.toml").write_text(f'bob = "{BOB}"\n')
    path = tmp_path / "telemt.toml"
    path.write_text(
        '[censorship]\ntls_domain = "a.example"\n[access.users]\n'
        "include = 'parts/users.toml' # everybody\n[server]\nport = 1\n"
    )
    config = load_config(path).config
    assert set(config.access.users) == {"alice", "bob"}
    assert config.server.port == 1


def test_a_mistake_in_an_included_file_is_located_there(tmp_path):
    (tmp_path / "users.toml").write_text("\n\nalice = oops\n")
    path = tmp_path / "telemt.toml"
    path.write_text('[access.users]\ninclude = "users.toml"\n[server]\nport = 1\n')
    assert refusal(path).startswith(f"{tmp_path}/users.toml, line 3, column 9: not valid TOML")
    (tmp_path / "users.toml").write_text(f'alice = "{ALICE}"\n')
    path.write_text('[access.users]\ninclude = "users.toml"\n[server]\nport = oops\n')
    assert refusal(path).startswith(f"{path}, line 4, column 8: not valid TOML")


def test_a_missing_include_says_who_wanted_it(tmp_path):
    path = tmp_path / "telemt.toml"
    path.write_text('\ninclude = "users.toml"\n')
    message = refusal(path)
    assert message.startswith(f"{tmp_path}/users.toml: no such file")
    assert message.endswith(f"(included by {path}, line 2)")


def test_includes_nest_ten_deep(tmp_path):
    for depth in range(10):
        (tmp_path / f"{depth}.toml").write_text(f'include = "{depth + 1}.toml"\n')
    (tmp_path / "10.toml").write_text(MINIMAL)
    assert load_config(tmp_path / "0.toml").config.access.users
    (tmp_path / "10.toml").write_text('include = "11.toml"\n')
    (tmp_path / "11.toml").write_text(MINIMAL)
    assert "nested deeper than 10" in refusal(tmp_path / "0.toml")


def test_a_file_that_includes_itself(written):
    assert "does a file include itself?" in refusal(written('include = "telemt.toml"\n'))


def test_a_user_may_be_called_include(written):
    path = written(f'[censorship]\ntls_domain = "a.example"\n[access.users]\ninclude = "{ALICE}"\n')
    assert set(load_config(path).config.access.users) == {"include"}


def test_a_list_of_includes_is_explained_as_unknown(written):
    assert "config.include: unknown key" in refusal(written(f'include = ["a", "b"]\n{MINIMAL}'))


def test_the_working_directory_does_not_matter(tmp_path, monkeypatch):
    (tmp_path / "users.toml").write_text(MINIMAL)
    (tmp_path / "telemt.toml").write_text('include = "users.toml"')
    monkeypatch.chdir(os.sep)
    assert load_config(tmp_path / "telemt.toml").config.access.users


def test_an_include_that_is_not_text_is_named_itself(tmp_path):
    (tmp_path / "users.toml").write_bytes(b"\xff")
    path = tmp_path / "telemt.toml"
    path.write_text('include = "users.toml"')
    assert refusal(path) == f"{tmp_path}/users.toml, line 1: not UTF-8 text; save the file as UTF-8"


def test_a_bug_in_a_reader_is_not_taken_for_a_mistake(minimal, monkeypatch):
    def fail(self):
        raise ZeroDivisionError

    monkeypatch.setattr("telemt_trio.config.model_server.NetworkConfig.__attrs_post_init__", fail)
    minimal["network"] = {"prefer": 6}
    with pytest.raises(ZeroDivisionError):
        structure(minimal)
