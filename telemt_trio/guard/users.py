"""The users of a proxy: who they are, and the indexes a handshake asks.

A user's key is prepared once: the two halves of its HMAC are hashed at load, so that one candidate of a search costs
two copies and two updates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from telemt_trio.wire.client_hello import HelloKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["User", "Users"]


@attrs.frozen(eq=False)
class User:
    """One user. ``number`` is its place in the table; ``name`` is the operator's word for it, never sent anywhere."""

    name: str
    number: int
    secret: bytes = attrs.field(repr=False)
    key: HelloKey = attrs.field(repr=False)


class Users:
    """The enabled users of one configuration, in its order. Immutable: a reload makes a new table."""

    __slots__ = ("_by_folded", "_by_name", "all", "keys")

    def __init__(self, secrets: Iterable[tuple[str, bytes]]) -> None:
        self.all = tuple(User(name, number, secret, HelloKey(secret)) for number, (name, secret) in enumerate(secrets))
        self.keys = tuple(user.key for user in self.all)
        self._by_name = {user.name: user for user in self.all}
        self._by_folded: dict[str, User] = {}
        for user in self.all:
            self._by_folded.setdefault(user.name.lower(), user)

    def __len__(self) -> int:
        return len(self.all)

    def __iter__(self) -> Iterator[User]:
        return iter(self.all)

    def get(self, name: str) -> User | None:
        """The user of exactly this name."""
        return self._by_name.get(name)

    def like(self, name: str) -> User | None:
        """The user of this name, whatever its case."""
        return self._by_folded.get(name.lower())
