"""What a pipe asks before it reads: how much may come now, and if nothing, when to ask again.

A meter is asked before the read, so that no byte waits in the shared scratch buffer over a sleep and no reservation is
parked while a peer is silent: ``room``, the read and ``charge`` happen in one step without an await.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Meter"]


class Meter(Protocol):
    """A budget of payload bytes that may be shared by many pipes. All times are seconds of the mono clock."""

    def room(self, now: float) -> int:
        """Bytes that may be read now; 0 or less means not yet."""
        ...

    def ready_at(self, now: float) -> float:
        """When :meth:`room` will be positive again, at the earliest."""
        ...

    def charge(self, size: int) -> None:
        """``size`` bytes were taken: at most the room just told, or what a pipe was preloaded with."""
        ...

    def refund(self, size: int) -> None:
        """``size`` bytes that were charged will never be delivered."""
        ...
