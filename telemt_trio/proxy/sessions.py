"""The live sessions of a proxy, and what every user has moved so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemt_trio.events import EndReason
    from telemt_trio.relay.sweep import Watched

__all__ = ["Sessions", "UserTotals"]


@attrs.define
class UserTotals:
    """What a user moved since the proxy started: payload bytes and chunks, and how many sessions it had."""

    bytes_up: int = 0
    bytes_down: int = 0
    messages_up: int = 0
    messages_down: int = 0
    sessions: int = 0
    current: int = 0

    def _add(self, session: Watched) -> None:
        self.bytes_up += session.up.bytes
        self.bytes_down += session.down.bytes
        self.messages_up += session.up.messages
        self.messages_down += session.down.messages


class Sessions:
    """All live sessions of one proxy. Counting costs nothing per chunk: live directions are summed when asked."""

    def __init__(self) -> None:
        self._live: dict[str, set[Watched]] = {}
        self._settled: dict[str, UserTotals] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Watched]:
        for sessions in tuple(self._live.values()):
            yield from tuple(sessions)

    def add(self, user: str, session: Watched) -> None:
        """A relay of ``user`` starts."""
        self._live.setdefault(user, set()).add(session)
        self._settled.setdefault(user, UserTotals()).sessions += 1
        self._count += 1

    def remove(self, user: str, session: Watched) -> None:
        """A relay is over and its counts are settled."""
        live = self._live[user]
        live.remove(session)
        if not live:
            del self._live[user]
        self._settled[user]._add(session)  # noqa: SLF001  # one ledger, two classes
        self._count -= 1

    def end_all(self, why: EndReason) -> None:
        """End every relay."""
        for session in self:
            session.ending.end(why)

    def totals(self, user: str) -> UserTotals:
        """What ``user`` moved so far, live sessions included."""
        totals = attrs.evolve(self._settled.get(user, UserTotals()))
        for session in self._live.get(user, ()):
            totals._add(session)  # noqa: SLF001  # see remove
            totals.current += 1
        return totals

    def users(self) -> list[str]:
        """The users that had a session, sorted."""
        return sorted(self._settled)
