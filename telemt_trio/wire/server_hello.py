"""The answer to a FakeTLS ClientHello, and ServerHellos in general.

The answer is three records, in this order and nothing else::

    16 03 03 | len | ServerHello         random at bytes 11 to 43
    14 03 03 | 00 01 | 01                ChangeCipherSpec
    17 03 03 | len | random bytes        what would be the encrypted certificate

    random = HMAC-SHA256(secret, random of the ClientHello as sent || all three records with this random zeroed)

Clients check the two record headers and this MAC, and take the next byte for the stream. So there is exactly one
application record, and nothing may follow it until the client has spoken: whatever arrives along with the answer breaks
it for some client or other.
"""

from __future__ import annotations

import hmac
import struct
from typing import TYPE_CHECKING, Final, final

import attrs

from telemt_trio.errors import LocalProtocolError, RemoteProtocolError
from telemt_trio.wire.client_hello import MAX_RECORD, MAX_SESSION_ID, RANDOM_END, RANDOM_START, zeroed
from telemt_trio.wire.hello_extensions import (
    CLIENT_KEY_SIZES,
    KEY_SHARE,
    SERVER_KEY_SIZES,
    SUPPORTED_VERSIONS,
    X25519,
    X25519MLKEM768,
    Extensions,
    find_extension,
    read_extensions,
    write_extension,
    x25519_source,
)
from telemt_trio.wire.need_data import NEED_DATA, NeedData

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemt_trio.wire.client_hello import ClientHello

__all__ = [
    "CIPHERS",
    "DEFAULT_CIPHER",
    "KEY_SHARE",
    "MAX_APP_DATA",
    "SUPPORTED_VERSIONS",
    "X25519",
    "X25519MLKEM768",
    "Answer",
    "AnswerReader",
    "ServerHello",
    "build_answer",
    "choose_cipher",
    "choose_group",
    "parse_server_hello",
    "server_key_share",
    "x25519_source",
]

DEFAULT_CIPHER: Final = 0x1301
CIPHERS: Final = (0x1301, 0x1303, 0x1302)  # those of TLS 1.3, in the order a server without preference tries them

MAX_APP_DATA: Final = 10240  # bytes; Telegram for iOS drops an answer with more, and waits for ever on an empty record

_CHANGE_CIPHER_SPEC = b"\x14\x03\x03\x00\x01\x01"
_HELLO_PREFIX = b"\x16\x03\x03"
_REST_PREFIX = _CHANGE_CIPHER_SPEC + b"\x17\x03\x03"
_HEAD = struct.Struct(">BHHIH")  # record type, version and length; message type with its 24-bit length; version
_RECORD_VERSIONS = (0x0303, 0x0302, 0x0301)


def choose_cipher(hello: ClientHello, preferred: int = DEFAULT_CIPHER) -> int | None:
    """The cipher suite to answer with: ``preferred`` if it is one of :data:`CIPHERS`, else 0x1301, if that is offered;
    otherwise the first offered of :data:`CIPHERS`; None if no suite of TLS 1.3 is offered.
    """
    offered = hello.cipher_suites
    first = preferred if preferred in CIPHERS else DEFAULT_CIPHER
    if first in offered:
        return first
    return next((cipher for cipher in CIPHERS if cipher in offered), None)


def choose_group(hello: ClientHello, preferred: int | None = None) -> int | None:
    """The key share group to answer with, or None if the client sent no usable key.

    Usable is a group with exactly one key of exactly its size. ``X25519MLKEM768`` comes first only when ``preferred``,
    which should follow the site that is imitated.
    """
    order = (X25519MLKEM768, X25519) if preferred == X25519MLKEM768 else (X25519, X25519MLKEM768)
    shares = hello.key_shares
    for group in order:
        sizes = [len(key) for offered, key in shares if offered == group]
        if sizes == [CLIENT_KEY_SIZES[group]]:
            return group
    return None


def server_key_share(group: int, entropy: Callable[[int], bytes], x25519_public: Callable[[], bytes]) -> bytes:
    """The key a server shows for ``group``: 32 bytes, or a ciphertext of 1088 random bytes with 32 behind it.

    No secret is ever shared, so the client's key is not used. ``x25519_public()`` returns a fresh public key
    (:func:`x25519_source` makes such callables). Raises :class:`LocalProtocolError` for any other group.
    """
    if group not in SERVER_KEY_SIZES:
        raise LocalProtocolError("no such key share group")
    if group == X25519:
        return x25519_public()
    return entropy(SERVER_KEY_SIZES[group] - SERVER_KEY_SIZES[X25519]) + x25519_public()


def build_answer(
    *,
    secret: bytes,
    hello: ClientHello,
    cipher: int,
    group: int,
    key_share: bytes,
    app_data: bytes,
    extensions: tuple[int, ...] = (KEY_SHARE, SUPPORTED_VERSIONS),
) -> bytes:
    """The three records that answer ``hello``, signed with ``secret`` (16 bytes): to be sent in one write.

    ``app_data`` is 1 to 10240 bytes, ``extensions`` the order in which the two extensions stand. With a session id of
    32 bytes the ServerHello record takes 127 bytes for X25519 and 1215 for X25519MLKEM768.

    Raises :class:`LocalProtocolError` if the parts do not make an answer that every client takes.
    """
    if not 0 < len(app_data) <= MAX_APP_DATA:
        raise LocalProtocolError("the application record of an answer holds 1 to 10240 bytes")
    if SERVER_KEY_SIZES.get(group) != len(key_share):
        raise LocalProtocolError("the key share does not fit its group")
    written = {
        KEY_SHARE: write_extension(KEY_SHARE, write_extension(group, key_share)),  # a share has an extension's layout
        SUPPORTED_VERSIONS: write_extension(SUPPORTED_VERSIONS, b"\x03\x04"),
    }
    if len(extensions) != 2 or set(extensions) != set(written):
        raise LocalProtocolError("an answer has one key_share and one supported_versions extension")
    tail = written[extensions[0]] + written[extensions[1]]
    session_id = hello.session_id
    behind_random = b"%c%b%b\0%b%b" % (
        len(session_id),
        session_id,
        cipher.to_bytes(2, "big"),
        len(tail).to_bytes(2, "big"),
        tail,
    )
    body_size = 2 + (RANDOM_END - RANDOM_START) + len(behind_random)
    head = _HEAD.pack(0x16, 0x0303, body_size + 4, 0x02000000 | body_size, 0x0303)
    rest = b"%b%b\x17\x03\x03%b%b" % (
        behind_random,
        _CHANGE_CIPHER_SPEC,
        len(app_data).to_bytes(2, "big"),
        app_data,
    )
    unsigned = hello.random + head + bytes(RANDOM_END - RANDOM_START) + rest
    return head + hmac.digest(secret, unsigned, "sha256") + rest


@attrs.frozen
class ServerHello:
    """One ServerHello as any TLS 1.0 to 1.3 server sends it.

    ``message_size`` is that of the handshake message with its 4-byte header: five less than the record unless an older
    server put further messages into the same record. ``extensions`` are (type, data) in wire order.
    """

    version: int
    random: bytes = attrs.field(repr=False)
    session_id: bytes = attrs.field(repr=False)
    cipher: int
    compression: int
    extensions: Extensions = attrs.field(repr=False)
    message_size: int

    def extension(self, kind: int) -> bytes | None:
        """The data of the first extension of this type, or None."""
        return find_extension(self.extensions, kind)

    @property
    def group(self) -> int | None:
        """The group of the key share; None without a whole one: a HelloRetryRequest names a group, but no key."""
        share = self.extension(KEY_SHARE) or b""
        if int.from_bytes(share[2:4], "big") != len(share) - 4:  # what is too short for a header fails here too
            return None
        return int.from_bytes(share[:2], "big")


def parse_server_hello(record: bytes) -> ServerHello:
    """Read one whole record that starts with a ServerHello.

    Further handshake messages may follow it there, as TLS 1.2 servers like to do. Raises :class:`RemoteProtocolError`,
    and nothing else, if it is anything but that.
    """
    total = len(record)
    if total < RANDOM_END + 1:
        raise RemoteProtocolError("a ServerHello is longer")
    kind, record_version, size, message, version = _HEAD.unpack_from(record)
    if kind != 0x16 or record_version not in _RECORD_VERSIONS or size != total - 5 or size > MAX_RECORD:
        raise RemoteProtocolError("not one handshake record")
    message_size = 4 + (message & 0xFFFFFF)
    end = 5 + message_size
    if message >> 24 != 2 or end > total:
        raise RemoteProtocolError("not a whole ServerHello")
    session_end = 44 + record[43]
    fixed_end = session_end + 3
    if session_end > 44 + MAX_SESSION_ID or fixed_end > end:
        raise RemoteProtocolError("the session id is too long")
    return ServerHello(
        version,
        record[RANDOM_START:RANDOM_END],
        record[44:session_end],
        int.from_bytes(record[session_end : session_end + 2], "big"),
        record[session_end + 2],
        read_extensions(record[:end], fixed_end) if fixed_end < end else (),
        message_size,
    )


@attrs.frozen
class Answer:
    """A server's answer whose signature is right.

    Clients do not look into the ServerHello: if there is none to read, ``server_hello`` is None, and so are the
    properties that depend on it. Sizes are in bytes: the first record with its header, and the payload of the third.
    ``trailing`` is what had been received behind the answer. Clients differ in what they make of it; a server leaves it
    empty.
    """

    server_hello: ServerHello | None
    hello_size: int
    app_data_size: int
    trailing: bytes = attrs.field(repr=False)

    @property
    def cipher(self) -> int | None:
        """The cipher suite the server chose."""
        return None if self.server_hello is None else self.server_hello.cipher

    @property
    def group(self) -> int | None:
        """The group of the server's key share."""
        return None if self.server_hello is None else self.server_hello.group

    @property
    def session_id(self) -> bytes | None:
        """The session id the server sent: an echo of the client's, if it is a careful one."""
        return None if self.server_hello is None else self.server_hello.session_id


@final
class AnswerReader:
    """The client's side of the handshake: reads an answer as Telegram's clients do, from pieces of any size.

    ``secret`` is 16 bytes, ``client_random`` bytes 11 to 43 of the ClientHello as it was sent. Feed bytes to
    :meth:`receive_data`, ask :meth:`next_event`; after the :class:`Answer` the reader's work is done.
    """

    __slots__ = ("_answered", "_client_random", "_ended", "_received", "_secret")

    def __init__(self, secret: bytes, client_random: bytes) -> None:
        self._secret = secret
        self._client_random = client_random
        self._received = bytearray()
        self._ended = False
        self._answered = False

    def receive_data(self, data: bytes) -> None:
        """Add what was received; ``b""`` says that the server has ended the stream.

        Raises :class:`LocalProtocolError` after the end or the answer: those bytes belong to whoever reads the stream.
        """
        if self._answered or self._ended:
            raise LocalProtocolError("nothing more is read into an answer")
        self._received += data
        self._ended = not data

    def next_event(self) -> Answer | NeedData:
        """The answer, or NEED_DATA until it is complete.

        Raises :class:`RemoteProtocolError`, again at each call, as soon as the bytes cannot become an answer to this
        client; :class:`LocalProtocolError` once the answer has been returned.
        """
        if self._answered:
            raise LocalProtocolError("the answer has been read")
        hello_end = self._record_end(0, _HELLO_PREFIX)
        end = hello_end and self._record_end(hello_end, _REST_PREFIX)
        if not hello_end or not end:
            if self._ended:
                raise RemoteProtocolError("the stream ended inside the answer")
            return NEED_DATA
        records = bytes(self._received[:end])
        signature = hmac.digest(self._secret, self._client_random + zeroed(records), "sha256")
        if not hmac.compare_digest(signature, records[RANDOM_START:RANDOM_END]):
            raise RemoteProtocolError("the answer is not signed with this secret")
        self._answered = True
        try:
            server_hello = parse_server_hello(records[:hello_end])
        except RemoteProtocolError:
            server_hello = None
        app_data_size = end - hello_end - len(_REST_PREFIX) - 2
        return Answer(server_hello, hello_end, app_data_size, bytes(self._received[end:]))

    def _record_end(self, start: int, prefix: bytes) -> int | None:
        """Where the payload ends whose length stands behind ``prefix`` at ``start``; None while it is incomplete."""
        received = self._received
        size_at = start + len(prefix)
        if not prefix.startswith(received[start:size_at]):
            raise RemoteProtocolError("these are not the records of an answer")
        if len(received) < size_at + 2:
            return None
        end = size_at + 2 + int.from_bytes(received[size_at : size_at + 2], "big")
        return end if len(received) >= end else None
