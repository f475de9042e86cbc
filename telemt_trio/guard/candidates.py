"""The order in which secrets are tried: who was here before comes first.

A hello does not say whose it is; the only way to know is to try keys. Most clients come back from where they were, so
what earlier successes taught (address, server name, network) makes the search O(1) for them, and only a newcomer costs
a walk over everybody.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from telemt_trio.guard.users import User, Users

__all__ = ["Candidates"]

_MAX_HINTS: Final = 65536
_RECENT: Final = 32


class Candidates:
    """Hints that earlier handshakes left, bounded, for one proxy.

    Peers and networks are opaque hashables: whatever the caller uses for an address and for the network it lies in.
    Hints name users, not table places, so they outlive a reload.
    """

    __slots__ = ("_network", "_peer", "_recent", "_server_name")

    def __init__(self) -> None:
        self._peer: dict[Hashable, str] = {}
        self._network: dict[Hashable, str] = {}
        self._server_name: dict[Hashable, str] = {}
        self._recent: deque[str] = deque(maxlen=_RECENT)

    def remember(self, user: User, *, peer: Hashable, network: Hashable, server_name: str | None) -> None:
        """A handshake of ``user`` succeeded."""
        _put(self._peer, peer, user.name)
        _put(self._network, network, user.name)
        if server_name is not None:
            _put(self._server_name, server_name.lower(), user.name)
        recent = self._recent
        if not recent or recent[-1] != user.name:
            recent.append(user.name)

    def hinted(self, users: Users, *, peer: Hashable, network: Hashable, server_name: str | None) -> list[User]:
        """The users worth trying first, best first, each once. Usually one or two."""
        names = [self._peer.get(peer)]
        if server_name is not None:
            names += (server_name, self._server_name.get(server_name.lower()))
        names.append(self._network.get(network))
        found: list[User] = []
        for name in names:
            user = users.get(name) if name is not None else None
            if user is not None and user not in found:
                found.append(user)
        alike = users.like(server_name) if server_name is not None else None
        if alike is not None and alike not in found:
            found.append(alike)
        return found

    def recent(self, users: Users) -> list[User]:
        """The users that succeeded last, the latest first, each once.

        A list of its own: another handshake may succeed while a search through it pauses.
        """
        names = dict.fromkeys(reversed(self._recent))
        return [user for user in map(users.get, names) if user is not None]

    def order(self, users: Users, hinted: list[User]) -> Iterator[User]:
        """Everybody, each once: ``hinted``, then the most recent, then the table."""
        tried: set[int] = set()
        for user in hinted:
            tried.add(user.number)
            yield user
        for recent in self.recent(users):
            if recent.number not in tried:
                tried.add(recent.number)
                yield recent
        for user in users.all:
            if user.number not in tried:
                yield user


def _put(hints: dict[Hashable, str], key: Hashable, name: str) -> None:
    """Remember, and start afresh rather than grow without end."""
    if len(hints) >= _MAX_HINTS and key not in hints:
        hints.clear()
    hints[key] = name
