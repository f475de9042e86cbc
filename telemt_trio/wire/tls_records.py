"""TLS records as FakeTLS uses them once the hellos are over: obfuscated2 ciphertext in application data records.

::

    0      1         3         5
    | 17   | 03 03   | length  | payload ... |

Towards a client only ``17 03 03`` may ever be sent, 1 to 16384 bytes of payload each (16401 where a measured table says
so); an empty record hangs iOS, any other type stalls every client. From a client, a ChangeCipherSpec may stand anywhere
and means nothing, an alert ends the stream, and everything else is not a client.
"""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING, Final

from telemt_trio.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ALERT",
    "APPLICATION_DATA",
    "CHANGE_CIPHER_SPEC",
    "HANDSHAKE",
    "HEADER_SIZE",
    "MAX_PAYLOAD",
    "MAX_PAYLOAD_READ",
    "RecordReader",
    "RecordWriter",
    "application_header",
    "payload_accepted",
]

CHANGE_CIPHER_SPEC: Final = 0x14
ALERT: Final = 0x15
HANDSHAKE: Final = 0x16
APPLICATION_DATA: Final = 0x17

HEADER_SIZE: Final = 5
MAX_PAYLOAD: Final = 16384
MAX_PAYLOAD_READ: Final = 16640  # 2**14 + 256, RFC 8446 5.2; old iOS sends 16408

_APPLICATION_HEADER: Final = b"\x17\x03\x03"
_FULL_HEADER: Final = _APPLICATION_HEADER + MAX_PAYLOAD.to_bytes(2, "big")
_VERSION: Final = b"\x03\x03"
_HEADER: Final = struct.Struct(">3sH")  # type and version, length


def application_header(length: int) -> bytes:
    """The five bytes before ``length`` bytes of application data (at most 65535; the caller chooses the size)."""
    return _APPLICATION_HEADER + length.to_bytes(2, "big")


class _Content(enum.Enum):
    """What the bytes of the current record are for."""

    PAYLOAD = enum.auto()
    CHANGE_CIPHER_SPEC = enum.auto()
    ALERT = enum.auto()


class RecordReader:
    """The payload inside a stream of records, delivered as it arrives, a record need not be complete.

    A codec step: :meth:`decode` takes any slice of the stream and returns the payload in it. After an alert ``ended``
    is True and all later bytes are ignored. An error is final, and comes behind the payload that stood before it:
    where a slice held both, ``ended`` is True and every later call raises.
    """

    __slots__ = ("_error", "_header", "_left", "_what", "ended")

    def __init__(self) -> None:
        self._left = 0  # bytes of the current record still to come
        self._header = b""  # an incomplete header
        self._what = _Content.PAYLOAD
        self._error: str | None = None
        self.ended = False

    @property
    def between_records(self) -> bool:
        """True where the stream may end without cutting a record."""
        return not self._left and not self._header

    def decode(self, data: bytes | bytearray | memoryview) -> bytes | memoryview:
        """Strip the record headers off ``data``.

        Returns a view into ``data`` when it lies within one record, else joined bytes; empty when only headers came.
        Raises :class:`RemoteProtocolError` for a record no client sends, unless there was payload before it.
        """
        view = memoryview(data)
        size = len(view)
        left = self._left
        if 0 < size <= left and self._what is _Content.PAYLOAD:
            self._left = left - size
            return view
        parts: list[memoryview] = []
        try:
            self._split(view, size, parts)
        except RemoteProtocolError:
            if not parts:
                raise
        if len(parts) == 1:
            return parts[0]
        return b"".join(parts)

    def _split(self, view: memoryview, size: int, parts: list[memoryview]) -> None:
        """Collect the payload slices of ``view``, in order."""
        if self._error is not None:
            raise RemoteProtocolError(self._error)
        position = 0
        if self._header:
            position = HEADER_SIZE - len(self._header)
            head = self._header + bytes(view[:position])
            if len(head) < HEADER_SIZE:
                self._header = head
                return
            self._header = b""
            self._begin(*_HEADER.unpack(head))
        while not self.ended:
            # The rest of a record that was begun.
            end = position + self._left
            if self._what is _Content.PAYLOAD:
                if position < end and position < size:
                    parts.append(view[position:end])
            elif self._what is _Content.ALERT and end <= size:
                self.ended = True
            self._left = max(0, end - size)
            if end >= size or self.ended:
                return
            position = self._whole_records(view, end, size, parts)
            if position + HEADER_SIZE > size:
                self._header = bytes(view[position:])
                return
            self._begin(*_HEADER.unpack_from(view, position))
            position += HEADER_SIZE

    @staticmethod
    def _whole_records(view: memoryview, position: int, size: int, parts: list[memoryview]) -> int:
        """Collect the plain application records that lie whole in ``view``; returns where the first other one starts.

        A client's upload is little else, in records of 2878 bytes, so this loop is what an upload costs here.
        """
        unpack = _HEADER.unpack_from
        append = parts.append
        last = size - HEADER_SIZE
        while position <= last:
            head, length = unpack(view, position)
            start = position + HEADER_SIZE
            end = start + length
            if end > size or head != _APPLICATION_HEADER or not 0 < length <= MAX_PAYLOAD_READ:
                break
            append(view[start:end])
            position = end
        return position

    def _begin(self, head: bytes, length: int) -> None:
        """Start the record that a header announces."""
        kind = head[0]
        if head[1:] != _VERSION:
            self._fail("record version is not 03 03")
        elif kind == APPLICATION_DATA and length <= MAX_PAYLOAD_READ:
            self._what = _Content.PAYLOAD  # an empty one is skipped: harmless, and desktop clients do the same
        elif kind == CHANGE_CIPHER_SPEC and length == 1:
            self._what = _Content.CHANGE_CIPHER_SPEC
        elif kind == ALERT and length == 2:
            self._what = _Content.ALERT
        else:
            self._fail("record type or length that no client sends")
        self._left = length

    def _fail(self, why: str) -> None:
        self._error = why
        self._left = 0
        self.ended = True
        raise RemoteProtocolError(why)


class RecordWriter:
    """Payload into application records.

    A codec step: :meth:`encode` returns a list of buffers, header and payload in turn, for one scatter-gather send; the
    payload is not copied. ``limit`` is the largest payload of a record in bytes. Nothing is held back: every call ends
    its last record, and an empty call yields nothing.
    """

    __slots__ = ("limit",)

    def __init__(self, limit: int = MAX_PAYLOAD) -> None:
        self.limit = limit

    def encode(self, data: bytes | memoryview) -> list[bytes | memoryview]:
        """Cut ``data`` into records; an empty ``data`` gives an empty list, never an empty record."""
        size = len(data)
        limit = self.limit
        if size <= limit:
            return [_APPLICATION_HEADER + size.to_bytes(2, "big"), data] if size else []
        view = memoryview(data)
        full = _FULL_HEADER if limit == MAX_PAYLOAD else _APPLICATION_HEADER + limit.to_bytes(2, "big")
        out: list[bytes | memoryview] = []
        for start in range(0, size - limit + 1, limit):
            out.append(full)
            out.append(view[start : start + limit])
        rest = size % limit
        if rest:
            out.append(_APPLICATION_HEADER + rest.to_bytes(2, "big"))
            out.append(view[size - rest :])
        return out


def payload_accepted(buffers: Sequence[bytes | memoryview], sent: int) -> int:
    """How many payload bytes are among the first ``sent`` bytes of an :meth:`RecordWriter.encode` list."""
    payload = 0
    for header, body in zip(buffers[::2], buffers[1::2], strict=True):
        sent -= len(header)
        if sent <= 0:
            break
        payload += min(sent, len(body))
        sent -= len(body)
    return payload
