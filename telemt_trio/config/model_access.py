"""The section ``[access]``: who may come in."""

import re
from collections.abc import Mapping
from typing import Final

import attrs

from telemt_trio.config.setting import about, frozen_map, positive
from telemt_trio.config.values import HexKey, Seconds
from telemt_trio.errors import ConfigError

__all__ = ["AccessConfig"]

_LIKE_A_KEY: Final = re.compile(r"[0-9a-fA-F]{32,}")


# A type checker does not see through a generic converter: an embedder's dict has to fit these.
def _keys(users: Mapping[str, HexKey]) -> Mapping[str, HexKey]:
    return frozen_map(users)


def _switches(users: Mapping[str, bool]) -> Mapping[str, bool]:
    return frozen_map(users)


@attrs.frozen(kw_only=True)
class AccessConfig:
    """``[access]``: users and the rules that hold for all of them. At least one user, no two with the same secret."""

    users: Mapping[str, HexKey] = attrs.field(
        converter=_keys,
        metadata=about("Users and their secrets: name = 32 hex digits.", hot=True, telemt="{default = zeros}"),
    )
    user_enabled: Mapping[str, bool] = attrs.field(
        factory=dict,
        converter=_switches,
        metadata=about("name = false keeps a user out without forgetting the secret.", hot=True),
    )
    replay_check_len: int = attrs.field(
        default=65_536,
        validator=positive(),
        metadata=about("How many handshakes are remembered, so that a recorded one is not answered again."),
    )
    replay_window_secs: Seconds = attrs.field(
        default=120,
        validator=positive(),
        metadata=about("How long a handshake is remembered."),
    )
    ignore_time_skew: bool = attrs.field(
        default=False,
        metadata=about("Let clients in whose clock is wrong; their handshakes can then be replayed once forgotten."),
    )

    def __attrs_post_init__(self) -> None:
        if not self.users:
            raise ConfigError("users: nobody could connect: `telemt-trio user add NAME` adds a user")
        problems = [
            "users: a name looks like a secret: write name = secret, not the other way round"
            for name in self.users
            if _LIKE_A_KEY.fullmatch(name)
        ]
        problems += [
            "users: a name has 1 to 64 printable characters, none of them at the ends a blank"
            for name in self.users
            if not (0 < len(name) <= 64 and name.isprintable() and name == name.strip())
        ]
        owners: dict[bytes, str] = {}
        for name, secret in self.users.items():
            other = owners.setdefault(secret.key, name)
            if other != name:
                problems.append(f"users: {other} and {name} have the same secret: give one of them a new one")
        if problems:
            raise ConfigError(*problems)

    def is_enabled(self, name: str) -> bool:
        """Whether a user who is known may come in."""
        return self.user_enabled.get(name, True)
