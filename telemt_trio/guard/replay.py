"""Each handshake counts once: a digest that was accepted before is a recording.

Claiming is one step, checked and stored without an await between, so that of two identical hellos in flight exactly one
is answered. Two domains (hellos, nonces) keep the same bytes apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HELLO_RETENTION", "ReplayGuard"]

# A hello stamped 120 s ahead stays valid for 240 s; half as much again, for clocks that are set meanwhile.
HELLO_RETENTION: Final = 360.0


class ReplayGuard:
    """Digests of one domain, oldest first, bounded by ``capacity`` and by age (``retention`` seconds of the mono
    clock).

    A hit does not refresh an entry. ``retention`` of 0 disables the guard: every claim succeeds.
    """

    __slots__ = ("_capacity", "_clock", "_retention", "_seen")

    def __init__(self, clock: Callable[[], float], *, capacity: int, retention: float) -> None:
        self._clock = clock
        self._capacity = max(1, capacity)
        self._retention = retention
        self._seen: dict[bytes, float] = {}  # insertion order is age order

    def __len__(self) -> int:
        return len(self._seen)

    def claim(self, digest: bytes) -> bool:
        """Take ``digest``; False when it was taken before and is still remembered."""
        if not self._retention:
            return True
        now = self._clock()
        seen = self._seen
        self._expire(now)
        if digest in seen:
            return False
        if len(seen) >= self._capacity:
            del seen[next(iter(seen))]
        seen[digest] = now
        return True

    def known(self, digest: bytes) -> bool:
        """Whether a claim would fail now, without claiming."""
        self._expire(self._clock())
        return digest in self._seen

    def _expire(self, now: float) -> None:
        seen = self._seen
        limit = now - self._retention
        while seen:
            oldest = next(iter(seen))
            if seen[oldest] >= limit:
                return
            del seen[oldest]
