"""The commands of ``telemt-trio``: the only place for signals, exit codes and what is printed.

Answering ``--version`` imports neither click nor trio; every other command imports what it needs when it runs.
"""

import sys
from collections.abc import Sequence

from telemt_trio._version import __version__

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (``sys.argv`` by default) and return the exit code: 0, 1, or 2 for a wrong use."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given in (["--version"], ["-V"]):
        print(f"telemt-trio {__version__}")
        return 0
    from telemt_trio.cli.app import run_app

    return run_app(given)
