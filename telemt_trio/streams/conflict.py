"""One task at a time, per direction: the rule of trio's streams, kept by each adapter for itself."""

from __future__ import annotations

from typing import final

import trio

__all__ = ["ConflictDetector"]


@final
class ConflictDetector:
    """A block that one task at a time may be in. The second gets :class:`trio.BusyResourceError`, the first goes on.

    trio has the same, but keeps it private.
    """

    __slots__ = ("_held", "_message")

    def __init__(self, message: str) -> None:
        self._message = message
        self._held = False

    def __enter__(self) -> None:
        if self._held:
            raise trio.BusyResourceError(self._message)
        self._held = True

    def __exit__(self, *_: object) -> None:
        self._held = False
