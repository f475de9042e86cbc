"""A configuration written out as TOML: every key with the value that holds, defaults included."""

import enum
from collections.abc import Mapping
from typing import Any, Final

import attrs

from telemt_trio.config.model import ProxyConfig
from telemt_trio.config.setting import ABOUT, About
from telemt_trio.config.values import DnsOverride, HexKey, HostPort, Mss, Scopes

__all__ = ["HIDDEN", "effective_toml"]

HIDDEN: Final = "(hidden)"


def effective_toml(config: ProxyConfig, *, secrets: bool = False) -> str:
    """The whole configuration. Keys and passwords are replaced by ``(hidden)`` unless ``secrets`` is asked for.

    With secrets, the text read back gives an equal configuration.
    """
    import tomlkit

    return tomlkit.dumps(_plain(config, secrets=secrets))


def _plain(value: object, *, secrets: bool) -> Any:
    match value:
        case HexKey():
            return value.hex() if secrets else HIDDEN
        case HostPort() | DnsOverride() | Scopes() | Mss():
            return str(value)
        case enum.Enum():
            return value.value
        case bool():
            return value
        case int():
            return int(value)
        case str():
            return str(value)
        case tuple():
            return [_plain(one, secrets=secrets) for one in value]
        case Mapping():
            return {str(name): _plain(one, secrets=secrets) for name, one in value.items()}
    return _section(value, secrets=secrets)


def _section(section: Any, *, secrets: bool) -> dict[str, Any]:
    made = {}
    for field in attrs.fields(type(section)):
        value = getattr(section, field.name)
        about: About | None = field.metadata.get(ABOUT)
        if value is None or (about is None and value == ()):
            continue
        made[field.name] = HIDDEN if about and about.secret and not secrets else _plain(value, secrets=secrets)
    return made
