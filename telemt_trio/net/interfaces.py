"""Which addresses this host has, asked of the kernel over rtnetlink (rtnetlink(7), ``RTM_GETADDR``).

One request and a few kilobytes of answer, both inside the kernel, so the call is synchronous; callers cache the result.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["interface_addresses"]

_RTM_NEWADDR, _RTM_GETADDR = 20, 22
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_IFADDRMSG = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, interface index
_RTATTR = struct.Struct("=HH")  # length, type


def interface_addresses() -> dict[str, tuple[str, ...]]:
    """Network device name -> its IP addresses, in the kernel's order, IPv4 and IPv6 mixed. Raises OSError."""
    found: dict[str, list[str]] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(1)  # the answer is ready when sendto returns; a limit only guards against a broken kernel
        request = _IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        kernel.sendto(_HEADER.pack(_HEADER.size + len(request), _RTM_GETADDR, _REQUEST_DUMP, 1, 0) + request, (0, 0))
        for message in _messages(kernel):
            index, address = _read_address(message)
            if address is not None:
                found.setdefault(socket.if_indextoname(index), []).append(address)
    return {name: tuple(addresses) for name, addresses in found.items()}


def _messages(kernel: socket.socket) -> Iterator[bytes]:
    """The bodies of the RTM_NEWADDR messages of one dump."""
    while True:
        data = kernel.recv(65536)
        while len(data) >= _HEADER.size:
            length, kind, _, _, _ = _HEADER.unpack_from(data)
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR or length < _HEADER.size:
                raise OSError("the kernel does not list its addresses")
            if kind == _RTM_NEWADDR:
                yield data[_HEADER.size : length]
            data = data[_aligned(length) :]


def _read_address(message: bytes) -> tuple[int, str | None]:
    """(interface index, the local address of one RTM_NEWADDR message)."""
    family, _, _, _, index = _IFADDRMSG.unpack_from(message)
    attributes: dict[int, bytes] = {}
    rest = message[_IFADDRMSG.size :]
    while len(rest) >= _RTATTR.size:
        length, kind = _RTATTR.unpack_from(rest)
        if length < _RTATTR.size:
            break
        attributes[kind] = rest[_RTATTR.size : length]
        rest = rest[_aligned(length) :]
    # On a point-to-point link IFA_ADDRESS is the other end; IFA_LOCAL, where present, is always ours.
    packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
    if packed is None or family not in {socket.AF_INET, socket.AF_INET6}:
        return index, None
    return index, socket.inet_ntop(family, packed)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
