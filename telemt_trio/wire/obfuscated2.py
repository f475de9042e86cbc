"""Obfuscated2: the 64 bytes that open every MTProxy stream, and the two ciphers they agree on.

Layout of the nonce (offsets in bytes)::

    0        8                              40              56     60   62  64
    | random | key seed (32), sent in clear | IV (16)       | tag  | dc | ? |
                                                             `--- encrypted --'

The sender encrypts all 64 bytes with AES-256-CTR under key seed and IV and sends its first 56 bytes in clear, the last
8 encrypted. The reverse direction uses the same 48 bytes reversed. Towards a proxy the key is ``SHA256(seed ||
secret)``; towards a datacenter no secret is mixed in. Both ciphers run for the whole life of the stream: the first
continues at keystream offset 64, the second starts at 0 (nothing is sent back in the handshake).

Source: core.telegram.org/mtproto/mtproto-transports, "Transport obfuscation".
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import attrs
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from telemt_trio.errors import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ABRIDGED",
    "INTERMEDIATE",
    "NONCE_SIZE",
    "RESERVED_PREFIXES",
    "SECURE",
    "TAGS",
    "Nonce",
    "OpenedNonce",
    "aes_ctr",
    "make_nonce",
    "noise_source",
    "open_nonce",
]

NONCE_SIZE = 64

ABRIDGED = b"\xef" * 4
INTERMEDIATE = b"\xee" * 4
SECURE = b"\xdd" * 4  # padded intermediate
TAGS = frozenset((ABRIDGED, INTERMEDIATE, SECURE))

# What no nonce outside TLS starts with: the first bytes of the other protocols on a Telegram port. Real clients draw
# again when they hit one, so a stream that starts so is no client of ours.
RESERVED_PREFIXES = frozenset((b"HEAD", b"POST", b"GET ", b"OPTI", INTERMEDIATE, SECURE, b"\x16\x03\x01\x02"))


def aes_ctr(key: bytes, iv: bytes) -> CipherContext:
    """An AES-256-CTR keystream: ``key`` 32 bytes, ``iv`` 16 bytes as a big-endian counter. Both directions are
    alike.
    """
    return Cipher(AES(key), CTR(iv)).encryptor()


def noise_source(entropy: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """A maker of bytes that nobody tells from random ones: one AES-256-CTR keystream under a key from ``entropy``.

    For what only has to look encrypted. ``entropy`` itself, the kernel's, costs nine times as much for 2 KB.
    """
    update = aes_ctr(entropy(32), entropy(16)).update

    def noise(size: int) -> bytes:
        return update(bytes(size))

    return noise


def _derive(seed: bytes, secret: bytes | None) -> bytes:
    return seed if secret is None else hashlib.sha256(seed + secret).digest()


@attrs.frozen
class OpenedNonce:
    """A nonce as its receiver understands it.

    ``decrypt`` stands at keystream offset 64, ready for the first byte behind the nonce. ``reply_key`` and ``reply_iv``
    (32 and 16 bytes) encrypt what goes back; :meth:`encryptor` starts that cipher at offset 0.
    """

    tag: bytes
    dc: int
    decrypt: CipherContext = attrs.field(repr=False)
    reply_key: bytes = attrs.field(repr=False)
    reply_iv: bytes = attrs.field(repr=False)

    def encryptor(self) -> CipherContext:
        """A fresh cipher for the stream back to the sender of the nonce."""
        return aes_ctr(self.reply_key, self.reply_iv)


def open_nonce(nonce: bytes, secret: bytes | None = None) -> OpenedNonce | None:
    """Read a 64-byte nonce with one ``secret`` (16 bytes), or as a datacenter does, with none.

    Returns None when the secret does not fit: the tag is the only check there is (3 in 2**32 random nonces pass).
    """
    decrypt = aes_ctr(_derive(nonce[8:40], secret), nonce[40:56])
    plain = decrypt.update(nonce)
    tag = plain[56:60]
    if tag not in TAGS:
        return None
    reverse = nonce[55:7:-1]
    return OpenedNonce(
        tag,
        int.from_bytes(plain[60:62], "little", signed=True),
        decrypt,
        _derive(reverse[:32], secret),
        reverse[32:],
    )


@attrs.frozen
class Nonce:
    """A nonce as its sender made it: ``wire`` goes out first, ``encrypt`` stands at offset 64 behind it.

    ``reply_key`` and ``reply_iv`` read what comes back (:meth:`decryptor` starts at offset 0).
    """

    wire: bytes = attrs.field(repr=False)
    encrypt: CipherContext = attrs.field(repr=False)
    reply_key: bytes = attrs.field(repr=False)
    reply_iv: bytes = attrs.field(repr=False)

    def decryptor(self) -> CipherContext:
        """A fresh cipher for the stream that comes back."""
        return aes_ctr(self.reply_key, self.reply_iv)


def make_nonce(
    tag: bytes,
    dc: int,
    entropy: Callable[[int], bytes],
    *,
    secret: bytes | None = None,
    reply: tuple[bytes, bytes] | None = None,
) -> Nonce:
    """Draw a nonce for a datacenter, or with ``secret`` for a proxy.

    ``entropy(n)`` returns n random bytes and is asked again until the first 8 bytes collide with no other protocol.
    ``reply`` is a (key, iv) pair to be used for the stream that comes back: a proxy that asks the datacenter to encrypt
    with its client's own key can pass that stream on untouched (fast mode). It cannot be combined with ``secret``.
    """
    if secret is not None and reply is not None:
        msg = "a hashed reply key cannot be chosen"
        raise LocalProtocolError(msg)
    while True:
        drawn = entropy(NONCE_SIZE)
        if drawn[0] != ABRIDGED[0] and drawn[:4] not in RESERVED_PREFIXES and drawn[4:8] != bytes(4):
            break
    seeds = drawn[8:56] if reply is None else (reply[0] + reply[1])[::-1]
    plain = drawn[:8] + seeds + tag + dc.to_bytes(2, "little", signed=True) + drawn[62:]
    encrypt = aes_ctr(_derive(seeds[:32], secret), seeds[32:])
    wire = plain[:56] + encrypt.update(plain)[56:]
    reverse = seeds[::-1]
    return Nonce(wire, encrypt, _derive(reverse[:32], secret), reverse[32:])
