"""Why a relay ended, and the one place where that is decided.

Whoever has a reason calls :meth:`Ending.end`; the first one wins and cancels both directions. Nobody infers a reason
from a ``Cancelled``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from telemt_trio.events import EndReason

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EndReason", "Ending", "Outcome"]


class Ending:
    """The end of one relay, before and after it came. ``why`` is None while the relay may still finish by itself."""

    __slots__ = ("_stop", "why")

    def __init__(self) -> None:
        self.why: EndReason | None = None
        self._stop: Callable[[], object] | None = None

    def end(self, why: EndReason) -> None:
        """End the relay for ``why`` unless it has ended already. Synchronous, callable from any task of the run."""
        if self.why is None:
            self.why = why
            if self._stop is not None:
                self._stop()

    def bind(self, stop: Callable[[], object]) -> None:
        """Say how both directions are stopped. An end that came before takes effect at once."""
        self._stop = stop
        if self.why is not None:
            stop()

    def release(self) -> None:
        """The relay is over; there is nothing left to stop."""
        self._stop = None


@attrs.frozen
class Outcome:
    """What a finished relay did: payload bytes and chunks in both directions, and why it ended."""

    why: EndReason
    bytes_up: int
    bytes_down: int
    messages_up: int
    messages_down: int
