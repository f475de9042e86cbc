"""The server's side of MTProto's key creation, under an RSA key of ours.

The conversation, in unencrypted messages (``auth_key_id`` 0)::

    client                                   server
    req_pq | req_pq_multi          ------>
                                   <------   resPQ: a number to factor, the fingerprint of the RSA key
    req_DH_params (RSA)            ------>
                                   <------   server_DH_params_ok (AES-IGE): prime, g, g_a, the time
    set_client_DH_params (AES-IGE) ------>
                                   <------   dh_gen_ok: both hold g_ab

Keys outlive a connection: clients make one on one connection and use it on others, so all connections of a datacenter
share one :class:`AuthKeyring`. No sockets, no clock and no randomness of its own here.

Source: core.telegram.org/mtproto/auth_key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from telemt_trio.errors import RemoteProtocolError
from telemt_trio.testing.mtproto_crypto import ServerKey, ige_decrypt, ige_encrypt, rsa_message, sha1
from telemt_trio.testing.mtproto_tl import TLReader, long, string, vector, word

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DH_PRIME", "AuthKey", "AuthKeyServer", "AuthKeyring", "plain_message"]

# The prime Telegram's servers have always used, with g = 3; clients compare against it before they do anything slower.
DH_PRIME = int(
    "c71caeb9c6b1c9048e6c522f70f13f73980d40238e3e21c14934d037563d930f48198a0aa7c14058229493d22530f4dbfa336f6e0ac925139543aed44cce7c37"
    "20fd51f69458705ac68cd4fe6b6b13abdc9746512969328454f18faf8c595f642477fe96bb2a941d5bcd1d4ac8cc49880708fa9b378e3c4f3a9060bee67cf9a4"
    "a4a695811051907e162753b56b0f6b410dba74d8a84b2a14b3144e0ef1284754fd17ed950d5965b4b9dd46582db1178d169c6bc465b0d6ff9ca3928fef5b9ae4"
    "e418fc15e83ebea0f87fa9ff5eed70050ded2849f47bf959d956850ce929851f0d8115f635b105ee2e4e15d04b2454bf6f4fadf034b10403119cd8e3b92fcc5b",
    16,
)
G = 3

# The example of core.telegram.org/mtproto/samples-auth_key: clients need milliseconds for it, as for the real ones.
P, Q = 0x494C553B, 0x53911073

REQ_PQ, REQ_PQ_MULTI, RES_PQ = 0x60469778, 0xBE7E8EF1, 0x05162463
REQ_DH_PARAMS, SERVER_DH_PARAMS_OK, SERVER_DH_INNER_DATA = 0xD712E4BE, 0xD0E8075C, 0xB5890DBA
SET_CLIENT_DH_PARAMS, CLIENT_DH_INNER_DATA, DH_GEN_OK = 0xF5045F1F, 0x6643B654, 0x3BCBF734
PQ_INNER_DATA, PQ_INNER_DATA_DC, PQ_INNER_DATA_TEMP, PQ_INNER_DATA_TEMP_DC = (
    0x83C95AEC,
    0xA9F55F95,
    0x3C6A84D4,
    0x56FDDF88,
)

_TEMPORARY = frozenset((PQ_INNER_DATA_TEMP, PQ_INNER_DATA_TEMP_DC))
_WITH_DC = frozenset((PQ_INNER_DATA_DC, PQ_INNER_DATA_TEMP_DC))
_PQ_INNER = frozenset((PQ_INNER_DATA, PQ_INNER_DATA_DC, PQ_INNER_DATA_TEMP, PQ_INNER_DATA_TEMP_DC))


@attrs.frozen
class AuthKey:
    """A finished key: 256 bytes, its 8-byte name, the first server salt, and how long it lives if it is temporary."""

    data: bytes = attrs.field(repr=False)
    key_id: bytes
    salt: int
    dc: int | None  # what the client said; older clients say nothing
    expires_in: int | None  # seconds, None for a permanent key


@attrs.define
class AuthKeyring:
    """What all connections of one datacenter share: the RSA key, one Diffie-Hellman secret, the finished keys.

    ``entropy(n)`` returns n bytes, ``unix()`` the time in seconds that clients are told. The secret exponent is drawn
    once, not once per connection: it halves the arithmetic, and nobody's secrets depend on it.
    """

    server_key: ServerKey
    entropy: Callable[[int], bytes] = attrs.field(repr=False)
    unix: Callable[[], float] = attrs.field(repr=False)
    keys: dict[bytes, AuthKey] = attrs.field(factory=dict, repr=False)
    sessions: set[tuple[bytes, bytes]] = attrs.field(factory=set, repr=False)  # (key id, session id) already greeted
    _secret: int = attrs.field(init=False, repr=False)
    _public: int = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Draw until the public half is in the range every client insists on: 2**1984 from either end."""
        while True:
            self._secret = int.from_bytes(self.entropy(256), "big")
            self._public = pow(G, self._secret, DH_PRIME)
            if 1 << 1984 < self._public < DH_PRIME - (1 << 1984):
                return

    @property
    def public(self) -> bytes:
        """g_a, 256 bytes."""
        return self._public.to_bytes(256, "big")

    def agree(self, g_b: bytes) -> bytes:
        """The shared key, 256 bytes; a public half outside 1 < g_b < p - 1 is refused."""
        number = int.from_bytes(g_b, "big")
        if not 1 < number < DH_PRIME - 1:
            raise RemoteProtocolError("g_b is out of range")
        return pow(number, self._secret, DH_PRIME).to_bytes(256, "big")

    def message_ids(self) -> Callable[..., int]:
        """Message ids for one connection: the time, never the same twice, 1 modulo 4 in an answer, else 3."""
        last = 0

        def next_id(*, answer: bool) -> int:
            nonlocal last
            last = max(int(self.unix() * 2**32) & ~3, last + 4)
            return last | (1 if answer else 3)

        return next_id


@attrs.frozen
class _PQInner:
    """What the client sealed under RSA, with the AES-IGE key and IV that follow from it."""

    new_nonce: bytes
    dc: int | None
    expires_in: int | None
    cipher: tuple[bytes, bytes]


class AuthKeyServer:
    """One connection's key creation. Feed it the unencrypted messages, send what it returns.

    :meth:`receive` raises :class:`~telemt_trio.errors.RemoteProtocolError` for anything that does not belong to the
    exchange; a client may start again with ``req_pq`` at any time. ``keys`` lists what this connection created.
    """

    def __init__(self, keyring: AuthKeyring) -> None:
        self.keys: list[AuthKey] = []
        self._keyring = keyring
        self._nonce = b""
        self._server_nonce = b""
        self._inner: _PQInner | None = None
        self._ids = keyring.message_ids()
        self._steps = {
            REQ_PQ: self._res_pq,
            REQ_PQ_MULTI: self._res_pq,
            REQ_DH_PARAMS: self._server_dh_params,
            SET_CLIENT_DH_PARAMS: self._dh_gen,
        }

    def receive(self, payload: bytes) -> list[bytes]:
        """Take one frame's payload and return the payloads that answer it.

        Clients pad the body with up to 255 random bytes that count in its length, so bytes behind it are ignored.
        """
        message = TLReader(payload)
        if message.raw(8) != bytes(8):
            raise RemoteProtocolError("an encrypted message during key creation")
        message.long()
        body = TLReader(message.raw(message.word()))
        step = self._steps.get(body.word())
        if step is None:
            raise RemoteProtocolError("an unencrypted message that does not belong to key creation")
        return [plain_message(self._ids(answer=True), step(body))]

    def _res_pq(self, body: TLReader) -> bytes:
        self._nonce = body.raw(16)
        self._server_nonce = self._keyring.entropy(16)
        self._inner = None
        fingerprints = vector([long(self._keyring.server_key.fingerprint)])
        return word(RES_PQ) + self._nonces() + string((P * Q).to_bytes(8, "big")) + fingerprints

    def _server_dh_params(self, body: TLReader) -> bytes:
        self._expect_nonces(body)
        factors = body.string(), body.string()
        if tuple(int.from_bytes(factor, "big") for factor in factors) != (P, Q):
            raise RemoteProtocolError("pq factored wrongly")
        key = self._keyring.server_key
        if body.long() != key.fingerprint:
            raise RemoteProtocolError("a fingerprint that was not offered")
        sealed = body.string()
        if len(sealed) != 256:
            raise RemoteProtocolError("an RSA block of another size than 256")
        self._inner = inner = self._pq_inner(rsa_message(key.decrypt(sealed), self._measure))
        answer = word(SERVER_DH_INNER_DATA) + self._nonces() + word(G) + string(DH_PRIME.to_bytes(256, "big"))
        answer += string(self._keyring.public) + word(int(self._keyring.unix()))
        hashed = sha1(answer) + answer
        hashed += self._keyring.entropy(-len(hashed) % 16)
        return word(SERVER_DH_PARAMS_OK) + self._nonces() + string(ige_encrypt(hashed, *inner.cipher))

    def _dh_gen(self, body: TLReader) -> bytes:
        self._expect_nonces(body)
        inner = self._inner
        if inner is None:
            raise RemoteProtocolError("set_client_DH_params before req_DH_params")
        sealed = body.string()
        if len(sealed) % 16:
            raise RemoteProtocolError("AES-IGE data of no whole number of blocks")
        opened = ige_decrypt(sealed, *inner.cipher)
        data = TLReader(opened[20:])
        data.expect(CLIENT_DH_INNER_DATA)
        self._expect_nonces(data)
        data.long()  # retry_id: we never ask for a retry
        g_b = data.string()
        if sha1(opened[20 : len(opened) - data.left]) != opened[:20]:
            raise RemoteProtocolError("client_DH_inner_data with a wrong hash")
        shared = self._keyring.agree(g_b)
        digest = sha1(shared)
        salt = int.from_bytes(inner.new_nonce[:8], "little") ^ int.from_bytes(self._server_nonce[:8], "little")
        made = AuthKey(shared, digest[-8:], salt, inner.dc, inner.expires_in)
        self._keyring.keys[made.key_id] = made
        self.keys.append(made)
        return word(DH_GEN_OK) + self._nonces() + sha1(inner.new_nonce, b"\x01", digest[:8])[4:]

    def _nonces(self) -> bytes:
        return self._nonce + self._server_nonce

    def _expect_nonces(self, body: TLReader) -> None:
        if not self._nonce or body.raw(32) != self._nonces():
            raise RemoteProtocolError("the nonces of another key creation")

    def _measure(self, data: bytes) -> int:
        reader = TLReader(data)
        self._read_pq_inner(reader)
        return len(data) - reader.left

    def _read_pq_inner(self, reader: TLReader) -> tuple[bytes, int | None, int | None]:
        kind = reader.word()
        if kind not in _PQ_INNER:
            raise RemoteProtocolError("an RSA block without p_q_inner_data")
        for _number in ("pq", "p", "q"):
            reader.string()
        self._expect_nonces(reader)
        new_nonce = reader.raw(32)
        dc = reader.int32() if kind in _WITH_DC else None
        return new_nonce, dc, reader.int32() if kind in _TEMPORARY else None

    def _pq_inner(self, data: bytes) -> _PQInner:
        new_nonce, dc, expires_in = self._read_pq_inner(TLReader(data))
        both = sha1(self._server_nonce, new_nonce)
        key = sha1(new_nonce, self._server_nonce) + both[:12]
        iv = both[12:] + sha1(new_nonce, new_nonce) + new_nonce[:4]
        return _PQInner(new_nonce, dc, expires_in, (key, iv))


def plain_message(message_id: int, body: bytes) -> bytes:
    """An unencrypted message: key id 0, message id, length, body."""
    return bytes(8) + long(message_id) + word(len(body)) + body
