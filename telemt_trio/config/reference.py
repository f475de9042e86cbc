"""The reference of all keys, made from the model: the page docs/CONFIG_PARAMS.en.md and ``config explain KEY``.

``python -m telemt_trio.config.reference > docs/CONFIG_PARAMS.en.md`` writes the page anew.
"""

import enum
import sys
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from telemt_trio.config.compat import FOREIGN, RENAMED, is_foreign, nearest
from telemt_trio.config.schema import Key, Table, keys, schema
from telemt_trio.config.values import (
    Cidr,
    DnsOverride,
    Domain,
    HexKey,
    Host,
    HostPort,
    Ip,
    Mss,
    Port,
    Scopes,
)
from telemt_trio.errors import ConfigError

__all__ = ["explain", "markdown"]

_WORDS: Final[Mapping[Any, str]] = {
    bool: "true or false",
    int: "integer",
    str: "text",
    Port: "port",
    Mss: "segment size as text",
    Ip: "address",
    Cidr: "network",
    Host: "host",
    Domain: "domain name",
    HexKey: "32 hex digits",
    HostPort: "host:port",
    DnsOverride: "host:port:ip",
    Scopes: "names, comma-separated text",
}

_INTRODUCTION: Final = """\
# Configuration parameters

<!-- Generated: python -m telemt_trio.config.reference > docs/CONFIG_PARAMS.en.md -->

`telemt.toml` is a [TOML](https://toml.io) file whose names are those of telemt. Values are never converted: `"443"` is
not `443`. `telemt-trio config check` reports every mistake in a file at once, `telemt-trio config explain KEY` says
what stands here, `telemt-trio config show` prints what holds, defaults included and secrets hidden.

A line `include = "other.toml"` stands for the text of that file, relative to the including one, ten deep at most.

*Hot* marks what a running proxy can take over without a new start once it reloads its file; this release reads the file
at start only. *telemt* in a meaning tells where telemt's default is another one, or that telemt does not have the key.
"""


def markdown() -> str:
    """The whole page."""
    return "\n".join(line for part in _page() for line in part)


def _page() -> Iterator[list[str]]:
    yield [_INTRODUCTION]
    for table in schema().walk():
        yield [f"## {_heading(table)}", "", _description(table), ""]
        yield ["| key | type | default | limits | hot | meaning |", "|---|---|---|---|---|---|"]
        yield [_row(key) for key in table.keys.values()]
        yield [""]
    yield ["## Older names", "", "Still read; the newer name wins if both are there.", ""]
    yield ["| old | new |", "|---|---|", *(f"| `{old}` | `{new}` |" for old, new in RENAMED.items()), ""]
    yield [
        "## Keys of telemt without effect",
        "",
        "Accepted, and listed in one warning. Tables stand for all of their keys.",
        "",
    ]
    for path, names in FOREIGN.items():
        yield [f"* {path or 'top level'}: " + ", ".join(f"`{name}`" for name in sorted(names))]
    yield [""]


def explain(name: str) -> str:
    """What is known about a key, a table, or a name of telemt's. Raises :class:`ConfigError` for anything else.

    The last part of a path is enough where it is unambiguous, and ``[]`` may be left out.
    """
    asked = name.strip().strip("[]").removeprefix("config.").replace("[]", "")
    known = {key.path.replace("[]", ""): key for key in keys().values()}
    if asked in known:
        return _explain_key(known[asked])
    for table in schema().walk():
        if asked and table.path.replace("[]", "") == asked:
            return _explain_table(table)
    tails = [path for path in known if path.endswith(f".{asked}")]
    if tails:
        return "\n\n".join(_explain_key(known[path]) for path in tails)
    for old, new in RENAMED.items():
        if old.replace("[]", "") in {asked, f"server.{asked}"}:
            return f"{old}\n  An older name of {new}.\n\n{_explain_key(keys()[new])}"
    foreign = [path for path in _foreign_paths() if path == asked or path.endswith(f".{asked}")]
    if foreign or is_foreign(asked):
        return f"{foreign[0] if foreign else asked}\n  A key of telemt that has no effect in this release."
    guess = nearest(asked, [*known, *(path.rpartition(".")[2] for path in known)])
    raise ConfigError(f"there is no key {name}" + (f"; did you mean {guess}?" if guess else ""))


def _foreign_paths() -> list[str]:
    return [f"{path}.{name}".lstrip(".").replace("[]", "") for path, names in FOREIGN.items() for name in names]


def _explain_key(key: Key) -> str:
    default = _default(key)
    if key.about.telemt:
        default += f" (telemt: {key.about.telemt})"
    rows = [("type", _kind(key)), ("default", default)]
    if key.limits:
        rows.append(("limits", key.limits))
    rows.append(("changes", "without a restart, once files are reloaded" if key.about.hot else "with a restart"))
    lines = "\n".join(f"  {name:<8} {text}" for name, text in rows)
    return f"{key.path}\n  {key.about.doc}\n{lines}"


def _explain_table(table: Table) -> str:
    width = max(len(name) for name in table.keys)
    lines = [f"  {name:<{width}}  {key.about.doc}" for name, key in table.keys.items()]
    return "\n".join([f"{_heading(table)}: {_description(table)}", *lines])


def _heading(table: Table) -> str:
    if table.path.endswith("[]"):
        return f"[[{table.path[:-2]}]]"
    return f"[{table.path}]" if table.path else "top level"


def _description(table: Table) -> str:
    if not table.path:
        return "Keys before the first section."
    first = (table.model.__doc__ or "").partition(": ")[2].partition("\n")[0]
    return first[:1].upper() + first[1:]


def _row(key: Key) -> str:
    meaning = key.about.doc
    if key.about.telemt:
        meaning += f" *telemt: {key.about.telemt}*"
    if key.about.ours:
        meaning += " *not in telemt*"
    default = _default(key)
    shown = default if key.about.shown or key.default is attrs.NOTHING else f"`{default}`"
    cells = (f"`{key.name}`", _kind(key), shown, key.limits or "", "yes" if key.about.hot else "", meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _kind(key: Key) -> str:
    words = _words(key.kind)
    return f"{words}, {key.unit}" if key.unit else words


def _words(kind: Any) -> str:
    if hasattr(kind, "__metadata__"):
        return _words(kind.__origin__)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "one of " + ", ".join(kind)
    arguments = [one for one in typing.get_args(kind) if one is not type(None)]
    origin = typing.get_origin(kind)
    if origin is tuple:
        return f"list of {_words(arguments[0])}"
    if origin is Mapping:
        return f"table of {_words(arguments[1])}"
    if origin is typing.Literal:
        return " or ".join(f'"{one}"' for one in arguments)
    return " or ".join(map(_words, arguments)) if arguments else _WORDS[kind]


def _default(key: Key) -> str:
    if key.default is attrs.NOTHING:
        return "required"
    if key.about.shown is not None:
        return key.about.shown
    value = key.default
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mss | Scopes | str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[]"
    return "{}" if isinstance(value, Mapping) else str(value)


if __name__ == "__main__":
    sys.stdout.write(markdown())
