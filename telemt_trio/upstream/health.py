"""Whether Telegram can be reached on a road: probes of its datacenters, and what they say about an upstream.

A probe is a connection that is closed as soon as it stands. An upstream is healthy if it reaches three datacenters (or
all, where the operator's tables know fewer): one that is down is Telegram's affair, three that do not answer are the
road's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import trio

from telemt_trio.net.sockets import close_socket
from telemt_trio.upstream.datacenters import endpoints_of, groups
from telemt_trio.upstream.failures import CONNECT_ERRORS, is_ours, reason_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemt_trio.net.dial import Address
    from telemt_trio.upstream.choice import UpstreamState
    from telemt_trio.upstream.direct import Road

__all__ = ["PING_LIMIT", "PROBE_EVERY", "PROBE_LIMIT", "PingReport", "ProbeResult", "probe_upstream", "verdict"]

PROBE_EVERY = 30.0  # seconds between rounds
PROBE_LIMIT = 10.0  # seconds for one connection in a round
PING_LIMIT = 5.0  # the same at start-up, where somebody waits for the answer
ENOUGH_DATACENTERS = 3


@attrs.frozen
class ProbeResult:
    """One probe: ``seconds`` to connect, or the ``reason`` why not. ``ours``: this process ran short of something."""

    upstream: int
    label: str
    dc: int
    address: Address
    seconds: float | None
    reason: str | None = None
    ours: bool = False


@attrs.frozen
class PingReport:
    """What was found at start-up, every upstream to every datacenter over every permitted family."""

    results: tuple[ProbeResult, ...]

    @property
    def reachable(self) -> frozenset[int]:
        """The datacenters that answered on any upstream. Empty: Telegram cannot be reached."""
        return frozenset(result.dc for result in self.results if result.seconds is not None)

    @property
    def unreachable(self) -> frozenset[int]:
        """The datacenters that answered on none."""
        return frozenset(result.dc for result in self.results) - self.reachable


async def probe_upstream(
    state: UpstreamState,
    road: Road,
    overrides: Mapping[int, Sequence[Address]],
    *,
    limit: float,
    turn: int = 0,
    thorough: bool = False,
) -> list[ProbeResult]:
    """Probe every datacenter at the same time and let ``state`` learn latencies and families.

    The preferred family comes first; the other, if permitted, only when the first does not answer, or always when
    ``thorough``. Of several addresses of a family it is the ``turn``-th's turn. ``limit`` is seconds for each
    connection. Whether the upstream is healthy is left to :func:`verdict`.
    """
    results: list[ProbeResult] = []

    async def probe_group(dc: int) -> None:
        preferred = 6 if state.families.prefer_v6 else 4
        answered: set[int] = set()
        tried: set[int] = set()
        for family in (preferred, 10 - preferred):
            endpoints = [address for address in endpoints_of(dc, overrides) if (":" in address[0]) == (family == 6)]
            if not endpoints or not (state.families.ipv6 if family == 6 else state.families.ipv4):
                continue
            result = await _probe(state, road, dc, endpoints[turn % len(endpoints)], limit)
            results.append(result)
            tried.add(family)
            if result.seconds is not None:
                answered.add(family)
                state.latency.update(dc, result.seconds)
                if not thorough:
                    break
        only_other = preferred in tried and preferred not in answered and bool(answered)
        state.learn_family(dc, 10 - preferred if only_other else None)

    async with trio.open_nursery() as nursery:
        for dc in groups(overrides):
            nursery.start_soon(probe_group, dc)
    return sorted(results, key=lambda result: (result.dc, result.address))


async def _probe(state: UpstreamState, road: Road, dc: int, address: Address, limit: float) -> ProbeResult:
    failure: Exception | None = None
    started = trio.current_time()
    # A road whose users are told apart by scope knows no user without one.
    scope = min(state.settings.scopes, default=None)
    with trio.move_on_after(limit):
        try:
            sock = await road.connect(address, scope=scope)
        except CONNECT_ERRORS as error:
            failure = error
        else:
            seconds = trio.current_time() - started
            close_socket(sock)
            return ProbeResult(state.index, state.settings.label, dc, address, seconds)
    return ProbeResult(
        state.index, state.settings.label, dc, address, None, reason=reason_of(failure), ours=is_ours(failure)
    )


def verdict(results: Sequence[ProbeResult]) -> bool | None:
    """Is the upstream that these probes went through healthy? None: the probes failed on our side and say nothing."""
    asked = {result.dc for result in results}
    reached = {result.dc for result in results if result.seconds is not None}
    if asked and len(reached) >= min(ENOUGH_DATACENTERS, len(asked)):
        return True
    return None if not asked or any(result.ours for result in results) else False
