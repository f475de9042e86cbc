from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import telemt_trio
from telemt_trio.config.load import structure
from telemt_trio.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

ALICE = "8f1c2d3e4b5a69788796a5b4c3d2e1f0"
BOB = "0123456789abcdef0123456789abcdef"

# For interpreters of our own: the package under test, wherever the working directory is.
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(telemt_trio.__file__).parents[1])}

MINIMAL = f"""\
[censorship]
tls_domain = "front.example.net"

[access.users]
alice = "{ALICE}"
"""


@pytest.fixture
def minimal() -> dict[str, Any]:
    return {"censorship": {"tls_domain": "front.example.net"}, "access": {"users": {"alice": ALICE}}}


@pytest.fixture
def problems(minimal) -> Callable[..., tuple[str, ...]]:
    """What is wrong with a good configuration after one section was changed; `tables` go on top of it."""

    def find(**tables: Any) -> tuple[str, ...]:
        document = {**minimal}
        for name, value in tables.items():
            both = isinstance(value, dict) and isinstance(document.get(name), dict)
            document[name] = {**document[name], **value} if both else value
        try:
            structure(document)
        except ConfigError as error:
            return error.problems
        return ()

    return find


@pytest.fixture
def written(tmp_path) -> Callable[[str], Path]:
    """A telemt.toml with the given text."""

    def write(text: str) -> Path:
        path = tmp_path / "telemt.toml"
        path.write_bytes(text.encode())
        path.chmod(0o600)
        return path

    return write
