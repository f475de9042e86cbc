"""Names to addresses: the only place that asks the system's resolver.

``getaddrinfo`` blocks, so it runs in threads, and those threads have a limiter of their own: forty lookups that wait
for a dead name server must not keep a write to disk waiting (measured: 1.7 s behind the shared limiter).
"""

from __future__ import annotations

import functools
import socket
from typing import TYPE_CHECKING, Protocol

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from telemt_trio.net.dial import Address

__all__ = ["Resolver", "Resolves"]

LOOKUPS_AT_ONCE = 20


class Resolves(Protocol):
    """What needs addresses asks something of this shape; tests give it a table."""

    async def resolve(self, host: str, port: int, *, prefer_v6: bool = False) -> tuple[Address, ...]:
        """The addresses of ``host``, at least one, the preferred family first. Raises OSError."""


def _normal(overrides: Mapping[Address, str]) -> dict[Address, str]:
    return {(host.lower(), port): ip for (host, port), ip in overrides.items()}


def _literal(host: str) -> str | None:
    """``host`` as an IP literal without brackets, or None if it is a name."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    try:
        socket.inet_pton(family, bare.partition("%")[0])
    except (OSError, ValueError):  # ValueError: a NUL inside
        return None
    return bare


def _in_order(addresses: Iterable[Address], *, prefer_v6: bool) -> tuple[Address, ...]:
    """Each address once, the preferred family first, the resolver's order within a family (it follows RFC 6724)."""
    return tuple(sorted(dict.fromkeys(addresses), key=lambda address: (":" in address[0]) != prefer_v6))


@attrs.define
class Resolver:
    """Overrides first, then IP literals (brackets allowed), then the system's resolver in a thread.

    ``overrides`` maps ``(host, port)`` to an IP literal: the host in any case, the port exactly. ``limiter`` bounds the
    threads that look up at the same time; it belongs to this resolver alone.
    """

    _overrides: dict[Address, str] = attrs.field(factory=dict, converter=_normal)
    _limiter: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(LOOKUPS_AT_ONCE))

    def replace_overrides(self, overrides: Mapping[Address, str]) -> None:
        """Use these overrides from now on."""
        self._overrides = _normal(overrides)

    async def resolve(self, host: str, port: int, *, prefer_v6: bool = False) -> tuple[Address, ...]:
        """The addresses of ``host`` with ``port``, at least one, IPv4 first unless ``prefer_v6``.

        Raises OSError that names the host and what the resolver said. No time limit of its own; a cancelled lookup
        returns at once and its thread, which cannot be stopped, keeps its place in the limiter until it ends. An
        override or a literal is answered without a checkpoint.
        """
        pinned = self._overrides.get((host.lower(), port)) if self._overrides else None
        literal = _literal(host) if pinned is None else pinned
        if literal is not None:
            return ((literal, port),)
        found = await self._look_up(host, port)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, f"cannot resolve {host!r}: the name has no address")
        return _in_order(found, prefer_v6=prefer_v6)

    async def _look_up(self, host: str, port: int) -> list[Address]:
        look_up = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            entries = await trio.to_thread.run_sync(look_up, abandon_on_cancel=True, limiter=self._limiter)
        except socket.gaierror as error:
            raise socket.gaierror(error.errno, f"cannot resolve {host!r}: {error.strerror}") from None
        except (UnicodeError, ValueError):  # a label over 63 bytes, an empty label, a NUL
            raise socket.gaierror(socket.EAI_NONAME, f"cannot resolve {host!r}: not a host name") from None
        return [(str(sockaddr[0]), port) for *_, sockaddr in entries]
