"""What a new connection is, fed byte by byte.

::

                    .-- a ClientHello record, whole --> Hello --(the caller answers: hello_accepted)--> records
    first bytes ----+-- 64 bytes of noise ----------> PlainNonce                                          |
                    `-- anything else --------------> Stranger          64 bytes of payload --> Nonce <---'

The opening owns every raw byte it was given, so that whoever turns out to be a stranger, now or after a failed
authentication, can be handed to the fronted site with nothing missing: :attr:`Opening.raw` is exactly what the front
must see first. A caller that runs out of time or meets the end of the stream takes :attr:`Opening.raw` just so.
"""

from __future__ import annotations

import contextlib
import enum
from typing import TYPE_CHECKING, ClassVar, Final

import attrs

from telemt_trio.errors import LocalProtocolError, RemoteProtocolError
from telemt_trio.events import RejectReason
from telemt_trio.wire.need_data import NEED_DATA, NeedData
from telemt_trio.wire.obfuscated2 import ABRIDGED, NONCE_SIZE, RESERVED_PREFIXES
from telemt_trio.wire.tls_records import APPLICATION_DATA, HANDSHAKE, HEADER_SIZE, RecordReader, application_header

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = ["Hello", "Nonce", "Opening", "OpeningEvent", "PlainNonce", "Stranger"]

MIN_HELLO: Final = 100  # shorter than any ClientHello with a key share
MAX_HELLO: Final = 16384  # RFC 8446 5.1
_CLIENT_HELLO: Final = 0x01
# Between an accepted hello and the nonce a client owes at most one ChangeCipherSpec; this many bytes without 64 of
# payload is somebody playing.
_MAX_BEFORE_NONCE: Final = 32768


@attrs.frozen
class Hello:
    """A whole first record that may be a ClientHello: authenticate ``record`` (5-byte header included)."""

    record: bytes = attrs.field(repr=False)


@attrs.frozen
class Nonce:
    """The obfuscated2 nonce from inside the records; ``surplus`` is the payload that came behind it."""

    nonce: bytes = attrs.field(repr=False)
    surplus: bytes = attrs.field(repr=False)


@attrs.frozen
class PlainNonce:
    """The obfuscated2 nonce of a connection without TLS; ``surplus`` are the bytes that came behind it."""

    nonce: bytes = attrs.field(repr=False)
    surplus: bytes = attrs.field(repr=False)


@attrs.frozen
class Stranger:
    """No client of ours. :attr:`Opening.raw` goes to the front."""

    reason: RejectReason


OpeningEvent: TypeAlias = "Hello | Nonce | PlainNonce | Stranger | NeedData"


class _State(enum.Enum):
    FIRST_BYTES = enum.auto()
    ANSWERING = enum.auto()  # the hello was given out, the caller owes a verdict
    RECORDS = enum.auto()
    NONCE = enum.auto()
    STRANGER = enum.auto()


class Opening:
    """The parser of first flights. ``tls`` and ``plain`` say which kinds of client the proxy serves.

    Call :meth:`receive_data` with what arrived, then :meth:`next_event` until it answers NEED_DATA. It never raises for
    bytes of the peer: what is wrong is a :class:`Stranger`, and stays one.
    """

    __slots__ = ("_payload", "_plain", "_raw", "_reason", "_state", "_tls", "answered", "reader")

    def __init__(self, *, tls: bool, plain: bool) -> None:
        self._tls = tls
        self._plain = plain
        self._raw = bytearray()
        self._payload = b""
        self._state = _State.FIRST_BYTES
        self._reason = RejectReason.NOT_OURS
        #: True once a hello was accepted: the connection speaks in records.
        self.answered = False
        #: The record layer of an accepted hello; behind the nonce it goes on as the first decode step of the relay.
        self.reader = RecordReader()

    def receive_data(self, data: bytes) -> None:
        """Take the next bytes of the stream, cut anywhere."""
        self._raw += data
        if self._state is _State.RECORDS:
            self._read_records(data)

    def next_event(self) -> OpeningEvent:
        """What the connection is, as far as the bytes so far tell."""
        return self._TABLE[self._state](self)

    def hello_accepted(self) -> None:
        """The caller has answered the hello: what follows are records with the nonce inside.

        From here on :attr:`raw` holds only what came behind the hello.
        """
        if self._state is not _State.ANSWERING:
            raise LocalProtocolError("there is no hello to accept")
        del self._raw[: self._hello_end()]
        self._state = _State.RECORDS
        self.answered = True
        if self._raw:
            self._read_records(bytes(self._raw))

    @property
    def raw(self) -> bytes:
        """What the front must see first: every byte read, or behind a refused nonce what followed it.

        After an accepted hello the front never saw that hello; it gets the payload behind the nonce, re-wrapped as the
        record it came in, so that whatever it answers is an answer to TLS records.
        """
        if self._state is _State.NONCE and self.answered:
            return _behind_nonce(bytes(self._raw))
        return bytes(self._raw)

    def _hello_end(self) -> int:
        return HEADER_SIZE + int.from_bytes(self._raw[3:5], "big")

    # One method a state; each answers what next_event answers.

    def _first_bytes(self) -> OpeningEvent:
        raw = self._raw
        if not raw:
            return NEED_DATA
        if raw[0] == HANDSHAKE and (len(raw) < 2 or raw[1] == 3) and (len(raw) < 3 or raw[2] in {1, 3}):
            return self._first_tls_bytes()
        if not self._plain:
            return self._stranger(RejectReason.PLAIN_OFF)
        if raw[0] == ABRIDGED[0] or bytes(raw[:4]) in RESERVED_PREFIXES:
            return self._stranger(RejectReason.NOT_OURS)
        if len(raw) < NONCE_SIZE:
            return NEED_DATA
        self._state = _State.NONCE
        return PlainNonce(bytes(raw[:NONCE_SIZE]), bytes(raw[NONCE_SIZE:]))

    def _first_tls_bytes(self) -> OpeningEvent:
        raw = self._raw
        if len(raw) < HEADER_SIZE:
            return NEED_DATA
        if not self._tls:
            return self._stranger(RejectReason.TLS_OFF)
        if not MIN_HELLO <= int.from_bytes(raw[3:5], "big") <= MAX_HELLO:
            return self._stranger(RejectReason.HELLO_SIZE)
        if len(raw) > HEADER_SIZE and raw[HEADER_SIZE] != _CLIENT_HELLO:
            return self._stranger(RejectReason.NOT_A_HELLO)
        end = self._hello_end()
        if len(raw) < end:
            return NEED_DATA
        self._state = _State.ANSWERING
        return Hello(bytes(raw[:end]))

    def _answering(self) -> OpeningEvent:
        return NEED_DATA

    def _read_records(self, data: bytes) -> None:
        # What is broken behind the nonce is the relay's to find: it gets this reader, whose error is final.
        with contextlib.suppress(RemoteProtocolError):
            self._payload += self.reader.decode(data)
        hopeless = self.reader.ended or len(self._raw) > _MAX_BEFORE_NONCE
        if hopeless and len(self._payload) < NONCE_SIZE:
            self._stranger(RejectReason.BROKEN_RECORDS)

    def _records(self) -> OpeningEvent:
        payload = self._payload
        if len(payload) < NONCE_SIZE:
            return NEED_DATA
        self._state = _State.NONCE
        return Nonce(payload[:NONCE_SIZE], payload[NONCE_SIZE:])

    def _nonce(self) -> OpeningEvent:
        return NEED_DATA

    def _stranger(self, reason: RejectReason) -> Stranger:
        self._state = _State.STRANGER
        self._reason = reason
        return Stranger(reason)

    def _stays_stranger(self) -> OpeningEvent:
        return Stranger(self._reason)

    _TABLE: ClassVar = {
        _State.FIRST_BYTES: _first_bytes,
        _State.ANSWERING: _answering,
        _State.RECORDS: _records,
        _State.NONCE: _nonce,
        _State.STRANGER: _stays_stranger,
    }


def _behind_nonce(records: bytes) -> bytes:
    """``records`` without the 64 payload bytes of the nonce and what stood before them.

    The record that held byte 63 may have more: its tail is wrapped again with the length that is left, also when part
    of that tail has yet to arrive.
    """
    to_skip = NONCE_SIZE
    position = 0
    while True:
        length = int.from_bytes(records[position + 3 : position + 5], "big")
        payload_at = position + HEADER_SIZE
        if records[position] == APPLICATION_DATA:
            if length >= to_skip:
                tail = records[payload_at + to_skip :]
                left = length - to_skip
                return application_header(left) + tail if left else tail
            to_skip -= length
        position = payload_at + length
