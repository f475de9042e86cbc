"""The roads to Telegram in a running proxy: choose one, connect, keep account, look after their health."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import trio

from telemt_trio.errors import ConfigError, UpstreamError
from telemt_trio.events import ConnectFailed, DatacenterUnknown, UpstreamFailed, UpstreamRecovered
from telemt_trio.net.dial import connected, dial, finish_dial
from telemt_trio.upstream.choice import UpstreamState, candidates, choose, watched
from telemt_trio.upstream.datacenters import BUILT_IN_OVERRIDES, DcTarget, resolve_dc
from telemt_trio.upstream.direct import DirectRoad
from telemt_trio.upstream.failures import CONNECT_ERRORS, is_hard, is_ours, reason_of
from telemt_trio.upstream.health import PING_LIMIT, PROBE_EVERY, PROBE_LIMIT, PingReport, probe_upstream, verdict
from telemt_trio.upstream.proxied import ProxiedRoad
from telemt_trio.upstream.settings import KINDS, ConnectPolicy, FamilyPolicy, UpstreamSettings
from telemt_trio.upstream.unknown_dcs import MOST_INDEXES

if TYPE_CHECKING:
    import random
    import socket
    from collections.abc import Mapping, Sequence

    from telemt_trio.events import Observer
    from telemt_trio.net.dial import Address
    from telemt_trio.net.resolve import Resolves
    from telemt_trio.upstream.direct import Dial, Road
    from telemt_trio.upstream.health import ProbeResult
    from telemt_trio.upstream.unknown_dcs import UnknownDcLog

__all__ = ["Connected", "Upstreams"]

REPORT_EVERY = 5.0  # seconds between two ConnectFailed facts


@attrs.frozen
class Connected:
    """A connection to a datacenter. The ``socket`` is plain, non-blocking, has TCP_NODELAY, and is the caller's."""

    socket: socket.socket
    upstream_index: int
    target: DcTarget


class Upstreams:
    """Every upstream of one proxy.

    ``settings`` in the configuration's order (none means one direct upstream), ``network`` the proxy-wide family
    policy, ``overrides`` and ``default_dc`` as :func:`telemt_trio.upstream.datacenters.resolve_dc` wants them. Facts go
    to ``emit``, which must not block or raise. Has no tasks: the owner runs :meth:`run_health` in a nursery. Raises
    ConfigError when a setting cannot work.

    The counters are plain attributes for the metrics collector: ``attempts`` (single connects), ``successes`` and
    ``failures`` (whole cycles), ``failfast_stops`` (cycles that an error ended early).
    """

    def __init__(
        self,
        settings: Sequence[UpstreamSettings] = (),
        *,
        resolver: Resolves,
        rng: random.Random,
        policy: ConnectPolicy | None = None,
        network: FamilyPolicy | None = None,
        overrides: Mapping[int, Sequence[Address]] = BUILT_IN_OVERRIDES,
        default_dc: int | None = None,
        emit: Observer | None = None,
        unknown_log: UnknownDcLog | None = None,
        dial: Dial = dial,
    ) -> None:
        network = network or FamilyPolicy()
        self.policy = policy or ConnectPolicy()
        self.states: tuple[UpstreamState, ...] = tuple(
            UpstreamState(index, upstream, network.narrowed(upstream))
            for index, upstream in enumerate(settings or (UpstreamSettings(),))
        )
        self.attempts = self.successes = self.failures = self.failfast_stops = 0
        self._roads: tuple[Road, ...] = tuple(_road(state.settings, resolver, dial) for state in self.states)
        self._overrides = overrides
        self._default_dc = default_dc
        self._rng = rng
        self._emit = emit or _unheard
        self._unknown_log = unknown_log
        self._unknown_seen: set[int] = set()
        self._choices: dict[str | None, tuple[UpstreamState, ...]] = {None: candidates(self.states, None)}
        self._attempt_limit = min(self.policy.per_attempt, self.policy.budget_ms / 1000)
        self._next_report = float("-inf")
        self._unreported = 0

    async def connect(self, dc_idx: int, *, scope: str | None = None) -> Connected:
        """Connect to the datacenter that a client asked for by its signed index.

        One upstream is chosen among those that serve ``scope`` and tried as often, and as long, as the policy allows.
        Raises UpstreamError with one sentence: the index and what went wrong, never who asked. Cancellation leaves
        nothing open and counts as neither success nor failure.
        """
        # This stands in the way of every handshake. What happens to nearly every connection (one upstream, a known
        # index, the first attempt succeeds) costs one cancel scope and two dictionary look-ups around the dial.
        state = self._choose(dc_idx, scope)
        target = state.targets.get(dc_idx) or await self._find_target(state, dc_idx)
        road = self._roads[state.index]
        started = trio.current_time()
        failure: Exception | None = None
        sock: socket.socket | None = None
        self.attempts += 1
        try:
            begun = road.begin(target.address)
            if begun is not None and connected(begun):
                sock = begun  # nothing to wait for: a cancel scope would cost as much as the connection
            else:
                with trio.CancelScope(deadline=started + self._attempt_limit):
                    sock = await (road.connect(target.address, scope=scope) if begun is None else finish_dial(begun))
        except CONNECT_ERRORS as error:
            failure = error
        now = trio.current_time()
        if sock is None:
            sock, started = await self._try_again(state, target, scope, started, failure)
            now = trio.current_time()
        self.successes += 1
        state.latency.update(target.cluster, now - started)
        if (state.fails or not state.healthy) and state.record_success():
            self._emit(UpstreamRecovered(state.index, state.settings.label))
        return Connected(sock, state.index, target)

    def _choose(self, dc_idx: int, scope: str | None) -> UpstreamState:
        choices = self._choices.get(scope)
        if choices is None:
            choices = candidates(self.states, scope)
            if choices:  # scopes come out of user names: remember those that the configuration knows
                self._choices[scope] = choices
        if len(choices) == 1:
            return choices[0]
        if not choices:
            wanted = "is enabled" if scope is None else f"serves the scope {scope!r}"
            raise UpstreamError(f"datacenter {dc_idx} cannot be reached: no upstream {wanted}")
        return choose(choices, self._target(dc_idx, prefer_v6=False).cluster, self._rng)

    def _target(self, dc_idx: int, *, prefer_v6: bool) -> DcTarget:
        return resolve_dc(dc_idx, overrides=self._overrides, default_dc=self._default_dc, prefer_v6=prefer_v6)

    async def _find_target(self, state: UpstreamState, dc_idx: int) -> DcTarget:
        """Resolve ``dc_idx`` for this upstream's family; remember it if a table knows it, report it if none does."""
        cluster = self._target(dc_idx, prefer_v6=False).cluster
        target = self._target(dc_idx, prefer_v6=state.prefer_v6(cluster))
        if target.known:
            state.targets[dc_idx] = target
        elif dc_idx not in self._unknown_seen and len(self._unknown_seen) < MOST_INDEXES:
            problem = None if self._unknown_log is None else await self._unknown_log.record(dc_idx)
            if dc_idx not in self._unknown_seen:  # another client may have asked meanwhile
                self._unknown_seen.add(dc_idx)
                self._emit(DatacenterUnknown(dc_idx, target.cluster, problem))
        return target

    async def _try_again(
        self, state: UpstreamState, target: DcTarget, scope: str | None, started: float, failure: Exception | None
    ) -> tuple[socket.socket, float]:
        """The rest of a cycle whose first attempt failed. Returns a socket and when its attempt began, or raises."""
        end = started + self.policy.budget_ms / 1000
        road = self._roads[state.index]
        made = 1
        while made < self.policy.attempts and not is_ours(failure):
            if self.policy.failfast and is_hard(failure):
                self.failfast_stops += 1
                break
            base = self.policy.backoff_ms
            pause = (base + self._rng.randint(0, base // 2)) / 1000
            if trio.current_time() + pause >= end:
                break
            await trio.sleep(pause)
            began = trio.current_time()
            made += 1
            self.attempts += 1
            failure = None
            with trio.CancelScope(deadline=min(began + self.policy.per_attempt, end)):
                try:
                    return await road.connect(target.address, scope=scope), began
                except CONNECT_ERRORS as error:
                    failure = error
        raise self._failed(state, target, failure, made)

    def _failed(self, state: UpstreamState, target: DcTarget, failure: Exception | None, made: int) -> UpstreamError:
        """Account for a failed cycle and put it into words."""
        reason = reason_of(failure)
        self.failures += 1
        # A shortage in this process says nothing about the road.
        if not is_ours(failure) and state.record_failure(self.policy.fail_threshold):
            self._emit(UpstreamFailed(state.index, state.settings.label, reason))
        now = trio.current_time()
        if now >= self._next_report:
            self._next_report = now + REPORT_EVERY
            self._emit(ConnectFailed(state.index, state.settings.label, target.dc_idx, reason, self._unreported))
            self._unreported = 0
        else:
            self._unreported += 1
        attempts = "1 attempt" if made == 1 else f"{made} attempts"
        way = f"upstream {state.settings.label}"
        return UpstreamError(f"datacenter {target.dc_idx} cannot be reached through {way}: {reason} ({attempts})")

    async def run_health(self) -> None:
        """Probe the upstreams every 30 seconds and mark them healthy or not. Runs until it is cancelled."""
        turn = 0
        while True:
            await trio.sleep(PROBE_EVERY)
            await self._probe(watched(self.states), limit=PROBE_LIMIT, turn=turn, thorough=False)
            turn += 1

    async def ping_all(self) -> PingReport:
        """Probe every enabled upstream once, over every permitted family. Takes at most 10 seconds."""
        enabled = [state for state in self.states if state.settings.enabled]
        results = await self._probe(enabled, limit=PING_LIMIT, turn=0, thorough=True)
        return PingReport(tuple(results))

    async def _probe(
        self, states: Sequence[UpstreamState], *, limit: float, turn: int, thorough: bool
    ) -> list[ProbeResult]:
        found: list[ProbeResult] = []

        async def probe(state: UpstreamState) -> None:
            road = self._roads[state.index]
            results = await probe_upstream(state, road, self._overrides, limit=limit, turn=turn, thorough=thorough)
            found.extend(results)
            self._judge(state, results)

        async with trio.open_nursery() as nursery:
            for state in states:
                nursery.start_soon(probe, state)
        return sorted(found, key=lambda result: result.upstream)

    def _judge(self, state: UpstreamState, results: Sequence[ProbeResult]) -> None:
        healthy = verdict(results)
        if healthy and state.record_success():
            self._emit(UpstreamRecovered(state.index, state.settings.label))
        elif healthy is False and state.healthy:
            state.healthy = False
            reason = next((result.reason for result in results if result.reason), "timed out")
            self._emit(UpstreamFailed(state.index, state.settings.label, reason))


def _road(settings: UpstreamSettings, resolver: Resolves, dial: Dial) -> Road:
    if settings.kind not in KINDS:
        raise ConfigError(f"upstream type {settings.kind!r}: expected one of {', '.join(KINDS)}")
    if settings.kind == "direct":
        return DirectRoad(settings, dial=dial)
    return ProxiedRoad(settings, resolver=resolver, dial=dial)


def _unheard(_fact: object) -> None:
    """Where facts go that nobody observes."""
