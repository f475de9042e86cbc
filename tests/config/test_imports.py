from __future__ import annotations

import subprocess
import sys

import pytest

from .conftest import ENVIRONMENT

HEAVY = ("cattrs", "tomlkit", "trio", "click", "cryptography", "idna", "rich", "segno", "tomllib", "difflib")


def loaded_with(module: str) -> str:
    code = f"import sys, {module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, capture_output=True, check=True, text=True, env=ENVIRONMENT)  # noqa: S603 - ours
    return ran.stdout.strip()


@pytest.mark.parametrize("module", ["model", "values", "links", "effective"])
def test_the_model_costs_attrs_alone(module):
    assert loaded_with(f"telemt_trio.config.{module}") == ""


@pytest.mark.parametrize("module", ["load", "edit", "reference", "starter"])
def test_readers_and_writers_import_their_libraries_when_used(module):
    assert loaded_with(f"telemt_trio.config.{module}") in {"", "tomllib"}
