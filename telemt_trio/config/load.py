"""From telemt.toml, or a mapping, to :class:`ProxyConfig`: strictly, and with every mistake named at once.

Nothing is converted on the quiet: "443" is not 443, "false" is not false, and true is not 1.
"""

import functools
import warnings as python_warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin

import attrs

from telemt_trio.config.compat import translate
from telemt_trio.config.model import ProxyConfig
from telemt_trio.config.setting import Rule
from telemt_trio.config.source import parse_files
from telemt_trio.config.values import (
    Cidr,
    DnsOverride,
    Domain,
    HexKey,
    Host,
    HostPort,
    Ip,
    LogLevel,
    Mss,
    Port,
    RstOnClose,
    Scopes,
    UnknownSniAction,
    UpstreamType,
)
from telemt_trio.errors import ConfigError

if TYPE_CHECKING:
    import os

    from cattrs import BaseConverter, Converter

__all__ = ["Loaded", "load_config", "load_text", "structure"]

T = TypeVar("T")

# Tuples never come from a file, but a mapping made in code may hold them.
_NAMES: dict[type, str] = {list: "array", tuple: "array", dict: "table"}

# How a value is written in TOML, and what reads it.
_READERS: dict[Any, tuple[type, Callable[[Any], object]]] = {
    Port: (int, Port),
    Mss: (str, Mss.parse),
    Ip: (str, Ip),
    Cidr: (str, Cidr),
    Host: (str, Host),
    Domain: (str, Domain),
    HexKey: (str, HexKey.parse),
    HostPort: (str, HostPort.parse),
    DnsOverride: (str, DnsOverride.parse),
    Scopes: (str, Scopes.parse),
    UnknownSniAction: (str, UnknownSniAction),
    RstOnClose: (str, RstOnClose),
    LogLevel: (str, LogLevel),
    UpstreamType: (str, UpstreamType),
    bool: (bool, bool),
    int: (int, int),
    str: (str, str),
}

_EVERYONE_OR_NAMES = Literal["*"] | tuple[str, ...]


@attrs.frozen
class Loaded:
    """A configuration, the file it came from, and what the operator should know about it."""

    config: ProxyConfig
    warnings: tuple[str, ...]
    path: Path


def load_config(path: "str | os.PathLike[str]") -> Loaded:
    """Read a file with its includes. Raises :class:`ConfigError` with a sentence for every mistake in it."""
    return load_text(Path(path), None)


def load_text(path: Path, text: str | None) -> Loaded:
    """As :func:`load_config`, with ``text`` in place of what ``path`` holds: what an edit would lead to."""
    config, warnings = _understand(parse_files(path, text))
    return Loaded(config, warnings, path)


def structure(mapping: Mapping[str, Any]) -> ProxyConfig:
    """Build a configuration from a mapping of the same shape as the file.

    Raises :class:`ConfigError` with a sentence for every mistake; what would be a warning for an operator is a
    ``UserWarning`` here.
    """
    config, warnings = _understand(mapping)
    for warning in warnings:
        python_warnings.warn(warning, UserWarning, stacklevel=2)
    return config


def _understand(raw: Mapping[str, Any]) -> tuple[ProxyConfig, tuple[str, ...]]:
    from cattrs.errors import BaseValidationError

    from telemt_trio.config.problems import describe

    translation = translate(raw)
    # Whoever writes no users at all learns it in the same words as one whose table is empty.
    document = {"access": {}, **translation.document}
    if isinstance(document["access"], Mapping):
        document["access"] = {"users": {}, **document["access"]}
    problems = list(translation.problems)
    try:
        config = _converter().structure(document, ProxyConfig)
    except BaseValidationError as error:
        raise ConfigError(*problems, *describe(error)) from None
    if problems:
        raise ConfigError(*problems)
    return config, (*translation.warnings(), *_advice(config))


def _advice(config: ProxyConfig) -> list[str]:
    """What is allowed and probably not meant."""
    said = []
    users = config.access.users
    if strangers := sorted(set(config.access.user_enabled) - set(users)):
        said.append(f"access.user_enabled names nobody in access.users: {', '.join(strangers)}")
    show = config.general.links.show
    if show != "*" and (strangers := sorted(set(show) - set(users))):
        said.append(f"general.links.show names nobody in access.users: {', '.join(strangers)}")
    if config.network.family != config.network.prefer:
        said.append(f"network.prefer is {config.network.prefer}, but that family is off: the other one is used")
    return said


def _expect(kind: type[T], value: object) -> T:
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    wanted, found = (_NAMES.get(one, one.__name__) for one in (kind, type(value)))
    raise ConfigError(f"expected {wanted}, got {found}")


@functools.cache
def _converter() -> "Converter":
    """The strict reader. Building it imports cattrs, which is why it is not built on import."""
    from cattrs import Converter
    from cattrs.cols import list_structure_factory, mapping_structure_factory

    converter = Converter(detailed_validation=True)
    for kind, (written, read) in _READERS.items():
        converter.register_structure_hook(kind, functools.partial(_read_scalar, kind, written, read))

    def arrays(kind: Any, converter: "BaseConverter") -> Callable[[Any, Any], Any]:
        element: Any = get_args(kind)[0]
        each = list_structure_factory(list[element], converter)
        return lambda value, _: tuple(each(value if isinstance(value, tuple) else _expect(list, value), kind))

    def mappings(kind: Any, converter: "BaseConverter") -> Callable[[Any, Any], Any]:
        each = mapping_structure_factory(kind, converter, structure_to=dict)
        return lambda value, _: each(_expect(dict, value), kind)

    def everyone_or_names(value: Any, _: object) -> Any:
        if isinstance(value, str) and value != "*":
            raise ConfigError('must be "*" or an array of names')
        return value if value == "*" else converter.structure(value, tuple[str, ...])

    converter.register_structure_hook_factory(lambda kind: _origin(kind) is tuple, arrays)
    converter.register_structure_hook_factory(lambda kind: _origin(kind) is Mapping, mappings)
    converter.register_structure_hook_func(lambda kind: kind == _EVERYONE_OR_NAMES, everyone_or_names)
    converter.register_structure_hook_factory(lambda kind: attrs.has(kind) and kind not in _READERS, _section)
    return converter


def _origin(kind: Any) -> Any:
    return get_origin(kind)


def _read_scalar(kind: Any, written: type, read: Callable[[Any], object], value: object, _: object) -> object:
    return value if type(value) is kind else read(_expect(written, value))


def _section(model: Any, converter: "BaseConverter") -> Callable[[Any, Any], Any]:
    from cattrs.gen import make_dict_structure_fn, override

    def judged(rule: Rule) -> Callable[[Any, Any], Any]:
        def read(value: Any, kind: Any) -> Any:
            made = converter.structure(value, kind)
            rule.check(made)
            return made

        return read

    rules: Any = {
        field.name: override(struct_hook=judged(field.validator))
        for field in attrs.fields(model)
        if isinstance(field.validator, Rule)
    }
    fields: Callable[[Any, Any], Any] = make_dict_structure_fn(model, converter, **rules)
    return lambda value, kind: fields(_expect(dict, value), kind)
