"""telemt.toml as text: reading it, its includes, and what to say when that fails.

``include = "other.toml"`` on a line of its own stands for the text of that file, before anything is parsed. The name is
relative to the including file, and files may include others ten deep.
"""

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import attrs

from telemt_trio.errors import ConfigError

__all__ = ["INCLUDE", "MAX_DEPTH", "parse_files", "read_text"]

MAX_DEPTH: Final = 10

# A user may be called include: 32 hex digits are a secret, not a file.
INCLUDE: Final = re.compile(r"""\s*include\s*=\s*(["'])(?![0-9a-fA-F]{32}\1)([^"']+)\1\s*(?:\#.*)?""")
_POSITION: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@attrs.frozen
class _Line:
    text: str = attrs.field(repr=False)
    path: Path
    number: int


def read_text(path: Path) -> str:
    """The text of one file. Raises :class:`ConfigError` with what to do about it."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; name another with -c, or let `telemt-trio run` write one") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a directory; name the file in it") from None
    except PermissionError:
        raise ConfigError(f"{path}: not readable for this user; run as its owner or change its mode") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path}: cannot be read: {reason}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from None


def parse_files(path: Path, text: str | None = None) -> dict[str, Any]:
    """The document that ``path`` and its includes make. ``text`` stands for the content of ``path`` if given.

    Raises :class:`ConfigError` that names the file and line of the mistake.
    """
    lines = _expand(path, read_text(path) if text is None else text, ())
    try:
        return tomllib.loads("\n".join(line.text for line in lines))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_explain(str(error), lines, path)) from None
    except RecursionError:
        raise ConfigError(f"{path}: not valid TOML: values nested too deep") from None


def _expand(path: Path, text: str, above: tuple[Path, ...]) -> list[_Line]:
    if len(above) > MAX_DEPTH:
        raise ConfigError(f"{path}: includes are nested deeper than {MAX_DEPTH}; does a file include itself?")
    lines = []
    for number, content in enumerate(text.split("\n"), 1):
        include = INCLUDE.fullmatch(content)
        if include is None:
            lines.append(_Line(content, path, number))
            continue
        other = path.parent / include[2]
        try:
            lines += _expand(other, read_text(other), (*above, path))
        except ConfigError as error:
            if other.is_file():
                raise
            raise ConfigError(f"{error} (included by {path}, line {number})") from None
    return lines


def _explain(message: str, lines: list[_Line], path: Path) -> str:
    position = _POSITION.search(message)
    reason = _POSITION.sub("", message)
    reason = reason[:1].lower() + reason[1:]
    if position is None:
        return f"{path}: not valid TOML: {reason}"
    if position[1] is None:
        return f"{path}: not valid TOML: {reason} at its end; a quote or bracket may not be closed"
    line = lines[int(position[1]) - 1]
    return f"{line.path}, line {line.number}, column {position[2]}: not valid TOML: {reason}"
