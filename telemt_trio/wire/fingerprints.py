"""JA3 and JA4: what kind of client a ClientHello comes from, as two well-known strings.

Both leave GREASE out. JA3 (Salesforce, 2017) keeps the wire order, so a client that shuffles its extensions has many;
JA4 (FoxIO, 2023) sorts. Hellos are only described here, never judged.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

from telemt_trio.errors import RemoteProtocolError
from telemt_trio.wire.hello_extensions import (
    ALPN,
    EC_POINT_FORMATS,
    GREASE,
    SERVER_NAME,
    SIGNATURE_ALGORITHMS,
    SUPPORTED_GROUPS,
    SUPPORTED_VERSIONS,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from telemt_trio.wire.client_hello import ClientHello

__all__ = ["ja3", "ja4"]

_JA4_VERSIONS = {
    0x0304: "13",
    0x0303: "12",
    0x0302: "11",
    0x0301: "10",
    0x0300: "s3",
    0x0002: "s2",
    0xFEFF: "d1",
    0xFEFD: "d2",
    0xFEFC: "d3",
}


def ja3(hello: ClientHello) -> tuple[str, str]:
    """The JA3 of a hello: its text and the MD5 of that, in hexadecimal.

    Raises :class:`RemoteProtocolError` if a list in it is malformed.
    """
    formats = _list(hello, EC_POINT_FORMATS, prefix=1, width=1)
    fields = (
        _meaningful(hello.cipher_suites),
        _extension_types(hello),
        _meaningful(_list(hello, SUPPORTED_GROUPS)),
        formats,
    )
    raw = ",".join((str(hello.legacy_version), *("-".join(map(str, field)) for field in fields)))
    return raw, hashlib.md5(raw.encode("ascii"), usedforsecurity=False).hexdigest()


def ja4(hello: ClientHello) -> tuple[str, str]:
    """The JA4 of a hello: the text with its lists written out (JA4_r), and the fingerprint with the lists hashed.

    Raises :class:`RemoteProtocolError` if a list in it is malformed.
    """
    ciphers = _meaningful(hello.cipher_suites)
    types = _extension_types(hello)
    signatures = _meaningful(_list(hello, SIGNATURE_ALGORITHMS))
    version = max(_meaningful(_list(hello, SUPPORTED_VERSIONS, prefix=1)), default=hello.legacy_version)
    head = (
        f"t{_JA4_VERSIONS.get(version, '00')}{'d' if SERVER_NAME in types else 'i'}"
        f"{min(len(ciphers), 99):02}{min(len(types), 99):02}{_protocol_marker(hello.alpn)}"
    )
    cipher_text = _hexadecimal(sorted(ciphers))
    type_text = _hexadecimal(sorted(kind for kind in types if kind not in {SERVER_NAME, ALPN}))
    if signatures:
        type_text += "_" + _hexadecimal(signatures)
    return f"{head}_{cipher_text}_{type_text}", f"{head}_{_short_hash(cipher_text)}_{_short_hash(type_text)}"


def _meaningful(values: Iterable[int]) -> list[int]:
    return [value for value in values if value not in GREASE]


def _extension_types(hello: ClientHello) -> list[int]:
    return _meaningful(kind for kind, _ in hello.extensions)


def _list(hello: ClientHello, kind: int, *, prefix: int = 2, width: int = 2) -> tuple[int, ...]:
    """The numbers of ``width`` bytes in the list, behind a length of ``prefix`` bytes, that is the whole extension."""
    data = hello.extension(kind)
    if data is None:
        return ()
    size = len(data) - prefix
    if size < 0 or size % width or int.from_bytes(data[:prefix], "big") != size:
        raise RemoteProtocolError("a list in the hello is malformed")
    return struct.unpack_from(f">{size // width}{'BH'[width - 1]}", data, prefix)


def _protocol_marker(protocols: tuple[bytes, ...]) -> str:
    first = protocols[0] if protocols else b""
    if not first:
        return "00"
    ends = bytes((first[0], first[-1]))
    if ends.isalnum():  # of bytes: ASCII letters and digits only
        return ends.decode("ascii")
    digits = first.hex()
    return digits[0] + digits[-1]


def _hexadecimal(values: Iterable[int]) -> str:
    return ",".join(f"{value:04x}" for value in values)


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:12] if text else "0" * 12
