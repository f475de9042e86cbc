"""What is known about a setting beside its type and default: the sentence, the limits, how it differs from telemt.

It lives in the metadata of the attrs field, so that the model is the only place that knows it: the strict reader, the
reference page and ``telemt-trio config explain`` all read it from there.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

import attrs

from telemt_trio.errors import ConfigError

__all__ = ["ABOUT", "About", "Rule", "about", "between", "frozen_map", "one_of", "positive"]

ABOUT: Final = "telemt_trio"

V = TypeVar("V")


@attrs.frozen
class About:
    """One setting: ``doc`` is one sentence, ``hot`` says that a running proxy can take a new value.

    ``telemt`` is the default of telemt where ours is another; ``ours`` marks a setting that telemt does not have.
    ``shown`` says in words what an absent or computed default means. ``secret`` values are never displayed.
    """

    doc: str
    hot: bool = False
    telemt: str | None = None
    ours: bool = False
    shown: str | None = None
    secret: bool = False


def about(
    doc: str,
    *,
    hot: bool = False,
    telemt: str | None = None,
    ours: bool = False,
    shown: str | None = None,
    secret: bool = False,
) -> dict[str, About]:
    """The ``metadata`` of an attrs field that is a setting."""
    return {ABOUT: About(doc, hot, telemt, ours, shown, secret)}


@attrs.frozen
class Rule:
    """A limit on one value: ``limits`` in the words of the reference, ``judge`` raises :class:`ConfigError`.

    It serves as an attrs validator, and the strict reader calls :meth:`check` by itself to report every mistake at
    once. An absent value (None) breaks no limit.
    """

    limits: str
    judge: Callable[[Any], None]

    def check(self, value: object) -> None:
        """Raise :class:`ConfigError` if ``value`` is not allowed."""
        if value is not None:
            self.judge(value)

    def __call__(self, _: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        """The attrs validator: as :meth:`check`, with the field's name before the sentence."""
        try:
            self.check(value)
        except ConfigError as error:
            raise ConfigError(*(f"{attribute.name}: {problem}" for problem in error.problems)) from None


def between(lowest: int, highest: int) -> Rule:
    """``lowest`` and ``highest`` are allowed themselves."""

    def judge(value: int) -> None:
        if not lowest <= value <= highest:
            raise ConfigError(f"must be {lowest} to {highest}")

    return Rule(f"{lowest} to {highest}", judge)


def positive(*, or_zero: bool = False) -> Rule:
    """A number above zero, with ``or_zero`` also zero itself. Far too large ones fail here, not in a system call."""
    lowest, words = (0, "0 or more") if or_zero else (1, "1 or more")

    def judge(value: int) -> None:
        if value < lowest:
            raise ConfigError(f"must be {words}")
        if value > 2**53:
            raise ConfigError("must be smaller: no such number makes sense here")

    return Rule(words, judge)


def one_of(*values: int) -> Rule:
    """One number of a few."""
    words = " or ".join(map(str, values))

    def judge(value: int) -> None:
        if value not in values:
            raise ConfigError(f"must be {words}")

    return Rule(words, judge)


def frozen_map(items: Mapping[str, V]) -> Mapping[str, V]:
    """A read-only copy, for settings that are tables."""
    return MappingProxyType(dict(items))
