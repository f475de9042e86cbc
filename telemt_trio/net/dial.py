"""Dialling: one TCP connection to one known address.

There is no race between address families here: whoever dials has decided which family to use, and a datacenter that is
reached over the wrong one is the operator's setting, not ours to second-guess. ``trio.open_tcp_stream`` would resolve,
race and wrap at three times the price of the plain connect below (180 against 57 microseconds).
"""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, TypeAlias

import trio

from telemt_trio.net.sockets import close_socket

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Address", "begin_dial", "connected", "dial", "dial_any", "finish_dial"]

Address: TypeAlias = tuple[str, int]  # (IP literal, TCP port)

# Named in the socket module from Python 3.12 on; linux/in.h. Without it a bound source address also takes a port of its
# own, and 28 000 connections from one address are the end.
_IP_BIND_ADDRESS_NO_PORT = 24


async def dial(address: Address, *, source: str | None = None, device: str | None = None) -> socket.socket:
    """Connect to ``address`` and return the socket: non-blocking, TCP_NODELAY set. The caller closes it.

    ``source`` is the local IP literal to connect from, ``device`` the network device to be bound to (SO_BINDTODEVICE).
    One attempt without a time limit of its own. Raises OSError, also when the host is not an IP literal: a name would
    make the kernel's resolver block the whole run. A dial that fails or is cancelled leaves no descriptor behind.
    """
    sock = begin_dial(address, source=source, device=device)
    if connected(sock):
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
        except trio.Cancelled:
            close_socket(sock)
            raise
        return sock
    return await finish_dial(sock)


def begin_dial(address: Address, *, source: str | None = None, device: str | None = None) -> socket.socket:
    """The first half of :func:`dial`: a socket that connects, or has connected (:func:`connected`)."""
    host = address[0]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.inet_pton(family, host.partition("%")[0])
    except OSError:
        raise OSError(errno.EINVAL, f"not an IP address: {host!r}") from None
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if device is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        if source is not None:
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
        sock.connect(address)
    except BlockingIOError:
        pass
    except BaseException:
        sock.close()
        raise
    return sock


async def finish_dial(sock: socket.socket) -> socket.socket:
    """The second half: wait until ``sock`` is connected and return it; closes it if that fails or is cancelled."""
    try:
        await trio.lowlevel.wait_writable(sock)
    except BaseException:
        close_socket(sock)
        raise
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        close_socket(sock)
        raise OSError(code, os.strerror(code))
    return sock


def connected(sock: socket.socket) -> bool:
    """Whether a connection that was begun stands already, as one to this host does: a front, a SOCKS proxy."""
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


async def dial_any(
    addresses: Iterable[Address], *, source: str | None = None, device: str | None = None
) -> socket.socket:
    """Connect to the first of ``addresses`` that answers, one after the other in the order given.

    Raises the OSError of the last address when none answered. The caller owns the time limit for all of them.
    """
    failure = OSError(errno.EDESTADDRREQ, "no address to connect to")
    for address in addresses:
        try:
            return await dial(address, source=source, device=device)
        except OSError as error:
            failure = error
    raise failure
