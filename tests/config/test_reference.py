from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from telemt_trio.config.compat import FOREIGN, RENAMED
from telemt_trio.config.reference import explain, markdown
from telemt_trio.config.schema import keys
from telemt_trio.errors import ConfigError

from .conftest import ENVIRONMENT

PAGE = Path(__file__).parents[2] / "docs" / "CONFIG_PARAMS.en.md"


def test_the_page_in_the_repository_is_fresh():
    assert PAGE.read_text() == markdown(), "stale: python -m telemt_trio.config.reference > docs/CONFIG_PARAMS.en.md"


def test_the_page_is_made_by_the_module():
    made = subprocess.run(
        [sys.executable, "-m", "telemt_trio.config.reference"],
        capture_output=True,
        check=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert made.stdout == markdown()


def test_every_key_has_a_row_in_its_section():
    sections = dict(part.split("\n", 1) for part in markdown().split("\n## ")[1:])
    for path, key in keys().items():
        table = path.rpartition(".")[0]
        heading = f"[[{table[:-2]}]]" if table.endswith("[]") else f"[{table}]" if table else "top level"
        assert f"| `{key.name}` |" in sections[heading]
    for old in RENAMED:
        assert f"`{old}`" in sections["Older names"]
    for path, names in FOREIGN.items():
        for name in names:
            assert f"`{name}`" in sections["Keys of telemt without effect"], path


def test_rows_tell_default_limits_and_telemts_default():
    page = markdown()
    assert "| `client_handshake` | integer, s | `10` | 1 to 3600 |  | From a client's first byte" in page
    assert "*telemt: 60* |" in page
    assert "| `drain_secs` | integer, s | `10` | 0 to 86400 |" in page
    assert "*not in telemt* |" in page
    assert '| `unknown_sni_action` | one of mask, drop, accept, reject_handshake | `"mask"` |' in page
    assert "| `users` | table of 32 hex digits | required |  | yes |" in page


@pytest.mark.parametrize("path", list(keys()))
def test_every_key_can_be_explained(path):
    text = explain(path)
    assert text.startswith(f"{path}\n  {keys()[path].about.doc}\n")
    assert text == explain(path.replace("[]", "")) == explain(f"config.{path}")


def test_an_explanation():
    assert explain("timeouts.client_keepalive").splitlines()[2:] == [
        "  type     integer, s",
        "  default  15",
        "  limits   1 to 32767",
        "  changes  with a restart",
    ]
    assert "  default  10 (telemt: 60)" in explain("timeouts.client_handshake")
    assert "  changes  without a restart, once files are reloaded" in explain("general.log_level")
    assert "  default  required" in explain("upstreams.type")


def test_the_end_of_a_path_is_enough():
    assert explain("listen_backlog") == explain("server.listen_backlog")
    both = explain("client_mss")
    assert "server.client_mss\n" in both
    assert "server.listeners[].client_mss\n" in both


@pytest.mark.parametrize(
    "name", ["server", "[server]", "upstreams", "[[upstreams]]", "server.listeners", "general.modes"]
)
def test_a_section_lists_its_keys(name):
    text = explain(name)
    assert text.startswith("[")
    assert len(text.splitlines()) > 3


@pytest.mark.parametrize(
    "name",
    ["general.ad_tag", "ad_tag", "server.api", "server.api.listen", "synlimit", "logging", "logging.path", "url"],
)
def test_a_key_of_telemt_without_effect(name):
    assert "A key of telemt that has no effect in this release." in explain(name)


def test_an_old_name():
    assert explain("show_link").startswith("show_link\n  An older name of general.links.show.\n\ngeneral.links.show\n")
    assert "An older name of server.listeners[].announce" in explain("server.listeners.announce_ip")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("prot", "there is no key prot; did you mean port?"),
        ("server.prot", "there is no key server.prot; did you mean server.port?"),
        ("xyzzy", "there is no key xyzzy"),
        ("", "there is no key "),
    ],
)
def test_an_unknown_name(name, message):
    with pytest.raises(ConfigError) as caught:
        explain(name)
    assert str(caught.value) == message
