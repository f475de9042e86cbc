"""The model as a tree of tables and keys, taken from its classes: what reader, reference and `config show` share.

A key's path is written as an operator would say it: ``server.port``, and ``server.listeners[].ip`` inside an array of
tables.
"""

import functools
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from telemt_trio.config.model import ProxyConfig
from telemt_trio.config.setting import ABOUT, About, Rule

__all__ = ["Key", "Table", "keys", "schema"]


@attrs.frozen
class Key:
    """One setting. ``kind`` is its type, ``default`` its value when absent (attrs.NOTHING when it has to be given)."""

    path: str
    name: str
    kind: Any
    default: object
    limits: str | None
    about: About

    @property
    def unit(self) -> str | None:
        """The unit of a number: s, ms or bytes."""
        return next(iter(getattr(self.kind, "__metadata__", ())), None)


@attrs.frozen
class Table:
    """One section; ``keys``, ``tables`` and ``arrays`` (of tables) stand in the order of the model."""

    path: str
    model: type
    keys: Mapping[str, Key]
    tables: Mapping[str, "Table"]
    arrays: Mapping[str, "Table"]

    def walk(self) -> "Iterator[Table]":
        """This table and everything below it."""
        yield self
        for below in (*self.tables.values(), *self.arrays.values()):
            yield from below.walk()


def _default(field: "attrs.Attribute[Any]") -> object:
    factory = getattr(field.default, "factory", None)
    return field.default if factory is None else factory()


def _table(path: str, model: type) -> Table:
    keys: dict[str, Key] = {}
    tables: dict[str, Table] = {}
    arrays: dict[str, Table] = {}
    kinds = typing.get_type_hints(model, include_extras=True)
    for field in attrs.fields(model):
        name, kind = field.name, kinds[field.name]
        below = f"{path}.{name}".lstrip(".")
        if attrs.has(kind):
            tables[name] = _table(below, kind)
        elif ABOUT not in field.metadata:
            arrays[name] = _table(f"{below}[]", typing.get_args(kind)[0])
        else:
            limits = field.validator.limits if isinstance(field.validator, Rule) else None
            keys[name] = Key(below, name, kind, _default(field), limits, field.metadata[ABOUT])
    return Table(path, model, keys, tables, arrays)


@functools.cache
def schema() -> Table:
    """The root of the tree."""
    return _table("", ProxyConfig)


def keys() -> Mapping[str, Key]:
    """Every key by its path, in the order of the model."""
    return {key.path: key for table in schema().walk() for key in table.keys.values()}
