"""Changes to telemt.toml that leave its comments and its order alone.

Each function reads the file, changes it in memory, reads the result as strictly as at start, and only then replaces the
file in one step. Includes are seen but not edited. Nothing is locked: whoever may edit twice at a time has to.
"""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from telemt_trio.config.compat import nearest
from telemt_trio.config.load import load_text
from telemt_trio.config.source import INCLUDE, parse_files, read_text
from telemt_trio.errors import ConfigError
from telemt_trio.store.files import write_atomic

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

    from telemt_trio.config.values import HexKey

__all__ = ["add_user", "remove_user", "set_key"]

# An include is text, not TOML: two of them would be the same key twice. While the file is edited they are comments.
_MASK: Final = "#telemt-trio-include:"


def add_user(path: Path, name: str, key: "HexKey") -> None:
    """Add ``name`` at the end of ``[access.users]``. Raises :class:`ConfigError` if the name or the key is taken."""
    if name in _users(parse_files(path)):
        raise ConfigError(f"{path}: there is a user {name} already; choose another name or remove that one first")

    def change(document: "TOMLDocument") -> None:
        _descend(document, ["access", "users"])[name] = key.hex()

    _edit(path, change, lambda raw: _users(raw).get(name) == key.hex())


def remove_user(path: Path, name: str) -> None:
    """Remove ``name`` from every table of ``[access]``, and from the users whose links are shown."""
    users = _users(parse_files(path))
    if name not in users:
        guess = nearest(name, list(users))
        raise ConfigError(f"{path}: there is no user {name}" + (f"; did you mean {guess}?" if guess else ""))
    if len(users) == 1:
        raise ConfigError(f"{path}: {name} is the only user; add another one first")

    def change(document: "TOMLDocument") -> None:
        access: Any = document.get("access", {})
        if name not in access.get("users", {}):
            raise ConfigError(f"{path}: {name} stands in an included file; remove it there")
        for table in list(access):
            if (table == "users" or table.startswith("user_")) and isinstance(access[table], dict):
                access[table].pop(name, None)
        show: Any = document.get("general", {}).get("links", {}).get("show")
        if isinstance(show, list) and name in show:
            show.remove(name)

    _edit(path, change, lambda raw: name not in _users(raw))


def set_key(path: Path, key: str, value: object) -> None:
    """Set one key, such as ``server.port``, to a value that TOML can hold. Arrays of tables have no names here."""
    *tables, last = key.split(".")

    def change(document: "TOMLDocument") -> None:
        _descend(document, tables)[last] = value

    def holds(raw: Any) -> bool:
        for name in tables:
            raw = raw[name]
        return bool(raw[last] == value)

    _edit(path, change, holds)


def _users(raw: dict[str, Any]) -> dict[str, Any]:
    access = raw.get("access")
    users = access.get("users") if isinstance(access, dict) else None
    return users if isinstance(users, dict) else {}


def _descend(document: "TOMLDocument", names: list[str]) -> Any:
    import tomlkit

    table: Any = document
    for depth, name in enumerate(names, 1):
        if name not in table:
            table[name] = tomlkit.table(is_super_table=depth < len(names))
        table = table[name]
        if not isinstance(table, dict):
            raise ConfigError(f"{'.'.join(names[:depth])} is not a table")
    return table


def _edit(path: Path, change: "Callable[[TOMLDocument], None]", holds: Callable[[dict[str, Any]], bool]) -> None:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    text = read_text(path)
    parse_files(path, text)  # for its messages: they name file, line and column
    masked = "\n".join(_MASK + line if INCLUDE.fullmatch(line) else line for line in text.split("\n"))
    by_hand = f"{path}: this cannot be edited automatically without breaking it; please edit it by hand"
    try:
        document = tomlkit.parse(masked)
        change(document)
        edited = tomlkit.dumps(document)
    except TOMLKitError:
        raise ConfigError(by_hand) from None
    edited = "\n".join(line.removeprefix(_MASK) for line in edited.split("\n"))
    load_text(path, edited)
    if not holds(parse_files(path, edited)):  # an include in the middle of a table ends it
        raise ConfigError(by_hand)
    try:
        write_atomic(path, edited.encode())
    except OSError as error:
        reason = error.strerror
        if error.errno == errno.EBUSY:
            reason = "it is mounted by itself; mount the directory that holds it instead"
        raise ConfigError(f"{path}: cannot be written: {reason}") from None
