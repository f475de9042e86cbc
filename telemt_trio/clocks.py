"""Two clocks, both passed in, so that a test owns time.

``mono`` (seconds, never goes back) drives timers and ages; ``unix`` (seconds since 1970) is what a ClientHello's
timestamp, replay retention and quota periods are measured against. Inner rooms never read a clock: they receive a
number.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Clocks", "system_clocks"]


@attrs.frozen
class Clocks:
    """The clocks of one proxy. Both are plain callables that return seconds and never raise."""

    mono: Callable[[], float]
    unix: Callable[[], float]


def system_clocks() -> Clocks:
    """The clocks of the trio run the caller is in: ``trio.current_time`` and ``time.time``.

    ``trio.current_time`` follows a ``MockClock``; the unix clock does not, so tests pass their own.
    """
    import trio

    return Clocks(mono=trio.current_time, unix=time.time)
