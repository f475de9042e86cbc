"""Transport framings: how one stream of bytes holds one MTProto packet after the other, behind the obfuscation.

::

    abridged              | words 1 |                  payload            words < 127
                          | 7f      | words 3, little  | payload          the long form, legal for any length
    intermediate          | length 4, little           | payload
    padded intermediate   | length 4, little           | payload | 0..15 random bytes, counted by length

    quick acknowledgement, from the server alone   | token 4 |   no header: its highest bit is what no length has

``words`` are units of four bytes. The highest bit of the first byte (abridged) or of the length (the others) asks for a
quick acknowledgement when it comes from a client, and *is* the acknowledgement when it comes from a server.

A relay to a datacenter passes frames on unread; they matter where they are exchanged for packets of a middle proxy, and
to a client.

Source: core.telegram.org/mtproto/mtproto-transports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from telemt_trio.errors import LocalProtocolError, RemoteProtocolError
from telemt_trio.wire.need_data import NEED_DATA, NeedData
from telemt_trio.wire.obfuscated2 import ABRIDGED, INTERMEDIATE, SECURE, TAGS

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

__all__ = [
    "MAX_PAYLOAD",
    "Frame",
    "FrameEvent",
    "FrameReader",
    "FrameTooLargeError",
    "QuickAck",
    "frame",
    "padding_to_client",
    "padding_to_server",
    "quick_ack_bytes",
]

MAX_PAYLOAD: Final = 4 * 0xFFFFFF  # what the three length bytes of abridged can say; the others are held to it
_WORD: Final = 4
_LONG: Final = 0x7F  # abridged: the word count follows in three bytes
_FLAG_8: Final = 0x80
_FLAG_32: Final = 0x80000000
_MAX_PADDING: Final = 15  # what clients append, and what every server strips or tolerates


@attrs.frozen
class Frame:
    """One packet. An empty ``payload`` is legal and means nothing; how many are too many is the caller's to say.

    ``payload`` is whole words. From a client in the padded framing its last one to three words may be padding, which
    no receiver can tell apart. ``quick_ack``: the client wants an acknowledgement. ``wire_size`` counts every byte the
    frame took, header and padding included.
    """

    payload: bytes = attrs.field(repr=False)
    quick_ack: bool
    wire_size: int


@attrs.frozen
class QuickAck:
    """A server's acknowledgement: the 32-bit ``token``, highest bit set, as :func:`quick_ack_bytes` takes it."""

    token: int


FrameEvent: TypeAlias = "Frame | QuickAck | NeedData"


class FrameTooLargeError(RemoteProtocolError):
    """A frame beyond the limit: nearly always a stream whose two ends no longer agree where a frame starts.

    ``length`` is what the header claims, in bytes; ``header`` the one or four bytes it was read from, which show
    whether the peer speaks another protocol altogether.
    """

    def __init__(self, length: int, header: bytes) -> None:
        super().__init__("frame larger than the limit")
        self.length = length
        self.header = header


class FrameReader:
    """The parser of one direction of a stream: :meth:`receive_data` what arrived, :meth:`next_event` until NEED_DATA.

    ``tag`` names the framing; ``max_frame`` bounds a frame in bytes, padding included and header not. A frame beyond
    it is refused by its header, before its payload is waited for. ``from_server`` reads what a server writes, where
    the highest bit makes a :class:`QuickAck`. An error is final: the stream cannot be followed any more, and every
    later call raises it again.
    """

    __slots__ = ("_at", "_buffer", "_from_server", "_max_frame", "_tag")

    def __init__(self, tag: bytes, max_frame: int, *, from_server: bool = False) -> None:
        if tag not in TAGS:
            raise LocalProtocolError("no framing has this tag")
        self._tag = tag
        self._max_frame = max_frame
        self._from_server = from_server
        self._buffer = bytearray()
        self._at = 0  # where the next frame starts

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the stream, cut anywhere. They are copied."""
        self._buffer += data

    def next_event(self) -> FrameEvent:
        """The next frame or acknowledgement that is complete.

        Raises :class:`RemoteProtocolError` for a length no MTProto packet has, and its subclass
        :class:`FrameTooLargeError` for one beyond ``max_frame``.
        """
        head = bytes(self._buffer[self._at : self._at + _WORD])
        if self._from_server and self._is_quick_ack(head):
            return self._take_quick_ack(head) if len(head) == _WORD else self._wait()
        header = _abridged_header(head) if self._tag == ABRIDGED else _intermediate_header(head)
        if header is None:
            return self._wait()
        header_size, length, quick_ack = header
        self._check(length, head[:header_size])
        start = self._at + header_size
        end = start + length
        if len(self._buffer) < end:
            return self._wait()
        payload = bytes(memoryview(self._buffer)[start : start + (length & -_WORD)])
        self._at = end
        return Frame(payload, quick_ack, header_size + length)

    @property
    def between_frames(self) -> bool:
        """True where the stream may end: before a frame, or within the length that would have started it.

        Ask after :meth:`next_event` answered NEED_DATA.
        """
        return len(self._buffer) - self._at < (1 if self._tag == ABRIDGED else _WORD)

    def _is_quick_ack(self, head: bytes) -> bool:
        if self._tag == ABRIDGED:
            return bool(head) and head[0] >= _FLAG_8
        return len(head) == _WORD and head[3] >= _FLAG_8

    def _take_quick_ack(self, head: bytes) -> QuickAck:
        self._at += _WORD
        return QuickAck(int.from_bytes(head, "big" if self._tag == ABRIDGED else "little"))

    def _check(self, length: int, header: bytes) -> None:
        if length > self._max_frame:
            raise FrameTooLargeError(length, header)
        if 0 < length < _WORD:
            raise RemoteProtocolError("frame too small")
        # Passing an unaligned packet on would only move the error to the middle proxy's link, which others share.
        if length % _WORD and self._tag == INTERMEDIATE:
            raise RemoteProtocolError("frame is not whole words")

    def _wait(self) -> NeedData:
        """Forget what was read. Once per read and not per frame: cutting the front off costs the same for many."""
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        return NEED_DATA


def _abridged_header(head: bytes) -> tuple[int, int, bool] | None:
    """Header size, length in bytes, quick-ack bit; None if ``head`` is too short to say."""
    if not head:
        return None
    words = head[0] & _LONG
    quick_ack = head[0] >= _FLAG_8
    if words < _LONG:
        return 1, words * _WORD, quick_ack
    if len(head) < _WORD:
        return None
    return _WORD, int.from_bytes(head[1:], "little") * _WORD, quick_ack


def _intermediate_header(head: bytes) -> tuple[int, int, bool] | None:
    """As :func:`_abridged_header`, for both intermediate framings."""
    if len(head) < _WORD:
        return None
    word = int.from_bytes(head, "little")
    return _WORD, word & ~_FLAG_32, word >= _FLAG_32


def frame(
    tag: bytes,
    payload: bytes | bytearray | memoryview,
    *,
    quick_ack: bool = False,
    padding: Callable[[], bytes] | None = None,
) -> bytes:
    """One packet as it goes on the wire.

    ``padding`` draws the random tail of the padded framing (:func:`padding_to_client`, :func:`padding_to_server`) and
    is not asked in the others, so a caller may always pass it; nor is it for an empty payload, which would then be
    read as a frame too small. ``quick_ack`` is a client's to set. Raises :class:`LocalProtocolError` for a payload
    that is not whole words or longer than :data:`MAX_PAYLOAD`: whoever passes on what a middle proxy sent looks first.
    """
    size = len(payload)
    if size % _WORD or size > MAX_PAYLOAD:
        raise LocalProtocolError("payload is not whole words, or too long for a frame")
    if tag == ABRIDGED:
        words, flag = size // _WORD, _FLAG_8 if quick_ack else 0
        if words < _LONG:
            return b"".join((bytes((words | flag,)), payload))
        return b"".join((bytes((_LONG | flag,)), words.to_bytes(3, "little"), payload))
    tail = padding() if padding is not None and size and tag == SECURE else b""
    if len(tail) > _MAX_PADDING:
        raise LocalProtocolError("more padding than receivers tolerate")
    length = size + len(tail) | (_FLAG_32 if quick_ack else 0)
    return b"".join((length.to_bytes(_WORD, "little"), payload, tail))


def padding_to_client(entropy: Callable[[int], bytes]) -> bytes:
    """0 to 3 random bytes. Some clients strip ``length % 4`` and nothing more: a whole word of padding breaks them."""
    drawn = entropy(4)
    return drawn[1 : 1 + (drawn[0] & 3)]


def padding_to_server(entropy: Callable[[int], bytes]) -> bytes:
    """0 to 15 random bytes, as clients append."""
    drawn = entropy(16)
    return drawn[1 : 1 + (drawn[0] & 15)]


def quick_ack_bytes(tag: bytes, token: int) -> bytes:
    """A server's acknowledgement on the wire: ``token`` unframed, its highest bit where a length has none.

    Raises :class:`LocalProtocolError` if ``token`` has not 32 bits with the highest one set: the client would read it
    as the length of a frame and lose the stream.
    """
    if not _FLAG_32 <= token < 2 * _FLAG_32:
        raise LocalProtocolError("a quick acknowledgement has 32 bits, the highest one set")
    return token.to_bytes(_WORD, "big" if tag == ABRIDGED else "little")
