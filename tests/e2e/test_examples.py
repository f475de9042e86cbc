from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import telemt_trio

ROOT = Path(__file__).parents[2]
# The package under test, wherever the working directory is.
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(telemt_trio.__file__).parents[1])}


@pytest.mark.parametrize("program", sorted(path.name for path in (ROOT / "examples").glob("*.py")))
def test_an_example_runs_to_its_end(program, tmp_path):
    ran = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-W", "error", ROOT / "examples" / program],
        capture_output=True,
        check=False,
        text=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
        timeout=20,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout
