"""Proxy secrets: the forms clients take them in, and the links that carry them.

::

    classic   | key 16 |                        obfuscated2, no padding
    secure    | dd | key 16 |                   obfuscated2, padded
    TLS       | ee | key 16 | domain 1..182 |   FakeTLS with the domain as its SNI, padded inside

A user's key is 16 bytes and is configured as 32 hex digits; the first byte of the longer forms tells the client how to
speak and is no part of the key. Clients read hex, base64url and base64; only hex is written, since some of them fail on
the others.
"""

from __future__ import annotations

import binascii
import enum
import re
from typing import TYPE_CHECKING, Final

import attrs

from telemt_trio.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "KEY_SIZE",
    "MAX_DOMAIN",
    "Links",
    "Mode",
    "ProxySecret",
    "generate_key",
    "parse_key",
    "parse_link",
    "parse_secret",
    "proxy_links",
]

KEY_SIZE: Final = 16
MAX_DOMAIN: Final = 182  # TDLib cuts what is longer, and refuses it in a secret

_SECURE: Final = b"\xdd"
_TLS: Final = b"\xee"
_BASE64URL: Final = str.maketrans("-_", "+/")
_LINK: Final = re.compile(r"(?:tg://proxy|https?://t\.me/proxy)/?\?([^#]*)(?:#.*)?", re.IGNORECASE | re.DOTALL)
_HOST: Final = re.compile(r"[^\s&=#?/%+\[\]\x00-\x1f\x7f]+")  # what stands in a query without being escaped
_PORT: Final = re.compile(r"[0-9]{1,5}")
_DOMAIN: Final = re.compile(r"[!-~]+")


class Mode(enum.Enum):
    """How a client that holds the secret speaks to the proxy."""

    CLASSIC = "classic"
    SECURE = "secure"
    TLS = "tls"


@attrs.frozen
class ProxySecret:
    """What a client is given: a user's ``key`` (16 bytes), the ``mode``, and in TLS mode the ``domain`` to ask for.

    Raises :class:`ConfigError` for parts that make no secret.
    """

    key: bytes = attrs.field(repr=False)
    mode: Mode
    domain: str | None = None

    def __attrs_post_init__(self) -> None:
        if len(self.key) != KEY_SIZE:
            raise ConfigError("the key of a proxy secret has 16 bytes: generate a new one")
        if (self.domain is None) is (self.mode is Mode.TLS):
            raise ConfigError("a proxy secret has a domain in TLS mode and in no other: add it or leave it out")
        if self.domain is not None and not (len(self.domain) <= MAX_DOMAIN and _DOMAIN.fullmatch(self.domain)):
            raise ConfigError(
                "the domain of a proxy secret has 1 to 182 ASCII characters without blanks: "
                "shorten it, or write an international name in its xn-- form"
            )

    def hex(self) -> str:
        """The secret as it stands in a link: lower-case hex, the only form that every client reads."""
        if self.mode is Mode.CLASSIC:
            return self.key.hex()
        if self.domain is None:
            return (_SECURE + self.key).hex()
        return (_TLS + self.key + self.domain.encode("ascii")).hex()


def parse_secret(text: str) -> ProxySecret:
    """Read a secret as clients do: hex in any case, else base64url, else base64, both with or without padding.

    The length decides: 16 bytes are a classic key whatever they start with, 17 need ``dd`` in front, more need ``ee``.
    Raises :class:`ConfigError`, whose message never quotes ``text``.
    """
    raw = _decode(text)
    if raw is None:
        raise ConfigError("the proxy secret is neither hex nor base64: copy it again from the link")
    if len(raw) == KEY_SIZE:
        return ProxySecret(raw, Mode.CLASSIC)
    prefix, key, domain = raw[:1], raw[1 : 1 + KEY_SIZE], raw[1 + KEY_SIZE :]
    if prefix == _SECURE and len(key) == KEY_SIZE and not domain:
        return ProxySecret(key, Mode.SECURE)
    if prefix == _TLS and domain:
        return ProxySecret(key, Mode.TLS, domain.decode("ascii", "replace"))
    raise ConfigError(
        "the proxy secret has a wrong length or prefix: use 16 bytes, or dd and 16 bytes, or ee, 16 bytes and a domain"
    )


def _decode(text: str) -> bytes | None:
    try:
        return binascii.unhexlify(text)
    except ValueError:  # binascii.Error, and characters outside ASCII
        pass
    # The two alphabets differ in two characters, and no client minds a text that mixes them.
    body = text.translate(_BASE64URL).rstrip("=")
    padding = "=" * (-len(body) % 4)
    if len(text) not in {len(body), len(body + padding)}:
        return None
    try:
        raw = binascii.a2b_base64(body + padding)
    except ValueError:
        return None
    # Written back it must be the same: Python skips foreign characters and leftover bits, clients refuse them.
    return raw if binascii.b2a_base64(raw, newline=False).decode() == body + padding else None


def parse_key(text: str) -> bytes:
    """The 16-byte key of a user from the 32 hex digits of the configuration.

    Raises :class:`ConfigError`, whose message never quotes ``text``.
    """
    if len(text) > 2 * KEY_SIZE and text[:2].lower() in {"dd", "ee"}:
        raise ConfigError("a user's secret is the 32 hex digits alone: leave out the dd or ee in front and any domain")
    if len(text) != 2 * KEY_SIZE:
        raise ConfigError("a user's secret must be 32 hex characters: generate a new one")
    try:
        return binascii.unhexlify(text)
    except ValueError:
        raise ConfigError("a user's secret must be 32 hex characters: one of these is no hex digit") from None


def generate_key(entropy: Callable[[int], bytes]) -> bytes:
    """A new key for a user; ``entropy(n)`` returns n random bytes."""
    return entropy(KEY_SIZE)


@attrs.frozen
class Links:
    """One proxy secret as links: ``tg`` opens the app, ``https`` also works where only web links are clickable."""

    tg: str = attrs.field(repr=False)
    https: str = attrs.field(repr=False)


def proxy_links(host: str, port: int, secret: ProxySecret) -> Links:
    """The links to a proxy at ``host``, a name or an address; an IPv6 address stands without brackets in them.

    Raises :class:`ConfigError` for a host or port that no link can hold.
    """
    query = f"server={_host(host)}&port={_port(str(port))}&secret={secret.hex()}"
    return Links(f"tg://proxy?{query}", f"https://t.me/proxy?{query}")


def parse_link(url: str) -> tuple[str, int, ProxySecret]:
    """Host, port and secret from either form of link. Raises :class:`ConfigError`, never quoting the secret."""
    from urllib.parse import unquote

    link = _LINK.fullmatch(url)
    if link is None:
        raise ConfigError("a proxy link starts with tg://proxy? or https://t.me/proxy?: copy it again")
    # A plus sign is a letter of base64 here, not a blank.
    pairs = [parameter.partition("=") for parameter in link[1].split("&")]
    values = {name.lower(): unquote(value) for name, _, value in reversed(pairs)}  # the first of a name counts
    if not values.keys() >= {"server", "port", "secret"}:
        raise ConfigError("a proxy link needs server, port and secret: copy it again")
    return _host(values["server"]), _port(values["port"]), parse_secret(values["secret"])


def _host(text: str) -> str:
    host = text[1:-1] if text[:1] == "[" and text[-1:] == "]" else text
    if not _HOST.fullmatch(host):
        raise ConfigError("the host of a proxy link must be a plain name or address: remove blanks and slashes")
    return host


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or not 0 < int(text) < 65536:
        raise ConfigError("the port of a proxy link must be between 1 and 65535: correct it")
    return int(text)
