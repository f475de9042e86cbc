"""Which upstream a connection takes, and what was learned about each. Pure: no clock, no sockets, dice passed in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence

    from telemt_trio.upstream.datacenters import DcTarget
    from telemt_trio.upstream.settings import FamilyPolicy, UpstreamSettings

__all__ = ["LatencyTable", "UpstreamState", "candidates", "choose", "latency_factor", "scope_of", "watched"]

_SCOPED_NAME = re.compile(r"scope_([A-Za-z0-9-]{1,64})")

EMA_ALPHA = 0.3  # the weight of the newest measurement


def scope_of(user_name: str) -> str | None:
    """The scope that a user name of the form ``scope_<hint>`` selects; None for every other name.

    The hint is 1 to 64 letters, digits and hyphens; a name with another hint counts as a name without a scope.
    """
    match = _SCOPED_NAME.fullmatch(user_name)
    return None if match is None else match[1]


@attrs.define
class LatencyTable:
    """Connect times of one upstream: an exponential moving average in seconds for each datacenter."""

    _averages: dict[int, float] = attrs.field(factory=dict)

    def update(self, cluster: int, seconds: float) -> None:
        """Take a measurement in; the first one counts whole."""
        before = self._averages.get(cluster)
        self._averages[cluster] = seconds if before is None else before + EMA_ALPHA * (seconds - before)

    def of(self, cluster: int) -> float | None:
        """Seconds to this datacenter, or the mean over the measured ones, or None before the first measurement."""
        known = self._averages.get(cluster)
        if known is None and self._averages:
            return sum(self._averages.values()) / len(self._averages)
        return known


@attrs.define(eq=False)
class UpstreamState:
    """One upstream in a running proxy: its settings, its health, and what was learned about it.

    ``fails`` counts failed connect cycles in a row. ``families`` is what may be used; ``learned`` says for which
    datacenters the family that is not preferred has to be used (4 or 6), because the preferred one does not answer.
    ``targets`` caches resolved indexes; it is valid as long as nothing new is learned.
    """

    index: int
    settings: UpstreamSettings
    families: FamilyPolicy
    healthy: bool = True
    fails: int = 0
    latency: LatencyTable = attrs.field(factory=LatencyTable)
    learned: dict[int, int] = attrs.field(factory=dict)
    targets: dict[int, DcTarget] = attrs.field(factory=dict)

    def prefer_v6(self, cluster: int) -> bool:
        """Is IPv6 the family for this datacenter? What was learned wins over the preference, if it is permitted."""
        learned = self.learned.get(cluster)
        if learned == 6 and self.families.ipv6:
            return True
        if learned == 4 and self.families.ipv4:
            return False
        return self.families.prefer_v6

    def learn_family(self, cluster: int, family: int | None) -> None:
        """Only ``family`` (4 or 6) answers for this datacenter; None: the preferred one does, or none at all."""
        if self.learned.get(cluster) == family:
            return
        if family is None:
            del self.learned[cluster]
        else:
            self.learned[cluster] = family
        self.targets.clear()

    def record_success(self) -> bool:
        """A connection was made. True if the upstream was unhealthy until now."""
        recovered = not self.healthy
        self.healthy = True
        self.fails = 0
        return recovered

    def record_failure(self, threshold: int) -> bool:
        """A whole cycle failed. True if that made the upstream unhealthy."""
        self.fails += 1
        if self.fails < threshold or not self.healthy:
            return False
        self.healthy = False
        return True


def candidates(states: Iterable[UpstreamState], scope: str | None) -> tuple[UpstreamState, ...]:
    """The enabled upstreams that serve ``scope``; without one, those that are reserved for no scope."""
    return tuple(
        state
        for state in states
        if state.settings.enabled and (scope in state.settings.scopes if scope else not state.settings.scopes)
    )


def watched(states: Iterable[UpstreamState]) -> tuple[UpstreamState, ...]:
    """The upstreams whose health is probed: the enabled ones without a scope, or all enabled if every one has a scope.

    A scoped upstream is left alone as long as it works: its proxy may charge for connections. Once it is unhealthy
    nothing but a probe brings it back while another one serves its scope, so then it is probed too.
    """
    enabled = tuple(state for state in states if state.settings.enabled)
    if all(state.settings.scopes for state in enabled):
        return enabled
    return tuple(state for state in enabled if not state.settings.scopes or not state.healthy)


def latency_factor(seconds: float) -> float:
    """1000 / milliseconds, and 1000 for anything up to a millisecond: half the latency, twice the share."""
    return 1000.0 if seconds <= 0.001 else 1.0 / seconds


def choose(choices: Sequence[UpstreamState], cluster: int, rng: random.Random) -> UpstreamState:
    """One of ``choices`` (at least one) for a connection to ``cluster``.

    Healthy upstreams come first; if there are none, any one may, without weights. Among several healthy ones the share
    is weight times :func:`latency_factor`. One whose latency is unknown gets the median factor of the known ones:
    with the factor 1.0 that other servers give it, a new upstream would be a hundred times less likely than one at
    10 ms, and could hardly ever be measured.
    """
    healthy = [state for state in choices if state.healthy]
    if not healthy:
        return rng.choice(choices)
    if len(healthy) == 1:
        return healthy[0]
    latencies = [state.latency.of(cluster) for state in healthy]
    usual = _median_factor(latencies) if None in latencies else 1.0
    weights = [
        state.settings.weight * (usual if seconds is None else latency_factor(seconds))
        for state, seconds in zip(healthy, latencies, strict=True)
    ]
    if not any(weights):
        return rng.choice(healthy)
    return rng.choices(healthy, weights)[0]


def _median_factor(latencies: Sequence[float | None]) -> float:
    import statistics  # 5 ms that only several upstreams need

    factors = [latency_factor(seconds) for seconds in latencies if seconds is not None]
    return statistics.median(factors) if factors else 1.0
