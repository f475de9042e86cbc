"""Why a connection failed: in words for the operator, and what follows for the retry."""

from __future__ import annotations

import errno
import os
import socket

from telemt_trio.errors import ConfigError, ProxyError

__all__ = ["CONNECT_ERRORS", "is_hard", "is_ours", "reason_of"]

# What a road may raise.
CONNECT_ERRORS = (OSError, ProxyError)

_REASONS = {
    errno.EADDRINUSE: "no free source port",
    errno.EADDRNOTAVAIL: "the source address is not on this host",
    errno.EACCES: "not permitted by this host",
    errno.EPERM: "not permitted by this host (firewall or capability)",
    errno.EHOSTUNREACH: "no route to the host",
    errno.EMFILE: "this process is out of file descriptors (raise `ulimit -n`)",
    errno.ENFILE: "this host is out of file descriptors",
    errno.ETIMEDOUT: "timed out",
}

# Another attempt meets the same answer.
_HARD = frozenset(
    {
        errno.ECONNREFUSED,
        errno.EADDRINUSE,
        errno.EADDRNOTAVAIL,
        errno.EINVAL,
        errno.EOPNOTSUPP,
        errno.EAFNOSUPPORT,
    }
)

# This process has run short of something: no upstream is to blame.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


def _errno(error: Exception | None) -> int | None:
    """The system's error number, also of an OSError that a road has put into words."""
    if isinstance(error, ProxyError) and isinstance(error.__cause__, OSError):
        return error.__cause__.errno
    return error.errno if isinstance(error, OSError) and not isinstance(error, socket.gaierror) else None


def reason_of(error: Exception | None) -> str:
    """The kind of failure in a few words; None is a time limit that passed. Never holds an address of a client."""
    if error is None:
        return "timed out"
    if isinstance(error, ProxyError):
        return str(error)
    number = _errno(error)
    if number is not None:
        return _REASONS.get(number) or os.strerror(number).lower()
    return str(error.args[-1]) if error.args else type(error).__name__


def is_hard(error: Exception | None) -> bool:
    """Would a second attempt meet the same answer?"""
    return isinstance(error, ConfigError) or _errno(error) in _HARD


def is_ours(error: Exception | None) -> bool:
    """Is the failure this process's own shortage rather than the road's?"""
    return _errno(error) in _OURS
