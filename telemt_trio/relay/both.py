"""Both directions of a relay under one nursery, until the first reason to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import trio

from telemt_trio.relay.end import Ending, EndReason, Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Direction", "relay"]


class Direction(Protocol):
    """One direction, whatever drives it: :class:`telemt_trio.relay.pipe.Pipe` or ``copy.StreamPipe``."""

    bytes: int
    messages: int

    def settle(self) -> None:
        """The relay is over: make the counts final."""
        ...


D = TypeVar("D", bound=Direction)


async def relay(driver: Callable[[D], Awaitable[EndReason]], up: D, down: D, ending: Ending) -> Outcome:
    """Run ``up`` (client to datacenter) and ``down`` with ``driver`` until both are finished or one has a reason.

    A finished direction has passed its end on and the other goes on (half-close). Any other reason ends both at once,
    and so does ``ending.end()`` from outside. The ends stay open: whoever opened them closes them. A ``Cancelled`` from
    outside passes through, with the counts settled.
    """

    async def run(direction: D) -> None:
        why = await driver(direction)
        if why is not EndReason.FINISHED:
            ending.end(why)

    try:
        async with trio.open_nursery() as nursery:
            ending.bind(nursery.cancel_scope.cancel)
            nursery.start_soon(run, down)
            await run(up)
    finally:
        ending.release()
        up.settle()
        down.settle()
    return Outcome(ending.why or EndReason.FINISHED, up.bytes, down.bytes, up.messages, down.messages)
