"""TL, the serialization of MTProto: little-endian words, strings padded to four bytes, constructors named by a number.

Only what a server needs to read requests and write answers; each writer returns bytes, so an answer is a sum.

Source: core.telegram.org/mtproto/serialize and /mtproto/TL.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from telemt_trio.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BOOL_FALSE", "BOOL_TRUE", "TLReader", "long", "string", "unpack_gzip", "vector", "word"]

VECTOR = 0x1CB5C415

_ZLIB_OR_GZIP = 47  # zlib's number for "look at the header": TDLib packs zlib streams, others gzip
_GZIP_LIMIT = 1 << 24  # what one packed object may inflate to; real clients pack a few kilobytes


class TLReader:
    """Reads values from the front of a payload; a value that is not all there is a :class:`RemoteProtocolError`."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes have not been read."""
        return len(self._data) - self._at

    def raw(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        if not 0 <= size <= self.left:
            raise RemoteProtocolError("a TL value is cut short")
        self._at += size
        return self._data[self._at - size : self._at]

    def rest(self) -> bytes:
        """Everything that is left."""
        return self.raw(self.left)

    def word(self) -> int:
        """32 bits without sign: a constructor, flags, a count."""
        return int.from_bytes(self.raw(4), "little")

    def int32(self) -> int:
        """32 bits with sign: TL's ``int``."""
        return int.from_bytes(self.raw(4), "little", signed=True)

    def long(self) -> int:
        """64 bits without sign: TL's ``long``, as identifiers are compared, not computed with."""
        return int.from_bytes(self.raw(8), "little")

    def string(self) -> bytes:
        """TL's ``string`` or ``bytes``: length in one byte or in 254 and three, padded to a multiple of four."""
        size = self.raw(1)[0]
        header = 1
        if size == 254:
            size = int.from_bytes(self.raw(3), "little")
            header = 4
        elif size == 255:
            raise RemoteProtocolError("a TL string of 2**24 bytes or more")
        value = self.raw(size)
        self.raw(-(header + size) % 4)
        return value

    def expect(self, constructor: int) -> None:
        """Read a constructor that must be this one."""
        if self.word() != constructor:
            raise RemoteProtocolError("another TL constructor than expected")

    def vector_size(self) -> int:
        """The head of a boxed vector; every element takes four bytes or more, so a count beyond that is refused."""
        self.expect(VECTOR)
        size = self.word()
        if size > self.left // 4:
            raise RemoteProtocolError("a TL vector is cut short")
        return size


def word(value: int) -> bytes:
    """32 bits, signed or not."""
    return (value & 0xFFFFFFFF).to_bytes(4, "little")


def long(value: int) -> bytes:
    """64 bits, signed or not."""
    return (value & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")


def string(value: bytes) -> bytes:
    """TL's ``string`` or ``bytes``, below 2**24 bytes."""
    size = len(value)
    header = bytes((size,)) if size < 254 else struct.pack("<I", size << 8 | 254)
    return header + value + bytes(-(len(header) + size) % 4)


def vector(items: Iterable[bytes]) -> bytes:
    """A boxed vector of values already serialized."""
    elements = list(items)
    return word(VECTOR) + word(len(elements)) + b"".join(elements)


BOOL_TRUE = word(0x997275B5)
BOOL_FALSE = word(0xBC799737)


def unpack_gzip(packed: bytes) -> bytes:
    """What ``gzip_packed`` holds, 16 MiB at most."""
    inflate = zlib.decompressobj(wbits=_ZLIB_OR_GZIP)
    try:
        data = inflate.decompress(packed, _GZIP_LIMIT)
    except zlib.error as broken:
        raise RemoteProtocolError("gzip_packed holds neither gzip nor zlib") from broken
    if not inflate.eof:
        raise RemoteProtocolError("gzip_packed is cut short or too large")
    return data
