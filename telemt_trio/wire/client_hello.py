"""The ClientHello of FakeTLS: read it, find out whose it is, write one.

Offsets in a record that holds a ClientHello (RFC 8446 section 4.1.2 behind a record header)::

    0          3    5   6       9       11       43         44
    | 16 03 0x | len | 01 | len24 | 03 03 | random | sid len | session id | suites | compression | extensions |

To any observer the random is 32 random bytes. To who shares the 16-byte secret it is a signature::

    mac    = HMAC-SHA256(secret, the whole record with the random zeroed)
    random = mac[:28] || mac[28:32] XOR little-endian unix time

so a server tries its secrets until the first 28 bytes agree, and the last four then tell when the hello was made.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import TYPE_CHECKING, Final, Literal, final

import attrs

from telemt_trio.errors import LocalProtocolError, RemoteProtocolError
from telemt_trio.wire.hello_extensions import (
    ALPN,
    KEY_SHARE,
    SERVER_NAME,
    SUPPORTED_VERSIONS,
    Extensions,
    read_extensions,
    read_key_shares,
    read_protocols,
    read_server_name,
    read_versions,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from telemt_trio.wire.hello_shapes import RandomRange

__all__ = [
    "BOOT_CLOCK_CAP",
    "MAX_CLOCK_SKEW",
    "MAX_DOMAIN",
    "MAX_RECORD",
    "MAX_SESSION_ID",
    "RANDOM_END",
    "RANDOM_START",
    "SECRET_SIZE",
    "SIGNED_SIZE",
    "TLS12",
    "TLS13",
    "ClientHello",
    "HelloKey",
    "Shape",
    "acceptable_time",
    "boot_cap_for",
    "build_client_hello",
    "first_match",
    "parse_client_hello",
    "timestamp",
    "zeroed",
]

SECRET_SIZE: Final = 16
RANDOM_START: Final = 11
RANDOM_END: Final = 43
SIGNED_SIZE: Final = 28  # bytes of the random that must equal the MAC; the other four carry the time
MAX_RECORD: Final = 16384  # payload of a plaintext record, RFC 8446 section 5.1
MAX_SESSION_ID: Final = 32
MAX_DOMAIN: Final = 182  # TDLib takes no longer domain in a secret

MAX_CLOCK_SKEW: Final = 120  # seconds, both ways, both ends included: telemt's window
BOOT_CLOCK_CAP: Final = 120  # seconds: the longest uptime that passes for a time

TLS12: Final = 0x0303
TLS13: Final = 0x0304

Shape = Literal["tdlib", "legacy", "minimal"]

_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))  # RFC 2104
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))
_NO_RANDOM = bytes(RANDOM_END - RANDOM_START)
_HEAD = struct.Struct(">BHHIH")  # record type, version and length; message type with its 24-bit length; legacy version
_RECORD_VERSIONS = (0x0301, 0x0303)


@final
class HelloKey:
    """One user's secret (16 bytes), keyed once for HMAC-SHA256.

    A search over all users computes one MAC per user and hello, so the two hash states that depend on the key alone are
    kept and copied: half the price of ``hmac.digest``. ``copy_inner`` and ``copy_outer`` give a copy of either.
    """

    __slots__ = ("copy_inner", "copy_outer")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_SIZE:
            raise LocalProtocolError("a secret has 16 bytes")
        block = secret.ljust(64, b"\0")
        self.copy_inner = hashlib.sha256(block.translate(_INNER_PAD)).copy
        self.copy_outer = hashlib.sha256(block.translate(_OUTER_PAD)).copy

    def __repr__(self) -> str:
        return "HelloKey()"

    def mac(self, message: bytes) -> bytes:
        """HMAC-SHA256 of ``message`` under this key: 32 bytes. Of a hello, the :func:`zeroed` record is the message."""
        inner = self.copy_inner()
        inner.update(message)
        outer = self.copy_outer()
        outer.update(inner.digest())
        return outer.digest()


def first_match(keys: Sequence[HelloKey], message: bytes, signed: bytes, start: int = 0) -> tuple[int, bytes] | None:
    """The place of the first of ``keys`` whose MAC of ``message`` begins with ``signed`` (28 bytes), and that MAC.

    ``start`` is where to begin. This is the loop of a search over all users, at two hash copies a key; MACs are
    compared in constant time.
    """
    equal = hmac.compare_digest
    for place, key in enumerate(keys[start:] if start else keys, start):
        inner = key.copy_inner()
        inner.update(message)
        outer = key.copy_outer()
        outer.update(inner.digest())
        mac = outer.digest()
        if equal(mac[:SIGNED_SIZE], signed):
            return place, mac
    return None


def zeroed(record: bytes) -> bytes:
    """The record, header included, with the 32 bytes of its random zeroed: what the MAC of a hello covers."""
    return record[:RANDOM_START] + _NO_RANDOM + record[RANDOM_END:]


def timestamp(random: bytes, mac: bytes) -> int:
    """The unix time (seconds, 0 to 2**32 - 1) in the random of a hello whose MAC (32 bytes) is ``mac``."""
    return int.from_bytes(random[SIGNED_SIZE:], "little") ^ int.from_bytes(mac[SIGNED_SIZE:], "little")


def boot_cap_for(replay_window: float) -> int:
    """The ``boot_cap`` of :func:`acceptable_time` for a replay memory of so many seconds.

    Never longer than the memory: a hello that stays acceptable must stay remembered.
    """
    return min(int(replay_window), BOOT_CLOCK_CAP)


def acceptable_time(ts: int, now_unix: float, *, boot_cap: int) -> bool:
    """Whether a hello made at ``ts`` may be answered at ``now_unix`` (unix seconds; fractions do not count).

    Within 120 seconds either way, or below ``boot_cap``: some clients send the seconds since they booted. A clock that
    stands before 1970 is broken, and nothing is acceptable by it.
    """
    if now_unix < 0:
        return False
    return ts < boot_cap or -MAX_CLOCK_SKEW <= int(now_unix) - ts <= MAX_CLOCK_SKEW


@attrs.frozen
class ClientHello:
    """One complete ClientHello, read once.

    ``record`` is all of it as received; ``extensions`` are (type, data) in wire order. What is derived from a single
    extension takes one that occurs twice, against RFC 8446 section 4.2, for absent: ``server_name``, the host name that
    is asked for, or None if there is no usable one; ``alpn``, the protocols offered, in order, empty without the
    extension; and the properties, which read their extension anew at each access.
    """

    record: bytes = attrs.field(repr=False)
    random: bytes = attrs.field(repr=False)
    session_id: bytes = attrs.field(repr=False)
    legacy_version: int
    cipher_suites: tuple[int, ...]
    extensions: Extensions = attrs.field(repr=False)
    server_name: str | None
    alpn: tuple[bytes, ...]
    _contents: dict[int, bytes] = attrs.field(repr=False, eq=False)

    def extension(self, kind: int) -> bytes | None:
        """The data of the only extension of this type, or None."""
        return self._contents.get(kind)

    @property
    def key_shares(self) -> Extensions:
        """The (group, key) pairs offered, in order, GREASE included; empty if they are missing or malformed."""
        return read_key_shares(self._contents.get(KEY_SHARE, b""))

    @property
    def versions(self) -> tuple[int, ...] | None:
        """What supported_versions lists, GREASE included; empty if it is malformed, None without it."""
        data = self.extension(SUPPORTED_VERSIONS)
        return None if data is None else read_versions(data)

    @property
    def version(self) -> int | None:
        """``TLS13`` if that is offered, ``TLS12`` if only older ones are, None if nothing known is."""
        versions = self.versions
        if versions is None:
            return TLS12 if self.legacy_version >= TLS12 else None
        if TLS13 in versions:
            return TLS13
        return TLS12 if any(0x0301 <= version <= TLS12 for version in versions) else None


def parse_client_hello(record: bytes) -> ClientHello:
    """Read one record that holds one whole ClientHello and nothing else.

    Record versions 03 01 and 03 03, at most 16384 bytes behind the header, session ids of 0 to 32 bytes. Every length
    must lead exactly to the end of what it measures. Raises :class:`RemoteProtocolError`, and nothing else, otherwise.
    """
    total = len(record)
    if total < RANDOM_END + 1:
        raise RemoteProtocolError("a ClientHello is longer")
    kind, version, size, message, legacy_version = _HEAD.unpack_from(record)
    if kind != 0x16 or version not in _RECORD_VERSIONS or size != total - 5 or size > MAX_RECORD:
        raise RemoteProtocolError("not one handshake record")
    if message != 0x01000000 | (total - 9):
        raise RemoteProtocolError("not one whole ClientHello")
    session_end = 44 + record[43]
    suites_at = session_end + 2
    suites_end = suites_at + int.from_bytes(record[session_end:suites_at], "big")
    if session_end > 44 + MAX_SESSION_ID or suites_end >= total:
        raise RemoteProtocolError("session id or cipher suites are too long")
    count = suites_end - suites_at
    if count == 0 or count & 1:
        raise RemoteProtocolError("no list of cipher suites")
    compression_end = suites_end + 1 + record[suites_end]
    if record[suites_end] == 0 or compression_end > total:
        raise RemoteProtocolError("no list of compression methods")
    # Before TLS 1.3 a hello could end here.
    extensions = read_extensions(record, compression_end) if compression_end < total else ()
    contents = dict(extensions)
    if len(contents) != len(extensions):
        contents = _unrepeated(extensions)
    return ClientHello(
        record,
        record[RANDOM_START:RANDOM_END],
        record[44:session_end],
        legacy_version,
        struct.unpack_from(f">{count >> 1}H", record, suites_at),
        extensions,
        read_server_name(contents.get(SERVER_NAME, b"")),
        read_protocols(contents.get(ALPN, b"")),
        contents,
    )


def _unrepeated(extensions: Extensions) -> dict[int, bytes]:
    """The extensions whose type occurs once, in one pass: there may be four thousand."""
    contents: dict[int, bytes] = {}
    repeated = set()
    for kind, data in extensions:
        if kind in contents:
            repeated.add(kind)
        contents[kind] = data
    for kind in repeated:
        del contents[kind]
    return contents


def build_client_hello(
    *,
    secret: bytes,
    domain: str,
    unix_time: int,
    entropy: Callable[[int], bytes],
    rng: RandomRange | None = None,
    shape: Shape = "tdlib",
) -> bytes:
    """Write the record that a client with this secret (16 bytes) sends to ask for ``domain`` (1 to 182 characters).

    ``shape`` names the client. ``tdlib`` is what current Telegram applications send: GREASE, a hybrid key share,
    extensions in random order, 1572 bytes and the domain and 144, 176, 208 or 240 for its ECH. ``legacy`` is what they
    sent before: exactly 517 bytes, padded. ``minimal`` is the least that a TLS 1.3 server answers. ``entropy(n)`` draws
    keys and ids; ``rng`` (a ``random.Random``; None means ``entropy`` again) draws order, sizes and GREASE. Seconds of
    ``unix_time`` beyond 32 bits are lost, as on the wire.

    Raises :class:`LocalProtocolError` for a domain or shape that cannot be written.
    """
    from telemt_trio.wire.hello_shapes import unsigned_hello

    key = HelloKey(secret)
    if not (0 < len(domain) <= MAX_DOMAIN and domain.isascii()):
        raise LocalProtocolError("a domain has 1 to 182 ASCII characters")
    record = unsigned_hello(shape, domain=domain.encode("ascii"), entropy=entropy, rng=rng)
    mac = key.mac(record)
    stamp = int.from_bytes(mac[SIGNED_SIZE:], "little") ^ (unix_time & 0xFFFFFFFF)
    return record[:RANDOM_START] + mac[:SIGNED_SIZE] + stamp.to_bytes(4, "little") + record[RANDOM_END:]
