from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from telemt_trio.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ALICE = "8f1c2d3e4b5a69788796a5b4c3d2e1f0"

CONFIG = f"""\
[general.links]
public_host = "proxy.example.net"

[censorship]
tls_domain = "front.example.net"

[access.users]
alice = "{ALICE}" # the first
"""


@pytest.fixture
def telemt(capsys) -> Callable[..., tuple[int, str, str]]:
    """Run a command line: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(one) for one in arguments])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def file(tmp_path, monkeypatch) -> Path:
    """A good telemt.toml in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "telemt.toml"
    path.write_text(CONFIG)
    path.chmod(0o600)
    return path
