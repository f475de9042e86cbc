"""The extensions of a TLS hello: the list they stand in, and the contents of those this proxy looks into.

A list of extensions is ``type(2) length(2) data`` over and over. It must fill its room exactly, or the hello is broken.
The readers of single extensions are milder: a content they cannot read yields nothing (None or an empty tuple), and
whoever needs that content refuses the hello.

Numbers: RFC 8446 section 4.2 (extensions) and 4.2.8 (key shares), RFC 6066 (server name), RFC 7301 (ALPN), RFC 8701
(GREASE), draft-ietf-tls-ecdhe-mlkem (X25519MLKEM768).
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final

from telemt_trio.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ALPN",
    "CLIENT_KEY_SIZES",
    "EC_POINT_FORMATS",
    "GREASE",
    "KEY_SHARE",
    "SERVER_KEY_SIZES",
    "SERVER_NAME",
    "SIGNATURE_ALGORITHMS",
    "SUPPORTED_GROUPS",
    "SUPPORTED_VERSIONS",
    "X25519",
    "X25519MLKEM768",
    "Extensions",
    "find_extension",
    "read_extensions",
    "read_key_shares",
    "read_protocols",
    "read_server_name",
    "read_versions",
    "write_extension",
    "x25519_source",
]

SERVER_NAME = 0x0000
SUPPORTED_GROUPS = 0x000A
EC_POINT_FORMATS = 0x000B
SIGNATURE_ALGORITHMS = 0x000D
ALPN = 0x0010
SUPPORTED_VERSIONS = 0x002B
KEY_SHARE = 0x0033

X25519 = 0x001D
X25519MLKEM768 = 0x11EC

# Bytes of a key share, by group. Hybrid: the client sends an ML-KEM-768 encapsulation key (1184), the server a
# ciphertext (1088), each with 32 bytes of X25519 behind it.
CLIENT_KEY_SIZES = {X25519: 32, X25519MLKEM768: 1184 + 32}
SERVER_KEY_SIZES = {X25519: 32, X25519MLKEM768: 1088 + 32}

# The sixteen code points that mean nothing: 0x0a0a, 0x1a1a, … 0xfafa.
GREASE = frozenset(high << 12 | high << 4 | 0x0A0A for high in range(16))

Extensions = tuple[tuple[int, bytes], ...]

_HEADER = struct.Struct(">HH")
_NAME_HEADER = struct.Struct(">BH")

# A host name as RFC 1123 and RFC 6066 allow it; what looks like a dotted IPv4 address is none. Length is checked apart.
_HOST_NAME = re.compile(
    rb"(?![0-9]{1,3}(?:\.[0-9]{1,3}){3}\Z)"
    rb"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*"
)
_MAX_HOST_NAME = 253


X25519_BATCH: Final = 32


def read_extensions(message: bytes, start: int) -> Extensions:
    """The extensions of ``message`` from the 2-byte length at ``start`` to its end, in wire order.

    Raises :class:`RemoteProtocolError` unless the list, and every extension in it, ends where its length says.
    """
    end = len(message)
    at = start + 2
    if at > end or int.from_bytes(message[start:at], "big") != end - at:
        raise RemoteProtocolError("the extensions do not fill the hello")
    found: list[tuple[int, bytes]] = []
    add = found.append
    unpack = _HEADER.unpack_from
    last = end - 4  # where the last header can stand
    while at <= last:
        kind, size = unpack(message, at)
        stop = at + 4 + size
        add((kind, message[at + 4 : stop]))
        at = stop
    if at != end:
        raise RemoteProtocolError("an extension is cut short")
    return tuple(found)


def find_extension(extensions: Extensions, kind: int) -> bytes | None:
    """The data of the first extension of type ``kind``, or None."""
    for present, data in extensions:
        if present == kind:
            return data
    return None


def write_extension(kind: int, data: bytes = b"") -> bytes:
    """One extension on the wire; ``data`` is at most 65535 bytes."""
    return _HEADER.pack(kind, len(data)) + data


def read_server_name(data: bytes) -> str | None:
    """The first usable host name of a server_name extension, in the case it was sent in.

    None if there is none: an IP address, an underscore, a dot at the end, an empty list.
    """
    if len(data) < 5:
        return None
    end = min(2 + int.from_bytes(data[:2], "big"), len(data))
    at = 2
    while end - at >= 3:
        kind, size = _NAME_HEADER.unpack_from(data, at)
        at += 3
        name = data[at : at + size]
        at += size
        if at > end:
            return None
        if kind == 0 and size <= _MAX_HOST_NAME and _HOST_NAME.fullmatch(name):
            return name.decode("ascii")
    return None


def read_protocols(data: bytes) -> tuple[bytes, ...]:
    """The protocol names of an ALPN extension, in order of preference; empty names count, a cut one ends the list."""
    end = min(2 + int.from_bytes(data[:2], "big"), len(data))
    protocols = []
    at = 2
    while at < end:
        stop = at + 1 + data[at]
        if stop > end:
            break
        protocols.append(data[at + 1 : stop])
        at = stop
    return tuple(protocols)


def read_key_shares(data: bytes) -> Extensions:
    """The (group, key) pairs of a client's key_share extension, in wire order, GREASE included.

    Nothing at all if the pairs do not fill the list or the list does not fill the extension: half a list is not a list.
    """
    end = len(data)
    if end < 2 or int.from_bytes(data[:2], "big") != end - 2:
        return ()
    shares = []
    at = 2
    while at < end:
        if end - at < 4:
            return ()
        group, size = _HEADER.unpack_from(data, at)
        at += 4
        if at + size > end:
            return ()
        shares.append((group, data[at : at + size]))
        at += size
    return tuple(shares)


def read_versions(data: bytes) -> tuple[int, ...]:
    """The versions of a client's supported_versions extension, in wire order, GREASE included; nothing if malformed."""
    if not data or data[0] & 1 or data[0] >= len(data):
        return ()
    return struct.unpack_from(f">{data[0] >> 1}H", data, 1)


def x25519_source(entropy: Callable[[int], bytes], batch: int = X25519_BATCH) -> Callable[[], bytes]:
    """A maker of X25519 public keys (32 bytes), each from a fresh private key that is forgotten at once.

    ``entropy(32)`` draws the private key. Half of all random 32-byte strings are no point of the curve, so random bytes
    in a key share would tell on the sender; these are genuine, and cost a scalar multiplication. They are made
    ``batch`` at a time, because a single one between two handshakes finds its tables gone from the processor's caches
    and takes three times as long (150 against 50 µs).
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    ready: list[bytes] = []

    def public_key() -> bytes:
        if not ready:
            fresh = (X25519PrivateKey.from_private_bytes(entropy(32)) for _ in range(batch))
            ready.extend(key.public_key().public_bytes_raw() for key in fresh)
        return ready.pop()

    return public_key
