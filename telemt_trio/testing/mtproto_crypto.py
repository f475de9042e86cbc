"""The ciphers of MTProto: AES-256-IGE, message keys of MTProto 2.0, raw RSA with both paddings.

Source: core.telegram.org/mtproto/description (message keys), /mtproto/auth_key (RSA_PAD and the key exchange) and
/mtproto/auth_key#presenting-proof-of-work for the order of the steps. Written for a test datacenter: nothing here
defends against timing.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import attrs
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB

from telemt_trio.errors import RemoteProtocolError
from telemt_trio.testing.mtproto_tl import string

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ServerKey", "ige_decrypt", "ige_encrypt", "message_cipher", "message_key", "rsa_message", "sha1"]

BLOCK = 16


def sha1(*parts: bytes) -> bytes:
    """SHA-1, which MTProto uses for fingerprints and for the hashes inside the key exchange."""
    return hashlib.sha1(b"".join(parts), usedforsecurity=False).digest()


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


def ige_encrypt(plain: bytes, key: bytes, iv: bytes) -> bytes:
    """AES-256 in infinite garble extension mode; ``plain`` is a multiple of 16 bytes, ``iv`` 32 bytes.

    IGE is c[i] = E(p[i] ^ c[i-1]) ^ p[i-1]. With y[i] = c[i] ^ p[i-1] this is y[i] = E((p[i] ^ p[i-2]) ^ y[i-1]), which
    is CBC over the plaintext XORed with itself two blocks later: one pass of OpenSSL instead of a loop of Python.
    """
    before, earlier = iv[:BLOCK], iv[BLOCK:]  # the block before the first of the ciphertext, of the plaintext
    shifted = (earlier + plain)[: len(plain)]
    twice = (bytes(BLOCK) + shifted)[: len(plain)]
    chain = Cipher(AES(key), CBC(before)).encryptor().update(_xor(plain, twice))
    return _xor(chain, shifted)


def ige_decrypt(data: bytes, key: bytes, iv: bytes) -> bytes:
    """The inverse of :func:`ige_encrypt`: p[i] = D(c[i] ^ p[i-1]) ^ c[i-1]. About 0.15 s for a megabyte."""
    # IGE is not offered by the library and is built from single blocks here: the mode is the protocol's choice.
    decrypt = Cipher(AES(key), ECB()).decryptor().update  # noqa: S305 - one block at a time, chained below
    load = int.from_bytes
    before, earlier = load(iv[:BLOCK], "big"), load(iv[BLOCK:], "big")
    blocks = []
    for at in range(0, len(data), BLOCK):
        block = load(data[at : at + BLOCK], "big")
        earlier = load(decrypt((block ^ earlier).to_bytes(BLOCK, "big")), "big") ^ before
        before = block
        blocks.append(earlier.to_bytes(BLOCK, "big"))
    return b"".join(blocks)


def message_key(auth_key: bytes, plain: bytes, *, from_server: bool) -> bytes:
    """The 16 bytes that name and check an encrypted message; ``plain`` includes its padding."""
    x = 8 if from_server else 0
    return hashlib.sha256(auth_key[88 + x : 120 + x] + plain).digest()[8:24]


def message_cipher(auth_key: bytes, msg_key: bytes, *, from_server: bool) -> tuple[bytes, bytes]:
    """AES-IGE key and IV (32 bytes each) of one encrypted message."""
    x = 8 if from_server else 0
    a = hashlib.sha256(msg_key + auth_key[x : x + 36]).digest()
    b = hashlib.sha256(auth_key[x + 40 : x + 76] + msg_key).digest()
    return a[:8] + b[8:24] + a[24:], b[:8] + a[8:24] + b[24:]


@attrs.frozen
class ServerKey:
    """The 2048-bit RSA key a datacenter proves itself with; clients know the public half and its fingerprint."""

    modulus: int
    exponent: int
    _p: int = attrs.field(repr=False)
    _q: int = attrs.field(repr=False)

    @classmethod
    def generate(cls) -> ServerKey:
        """A fresh key. Takes about 0.2 s and draws from the operating system."""
        from cryptography.hazmat.primitives.asymmetric import rsa

        numbers = rsa.generate_private_key(65537, 2048).private_numbers()
        return cls(numbers.public_numbers.n, numbers.public_numbers.e, numbers.p, numbers.q)

    @property
    def fingerprint(self) -> int:
        """The low 64 bits of SHA-1 over modulus and exponent, without sign."""
        parts = (self.modulus, self.exponent)
        serialized = b"".join(string(part.to_bytes((part.bit_length() + 7) // 8, "big")) for part in parts)
        return int.from_bytes(sha1(serialized)[-8:], "little")

    def public_pem(self) -> bytes:
        """The public half as clients carry it: PKCS#1 text, 425 bytes without a newline at the end."""
        from cryptography.hazmat.primitives.asymmetric import rsa
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        public = rsa.RSAPublicNumbers(self.exponent, self.modulus).public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.PKCS1).rstrip()

    def decrypt(self, block: bytes) -> bytes:
        """Raw RSA without padding: 256 bytes to 256 bytes."""
        number = int.from_bytes(block, "big")
        if number >= self.modulus:
            raise RemoteProtocolError("an RSA block larger than the modulus")
        p, q = self._p, self._q
        low = pow(number % q, pow(self.exponent, -1, q - 1), q)
        high = pow(number % p, pow(self.exponent, -1, p - 1), p)
        return (low + q * ((high - low) * pow(q, -1, p) % p)).to_bytes(256, "big")


def rsa_message(block: bytes, measure: Callable[[bytes], int]) -> bytes:
    """What a client put into a decrypted RSA block, under RSA_PAD or the padding before it.

    Both carry a hash, so there is no guessing. The old one hashes the data without its padding; ``measure`` says how
    many bytes of it the object at the front takes. Under RSA_PAD the padding, if any, is returned too.
    """
    masked, sealed = block[:32], block[32:]
    temporary = _xor(masked, hashlib.sha256(sealed).digest())
    opened = ige_decrypt(sealed, temporary, bytes(32))
    padded = opened[191::-1]
    if hashlib.sha256(temporary + padded).digest() == opened[192:]:
        return padded
    if block[0] == 0:
        data = block[21 : 21 + measure(block[21:])]
        if sha1(data) == block[1:21]:
            return data
    raise RemoteProtocolError("an RSA block fits neither padding")
