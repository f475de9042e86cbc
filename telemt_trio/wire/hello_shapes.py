"""The shapes of ClientHello that Telegram's clients are known to send, without the signature in their random.

``tdlib`` and ``legacy`` were taken from recorded hellos of TDLib 1.8.69 and TelethonFakeTLS: extension for extension,
size for size. Both imitate Chrome, one with a post-quantum key share and shuffled extensions, the other from before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from telemt_trio.errors import LocalProtocolError
from telemt_trio.wire.hello_extensions import (
    ALPN,
    EC_POINT_FORMATS,
    KEY_SHARE,
    SERVER_NAME,
    SIGNATURE_ALGORITHMS,
    SUPPORTED_GROUPS,
    SUPPORTED_VERSIONS,
    X25519,
    X25519MLKEM768,
    write_extension,
    x25519_source,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LEGACY_SIZE", "TDLIB_ECH_SIZES", "RandomRange", "unsigned_hello"]

LEGACY_SIZE = 517  # bytes of a legacy record with its header
TDLIB_ECH_SIZES = (144, 176, 208, 240)  # bytes of the encrypted payload in the tdlib shape's ECH

_CHROME_SUITES = bytes.fromhex("130113021303c02bc02fc02cc030cca9cca8c013c014009c009d002f0035")
_PROTOCOLS = bytes.fromhex("000c02683208687474702f312e31")  # h2, http/1.1
_STATUS_REQUEST = bytes.fromhex("0100000000")  # OCSP, no responders, no extensions
_CHROME_SIGNATURES = bytes.fromhex("04030804040105030805050108060601")
_MLDSA_SIGNATURES = bytes.fromhex("090409050906")

_EXTENDED_MASTER_SECRET = 0x0017
_COMPRESS_CERTIFICATE = 0x001B
_STATUS = 0x0005
_SIGNED_CERTIFICATE_TIMESTAMP = 0x0012
_PADDING = 0x0015
_SESSION_TICKET = 0x0023
_PSK_MODES = 0x002D
_APPLICATION_SETTINGS = 0x44CD
_ENCRYPTED_CLIENT_HELLO = 0xFE0D
_RENEGOTIATION_INFO = 0xFF01

_MLKEM_MODULUS = 3329  # FIPS 203
_MLKEM_COEFFICIENTS = 768


class RandomRange(Protocol):
    """What is asked of a source of shape: ``random.Random`` is one."""

    def randrange(self, stop: int, /) -> int:
        """A number from 0 to ``stop`` - 1, all equally likely."""
        ...


class _EntropyRange:
    """A :class:`RandomRange` that draws from ``entropy``; the bias of 64 bits reduced by a small number is nothing."""

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy

    def randrange(self, stop: int, /) -> int:
        return int.from_bytes(self._entropy(8), "big") % stop


def unsigned_hello(
    shape: str, *, domain: bytes, entropy: Callable[[int], bytes], rng: RandomRange | None = None
) -> bytes:
    """A ClientHello record for ``domain`` with zeros where the random goes (bytes 11 to 43).

    Raises :class:`LocalProtocolError` for a shape that does not exist.
    """
    chance = _EntropyRange(entropy) if rng is None else rng
    if shape == "tdlib":
        return _record(_grease(chance) + _CHROME_SUITES, _tdlib_extensions(domain, entropy, chance), entropy)
    if shape == "legacy":
        suites = _grease(chance) + _CHROME_SUITES
        extensions = _legacy_extensions(domain, entropy, chance)
        missing = LEGACY_SIZE - len(_record(suites, extensions, entropy)) - 4
        return _record(suites, extensions + write_extension(_PADDING, bytes(missing)), entropy)
    if shape == "minimal":
        return _record(_grease(chance) + _CHROME_SUITES[:6], _minimal_extensions(domain, entropy, chance), entropy)
    raise LocalProtocolError("the shapes are tdlib, legacy and minimal")


def _record(suites: bytes, extensions: bytes, entropy: Callable[[int], bytes]) -> bytes:
    body = b"\x03\x03" + bytes(32) + b"\x20" + entropy(32) + _sized(suites) + b"\x01\x00" + _sized(extensions)
    return b"\x16\x03\x01" + _sized(b"\x01" + len(body).to_bytes(3, "big") + body)


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _grease(chance: RandomRange, *, other_than: bytes = b"") -> bytes:
    while True:
        value = bytes((chance.randrange(16) << 4 | 0x0A,)) * 2
        if value != other_than:
            return value


def _server_name(domain: bytes) -> bytes:
    return write_extension(SERVER_NAME, _sized(b"\0" + _sized(domain)))


def _share(group: int, key: bytes) -> bytes:
    return write_extension(group, key)  # a key share has an extension's layout


def _key_shares(grease: bytes, *shares: bytes) -> bytes:
    return write_extension(KEY_SHARE, _sized(grease + b"\x00\x01\x00" + b"".join(shares)))


def _groups(*groups: bytes) -> bytes:
    return write_extension(SUPPORTED_GROUPS, _sized(b"".join(groups)))


def _versions(*versions: bytes) -> bytes:
    joined = b"".join(versions)
    return write_extension(SUPPORTED_VERSIONS, bytes((len(joined),)) + joined)


def _encapsulation_key(entropy: Callable[[int], bytes]) -> bytes:
    """1184 bytes that pass for an ML-KEM-768 encapsulation key: reduced coefficients, 12 bits each, and a seed.

    A server may check that the coefficients are reduced (FIPS 203 section 7.2), so plain random bytes would not do.
    """
    drawn = entropy(4 * _MLKEM_COEFFICIENTS)
    numbers = [int.from_bytes(drawn[at : at + 4], "little") % _MLKEM_MODULUS for at in range(0, len(drawn), 4)]
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return b"".join((low | high << 12).to_bytes(3, "little") for low, high in pairs) + entropy(32)


def _tdlib_extensions(domain: bytes, entropy: Callable[[int], bytes], chance: RandomRange) -> bytes:
    public_key = x25519_source(entropy)
    group = _grease(chance)
    ech_payload = entropy(TDLIB_ECH_SIZES[chance.randrange(len(TDLIB_ECH_SIZES))])
    # outer hello, HKDF-SHA256 with AES-128-GCM, a random configuration id
    ech = b"\x00\x00\x01\x00\x01" + entropy(1) + _sized(public_key()) + _sized(ech_payload)
    shuffled = [
        _server_name(domain),
        write_extension(_STATUS, _STATUS_REQUEST),
        _groups(group, b"\x11\xec\x00\x1d\x00\x17\x00\x18"),
        write_extension(EC_POINT_FORMATS, b"\x01\x00"),
        write_extension(SIGNATURE_ALGORITHMS, _sized(_MLDSA_SIGNATURES + _CHROME_SIGNATURES)),
        write_extension(ALPN, _PROTOCOLS),
        write_extension(_SIGNED_CERTIFICATE_TIMESTAMP),
        write_extension(_EXTENDED_MASTER_SECRET),
        write_extension(_COMPRESS_CERTIFICATE, b"\x02\x00\x02"),
        write_extension(_SESSION_TICKET),
        _versions(_grease(chance), b"\x03\x04\x03\x03"),
        write_extension(_PSK_MODES, b"\x01\x01"),
        _key_shares(
            group,
            _share(X25519MLKEM768, _encapsulation_key(entropy) + public_key()),
            _share(X25519, public_key()),
        ),
        write_extension(_APPLICATION_SETTINGS, b"\x00\x03\x02h2"),
        write_extension(_ENCRYPTED_CLIENT_HELLO, ech),
        write_extension(_RENEGOTIATION_INFO, b"\x00"),
    ]
    for last in range(len(shuffled) - 1, 0, -1):  # Fisher and Yates
        other = chance.randrange(last + 1)
        shuffled[last], shuffled[other] = shuffled[other], shuffled[last]
    first = _grease(chance)
    return first + b"\0\0" + b"".join(shuffled) + _grease(chance, other_than=first) + b"\x00\x01\x00"


def _legacy_extensions(domain: bytes, entropy: Callable[[int], bytes], chance: RandomRange) -> bytes:
    """Everything but the padding, which comes last and fills the record."""
    group = _grease(chance)
    first = _grease(chance)
    return b"".join(
        (
            first + b"\0\0",
            _server_name(domain),
            write_extension(_EXTENDED_MASTER_SECRET),
            write_extension(_RENEGOTIATION_INFO, b"\x00"),
            _groups(group, b"\x00\x1d\x00\x17\x00\x18"),
            write_extension(EC_POINT_FORMATS, b"\x01\x00"),
            write_extension(_SESSION_TICKET),
            write_extension(ALPN, _PROTOCOLS),
            write_extension(_STATUS, _STATUS_REQUEST),
            write_extension(SIGNATURE_ALGORITHMS, _sized(_CHROME_SIGNATURES)),
            write_extension(_SIGNED_CERTIFICATE_TIMESTAMP),
            _key_shares(group, _share(X25519, x25519_source(entropy)())),
            write_extension(_PSK_MODES, b"\x01\x01"),
            _versions(_grease(chance), b"\x03\x04\x03\x03\x03\x02\x03\x01"),
            write_extension(_COMPRESS_CERTIFICATE, b"\x02\x00\x02"),
            _grease(chance, other_than=first) + b"\x00\x01\x00",
        )
    )


def _minimal_extensions(domain: bytes, entropy: Callable[[int], bytes], chance: RandomRange) -> bytes:
    group = _grease(chance)
    return b"".join(
        (
            _server_name(domain),
            _groups(group, b"\x00\x1d"),
            write_extension(ALPN, _PROTOCOLS),
            _key_shares(group, _share(X25519, x25519_source(entropy)())),
            _versions(b"\x03\x04\x03\x03"),
        )
    )
