"""Sockets below trio: options, listeners, closing, and what a peer is called.

The relay reads plain non-blocking ``socket.socket`` objects and waits with ``trio.lowlevel``, so there is no trio
socket object to keep the rules; this module keeps them. The first rule: whoever closes a socket closes it with
:func:`close_socket`, because a task that waits for a descriptor which is closed under it would wait for ever, or for a
stranger that got the same number.

Buffers are left to the kernel: a fixed SO_RCVBUF switches its auto-tuning off and caps a download at 256 KiB per round
trip.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct

import trio

__all__ = ["bind_listener", "close_socket", "listener_options", "peer_address"]

_LINGER_ZERO = struct.pack("ii", 1, 0)
_KEEPALIVE_MOST = 32767  # seconds; MAX_TCP_KEEPIDLE in the kernel's net/tcp.h


def close_socket(sock: socket.socket, *, reset: bool = False) -> None:
    """Close ``sock`` and wake everybody who waits for it with ``trio.ClosedResourceError``. Closing twice is allowed.

    ``reset`` sends RST instead of FIN and throws unsent data away. Never blocks; call it inside a trio run.
    """
    if sock.fileno() < 0:
        return
    trio.lowlevel.notify_closing(sock)
    if reset:
        with contextlib.suppress(OSError):  # a socket that is not connected has nothing to reset
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    sock.close()


def listener_options(
    *, keepalive: float = 0, user_timeout: float = 0, mss: int | None = None
) -> list[tuple[int, int, int]]:
    """``setsockopt`` arguments for a listener, chosen so that every accepted socket inherits them (Linux).

    ``keepalive`` (seconds) is both the idle time before the first probe and the pause between probes; ``user_timeout``
    (seconds) bounds how long sent data may stay unacknowledged; ``mss`` (bytes) is the largest segment. 0 leaves a
    choice to the kernel.
    """
    tcp = socket.IPPROTO_TCP
    options = [(tcp, socket.TCP_NODELAY, 1)]
    if keepalive > 0:
        seconds = min(max(1, round(keepalive)), _KEEPALIVE_MOST)
        options += [
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (tcp, socket.TCP_KEEPIDLE, seconds),
            (tcp, socket.TCP_KEEPINTVL, seconds),
        ]
    if user_timeout > 0:
        options.append((tcp, socket.TCP_USER_TIMEOUT, round(user_timeout * 1000)))
    if mss:
        options.append((tcp, socket.TCP_MAXSEG, mss))
    return options


def bind_listener(
    host: str,
    port: int,
    *,
    backlog: int = 1024,
    reuse_port: bool = False,
    keepalive: float = 0,
    user_timeout: float = 0,
    mss: int | None = None,
) -> socket.socket:
    """A non-blocking listening TCP socket on the IP literal ``host``; ``port`` 0 lets the kernel choose.

    An IPv6 listener serves IPv6 alone, so that ``0.0.0.0`` and ``::`` can listen on one port side by side. The keyword
    arguments behind ``reuse_port`` are those of :func:`listener_options`. Raises OSError (port taken, not permitted, no
    such address); nothing stays open then. The caller closes the socket.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for level, option, value in listener_options(keepalive=keepalive, user_timeout=user_timeout, mss=mss):
            listener.setsockopt(level, option, value)
        listener.bind((host, port))
        listener.listen(backlog)
    except BaseException:
        listener.close()  # nobody can wait for it yet
        raise
    return listener


def peer_address(sockname: tuple[str, int] | tuple[str, int, int, int]) -> tuple[str, int]:
    """What ``accept`` or ``getpeername`` says, as one spelling per peer: ``(ip, port)``.

    An IPv4 address mapped into IPv6 becomes IPv4 and a zone id is dropped, so limits and lists meet one name.
    """
    host, port = sockname[0], sockname[1]
    if ":" not in host:
        return host, port
    host = host.partition("%")[0]
    if host.startswith("::ffff:"):
        host = str(ipaddress.IPv6Address(host).ipv4_mapped or host)
    return host, port
