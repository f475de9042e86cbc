"""From the tree of exceptions that structuring leaves behind to sentences with paths.

cattrs collects: it goes on after a mistake and hangs a note with the attribute, index or key on each exception. This
module only renders: ``config.server.port: expected int, got str``.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from telemt_trio.config.compat import shown_name
from telemt_trio.errors import ConfigError

if TYPE_CHECKING:
    from cattrs.errors import BaseValidationError

__all__ = ["describe"]


def describe(error: "BaseValidationError", path: str = "config") -> Iterator[str]:
    """One sentence for each mistake, in the order of the model.

    An exception that is neither a :class:`ConfigError` nor a missing key is a bug and is raised again.
    """
    from cattrs.errors import BaseValidationError

    for one in error.exceptions:
        below = path + _step(one)
        if isinstance(one, BaseValidationError):
            yield from describe(one, below)
        elif isinstance(one, ConfigError):
            # A rule between several keys names its key itself; it comes from the class and carries no note.
            joint = ": " if below != path else "."
            yield from (f"{below}{joint}{problem}" for problem in one.problems)
        elif isinstance(one, KeyError):
            yield f"{below}: missing"
        else:
            raise one


def _step(error: Exception) -> str:
    from cattrs.errors import AttributeValidationNote, IterableValidationNote

    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return f".{note.name}"
        if isinstance(note, IterableValidationNote):
            return f"[{note.index}]" if isinstance(note.index, int) else f".{shown_name(note.index)}"
    return ""
