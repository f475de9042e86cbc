"""Encrypted MTProto 2.0 messages and the service layer a client needs before it asks for anything.

:class:`MTProtoServer` is one connection: it takes frame payloads, creates keys through
:class:`~telemt_trio.testing.auth_key.AuthKeyServer`, opens encrypted messages, answers pings, salts,
acknowledgements and containers itself, and hands every other request to an :class:`Api`. No sockets, no clock, no
randomness of its own.

Source: core.telegram.org/mtproto/description, /mtproto/service_messages, /mtproto/mtproto-transports#transport-errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from telemt_trio.errors import RemoteProtocolError
from telemt_trio.testing.auth_key import AuthKeyServer
from telemt_trio.testing.mtproto_crypto import ige_decrypt, ige_encrypt, message_cipher, message_key
from telemt_trio.testing.mtproto_tl import TLReader, long, string, unpack_gzip, word

if TYPE_CHECKING:
    from telemt_trio.testing.auth_key import AuthKey, AuthKeyring

__all__ = ["Api", "MTProtoServer", "rpc_error"]

MSG_CONTAINER, GZIP_PACKED, MSGS_ACK = 0x73F1F8DC, 0x3072CFA1, 0x62D6B459
PING, PING_DELAY_DISCONNECT, PONG = 0x7ABE77EC, 0xF3427B8C, 0x347773C5
GET_FUTURE_SALTS, FUTURE_SALTS = 0xB921BD04, 0xAE500895
BAD_SERVER_SALT, NEW_SESSION_CREATED = 0xEDAB447B, 0x9EC20908
DESTROY_SESSION, DESTROY_SESSION_OK = 0xE7512126, 0xE22045FC
DESTROY_AUTH_KEY, DESTROY_AUTH_KEY_OK = 0xD1435160, 0xF660E1D4
RPC_DROP_ANSWER, RPC_ANSWER_UNKNOWN = 0x58E4A740, 0x5E2AD36E
RPC_RESULT, RPC_ERROR = 0xF35C6D01, 0x2144CA19
MSGS_STATE_REQ, MSGS_STATE_INFO, MSG_RESEND_REQ, HTTP_WAIT = 0xDA69FB52, 0x04DEB57D, 0x7D861A08, 0x9299359F
MSGS_ALL_INFO = 0x8CC0D131

_IGNORED = frozenset((MSGS_ACK, MSG_RESEND_REQ, HTTP_WAIT, MSGS_STATE_INFO, MSGS_ALL_INFO))

_KEY_UNKNOWN = (-404).to_bytes(4, "little", signed=True)
_WRONG_SALT = 48
_SALT_LIFETIME = 3600  # seconds; real salts change about every half hour and overlap
_HEADER = 32  # salt, session id, message id, sequence number, length
_NESTING = 3  # a container in gzip_packed or the reverse; containers hold no containers


class Api(Protocol):
    """Answers requests."""

    def answer(self, query: TLReader, dc: int) -> bytes:
        """What goes into ``rpc_result``, serialized, or :func:`rpc_error`.

        ``query`` stands at the constructor, ``dc`` (1 or more) is the datacenter the client believes to talk to.
        """
        ...


def rpc_error(code: int, text: str) -> bytes:
    """A refusal, such as 400 or 401."""
    return word(RPC_ERROR) + word(code) + string(text.encode())


@attrs.define
class _Session:
    """What one connection remembers of one (key, session id) pair."""

    key: AuthKey
    session_id: bytes
    sent: int = 0  # content-related messages so far, for the sequence number


class MTProtoServer:
    """One connection to a datacenter, above the framing.

    :meth:`receive` takes the payload of one frame and returns the payloads to send. It raises
    :class:`~telemt_trio.errors.RemoteProtocolError` for what no client sends; the caller then closes.
    ``dc`` is passed on to the api. ``requests`` counts what was answered, by constructor.
    """

    def __init__(self, keyring: AuthKeyring, api: Api, dc: int) -> None:
        self.exchange = AuthKeyServer(keyring)
        self.requests: dict[int, int] = {}
        self._keyring = keyring
        self._api = api
        self._dc = dc
        self._sessions: dict[tuple[bytes, bytes], _Session] = {}
        self._ids = keyring.message_ids()

    def receive(self, payload: bytes) -> list[bytes]:
        """Answer one frame; an empty one means nothing.

        A key nobody created is answered by the transport error -404, as real servers do.
        """
        if not payload:
            return []
        if payload[:8] == bytes(8):
            return self.exchange.receive(payload)
        key = self._keyring.keys.get(payload[:8])
        if key is None:
            return [_KEY_UNKNOWN]
        plain = self._open(key, payload)
        header = TLReader(plain)
        salt, session_id = header.long(), header.raw(8)
        message_id, sequence = header.long(), header.word()
        body = TLReader(header.raw(header.word()))
        session = self._session(key, session_id)
        if salt != key.salt:
            refusal = word(BAD_SERVER_SALT) + long(message_id) + word(sequence) + word(_WRONG_SALT) + long(key.salt)
            return [self._seal(session, refusal, answer=True, content=False)]
        answers = []
        if (key.key_id, session_id) not in self._keyring.sessions:
            self._keyring.sessions.add((key.key_id, session_id))
            created = word(NEW_SESSION_CREATED) + long(message_id) + self._keyring.entropy(8) + long(key.salt)
            answers.append(self._seal(session, created, answer=False, content=True))
        answers += self._serve(session, message_id, body)
        return answers

    def _session(self, key: AuthKey, session_id: bytes) -> _Session:
        name = key.key_id, session_id
        if name not in self._sessions:
            self._sessions[name] = _Session(key, session_id)
        return self._sessions[name]

    def _serve(self, session: _Session, message_id: int, body: TLReader, depth: int = 0) -> list[bytes]:
        if depth == _NESTING:
            raise RemoteProtocolError("messages nested too deeply")
        kind = body.word()
        if kind == MSG_CONTAINER:
            answers = []
            for _ in range(body.word()):
                inner_id = body.long()
                body.word()
                answers += self._serve(session, inner_id, TLReader(body.raw(body.word())), depth + 1)
            return answers
        if kind == GZIP_PACKED:
            return self._serve(session, message_id, TLReader(unpack_gzip(body.string())), depth + 1)
        if kind in _IGNORED:
            return []
        self.requests[kind] = self.requests.get(kind, 0) + 1
        service = self._service(session, kind, message_id, body)
        if service is not None:
            return [self._seal(session, service, answer=True, content=kind == GET_FUTURE_SALTS)]
        result = self._api.answer(TLReader(word(kind) + body.rest()), self._dc)
        return [self._seal(session, word(RPC_RESULT) + long(message_id) + result, answer=True, content=True)]

    def _service(self, session: _Session, kind: int, message_id: int, body: TLReader) -> bytes | None:
        if kind in {PING, PING_DELAY_DISCONNECT}:
            return word(PONG) + long(message_id) + body.raw(8)
        if kind == GET_FUTURE_SALTS:
            return self._future_salts(session, message_id)
        if kind == DESTROY_SESSION:
            return word(DESTROY_SESSION_OK) + body.raw(8)
        if kind == MSGS_STATE_REQ:
            received = bytes((4,)) * body.vector_size()  # 4: message received
            return word(MSGS_STATE_INFO) + long(message_id) + string(received)
        if kind == RPC_DROP_ANSWER:
            return word(RPC_RESULT) + long(message_id) + word(RPC_ANSWER_UNKNOWN)
        if kind == DESTROY_AUTH_KEY:
            return word(RPC_RESULT) + long(message_id) + word(DESTROY_AUTH_KEY_OK)
        return None

    def _future_salts(self, session: _Session, message_id: int) -> bytes:
        now = int(self._keyring.unix())
        salt = word(now - _SALT_LIFETIME) + word(now + _SALT_LIFETIME) + long(session.key.salt)
        return word(FUTURE_SALTS) + long(message_id) + word(now) + word(1) + salt

    def _open(self, key: AuthKey, payload: bytes) -> bytes:
        sealed = payload[24:]
        sealed = sealed[: len(sealed) & ~15]  # padded intermediate may leave whole words of padding at the end
        plain = ige_decrypt(sealed, *message_cipher(key.data, payload[8:24], from_server=False))
        if len(plain) < _HEADER or message_key(key.data, plain, from_server=False) != payload[8:24]:
            raise RemoteProtocolError("an encrypted message with a wrong message key")
        return plain

    def _seal(self, session: _Session, body: bytes, *, answer: bool, content: bool) -> bytes:
        """Encrypt one message; the id says whether it answers (1 modulo 4) or comes unasked (3)."""
        message_id = self._ids(answer=answer)
        sequence = session.sent * 2 + content
        session.sent += content
        key = session.key
        plain = long(key.salt) + session.session_id + long(message_id) + word(sequence) + word(len(body)) + body
        plain += self._keyring.entropy(12 + -(len(plain) + 12) % 16)
        msg_key = message_key(key.data, plain, from_server=True)
        return key.key_id + msg_key + ige_encrypt(plain, *message_cipher(key.data, msg_key, from_server=True))
