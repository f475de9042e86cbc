"""Events as log lines: one line a fact, in an operator's words.

Nothing secret is ever in an event, and a client's address only where the operator asked for it. What happens all day
(strangers, sessions) is DEBUG or INFO; WARNING is what somebody should look at, ERROR is a bug.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from telemt_trio import events as e

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LogObserver"]

_LEVELS: Final[dict[type, int]] = {
    e.Listening: logging.INFO,
    e.NotListening: logging.INFO,
    e.Stopping: logging.INFO,
    e.AcceptPaused: logging.WARNING,
    e.ConnectionShed: logging.WARNING,
    e.HandshakeAccepted: logging.DEBUG,
    e.HandshakeRejected: logging.DEBUG,
    e.Masked: logging.DEBUG,
    e.MaskFailed: logging.WARNING,
    e.RouteFailed: logging.DEBUG,  # e.ConnectFailed says it, at a bounded rate
    e.RelayEnded: logging.DEBUG,
    e.UnexpectedError: logging.ERROR,
    e.ConnectFailed: logging.WARNING,
    e.UpstreamFailed: logging.WARNING,
    e.UpstreamRecovered: logging.INFO,
    e.DatacenterUnknown: logging.INFO,
}
# Causes that repeat are said once a minute each, with what was left out.
_REPEATING: Final = frozenset((e.MaskFailed,))
_REPEAT_AFTER: Final = 60.0


class LogObserver:
    """Writes events to ``logger``. ``clock`` (mono seconds) paces repeated warnings."""

    def __init__(self, logger: logging.Logger, clock: Callable[[], float]) -> None:
        self._logger = logger
        self._clock = clock
        self._said: dict[type, float] = {}

    def __call__(self, event: object) -> None:
        """Write ``event`` if its level is wanted. Never blocks on more than the logger's own handler."""
        level = _LEVELS.get(type(event), logging.DEBUG)
        if not self._logger.isEnabledFor(level):
            return
        if type(event) in _REPEATING:
            now = self._clock()
            if now < self._said.get(type(event), 0.0):
                return
            self._said[type(event)] = now + _REPEAT_AFTER
        error = event.error if isinstance(event, e.UnexpectedError) else None
        self._logger.log(level, "%s", describe(event), exc_info=error)


def describe(event: object) -> str:
    """One sentence for ``event``."""
    sentence = _SENTENCES.get(type(event))
    return str(event) if sentence is None else sentence(event)


def _ended(event: e.RelayEnded) -> str:
    return (
        f"#{event.connection} {event.user} out after {event.seconds:.1f} s: "
        f"{event.bytes_up} up, {event.bytes_down} down; {event.why.value}"
    )


def _rejected(event: e.HandshakeRejected) -> str:
    text = f"#{event.connection} is a stranger: {event.reason.value}"
    if event.skew is not None:
        text += f"; the clock of {event.user}'s client is {abs(event.skew)} s {'behind' if event.skew > 0 else 'ahead'}"
    return text


def _where(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


_SENTENCES: Final[dict[type, Callable[[Any], str]]] = {
    e.Listening: lambda v: f"listening on {_where(v.address, v.port)}",
    e.NotListening: lambda v: f"not listening on {_where(v.address, v.port)}: {v.error}",
    e.Stopping: lambda v: f"stopping: {v.relays} relays have {v.drain:g} s to finish",
    e.AcceptPaused: lambda v: f"cannot accept connections: {v.error} ({v.failures} times); raise the limit (ulimit -n)",
    e.ConnectionShed: lambda v: f"turned {v.total} connections away: server.max_connections = {v.limit} are open",
    e.HandshakeAccepted: lambda v: f"#{v.connection} {v.user} in ({v.mode.value}, datacenter {v.dc})",
    e.HandshakeRejected: _rejected,
    e.Masked: lambda v: f"#{v.connection} stranger served by the front: {v.bytes_up} up, {v.bytes_down} down",
    e.MaskFailed: lambda v: f"the front cannot be reached, strangers meet silence: {v.error}",
    e.RouteFailed: lambda v: f"#{v.connection} {v.user}: {v.error}",
    e.RelayEnded: _ended,
    e.UnexpectedError: lambda v: f"#{v.connection} ended by a bug; please report what follows",
    e.ConnectFailed: lambda v: f"datacenter {v.dc_idx} cannot be reached through upstream {v.label}: {v.reason}",
    e.UpstreamFailed: lambda v: f"upstream {v.label} is unhealthy: {v.reason}",
    e.UpstreamRecovered: lambda v: f"upstream {v.label} works again",
    e.DatacenterUnknown: lambda v: f"a client asked for unknown datacenter {v.dc_idx}; it gets {v.cluster}",
}
