"""The watchdog of all relays of a proxy: one task, every 10 s, instead of a timer per relay.

A relay's pipes count what they move, so activity costs nothing per chunk: a sweep that sees the counts changed stamps
the relay with its own time. The stamp is at most one interval late, never early: after its last byte a relay lasts for
the timeout and at most one interval more (less than two, where the timeout is not a whole number of intervals).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import trio

from telemt_trio.relay.end import Ending, EndReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemt_trio.relay.both import Direction

__all__ = ["ACTIVITY_TIMEOUT", "SWEEP_INTERVAL", "Sweep", "Watched"]

SWEEP_INTERVAL: Final = 10.0
ACTIVITY_TIMEOUT: Final = 1800.0


@attrs.define(eq=False)
class Watched:
    """One relay under watch: how to end it, and its two directions with their live counts.

    ``seen`` is the byte count of the last sweep, ``active_at`` the time it last changed, ``started`` when the watch
    began.
    """

    ending: Ending
    up: Direction
    down: Direction
    started: float
    active_at: float
    seen: int = 0


class Sweep:
    """The relays of one proxy and the task that ends the idle ones. Times are seconds of the mono ``clock``."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        timeout: float = ACTIVITY_TIMEOUT,
        interval: float = SWEEP_INTERVAL,
    ) -> None:
        self._clock = clock
        self.timeout = max(1.0, timeout)
        self.interval = interval
        self._watched: set[Watched] = set()

    def __len__(self) -> int:
        return len(self._watched)

    def watch(self, ending: Ending, up: Direction, down: Direction) -> Watched:
        """Start to watch a relay; starting counts as activity. Pair with :meth:`forget`."""
        now = self._clock()
        watched = Watched(ending, up, down, now, now)
        self._watched.add(watched)
        return watched

    def forget(self, watched: Watched) -> None:
        """The relay is over."""
        self._watched.discard(watched)

    def sweep(self) -> None:
        """Look at every relay once."""
        now = self._clock()
        for watched in tuple(self._watched):
            moved = watched.up.bytes + watched.down.bytes
            if moved != watched.seen:
                watched.seen = moved
                watched.active_at = now
            elif now - watched.active_at >= self.timeout:
                watched.ending.end(EndReason.IDLE)

    async def run(self) -> None:
        """Sweep for ever, every ``interval`` seconds; a late tick is skipped, not made up for."""
        while True:
            await trio.sleep(self.interval)
            self.sweep()
