"""What a single setting may hold: small immutable values that check and normalise themselves.

Every rule is enforced on construction, whether the value comes from a file or from code, and a broken rule raises
:class:`ConfigError` with a sentence that fits behind the key's name and never quotes the value. Values that are written
as text in telemt.toml are read by ``parse`` or by the class itself, and ``str()`` gives the text back.
"""

import enum
import ipaddress
import re
from typing import Annotated, Final, Self

import attrs

from telemt_trio.errors import ConfigError
from telemt_trio.wire.secrets import KEY_SIZE, MAX_DOMAIN, parse_key

__all__ = [
    "Bytes",
    "Cidr",
    "DnsOverride",
    "Domain",
    "HexKey",
    "Host",
    "HostPort",
    "Ip",
    "LogLevel",
    "Milliseconds",
    "Mss",
    "Port",
    "RstOnClose",
    "Scopes",
    "Seconds",
    "UnknownSniAction",
    "UpstreamType",
]

# The unit of a number, readable by people, type checkers (a plain int) and the generated reference alike.
Seconds = Annotated[int, "s"]
Milliseconds = Annotated[int, "ms"]
Bytes = Annotated[int, "bytes"]

_MSS_NAMES: Final = {"": 0, "extreme-low": 88, "tspu": 92, "2in8": 256}
_DIGITS: Final = re.compile(r"[0-9]{1,5}")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")


class Port(int):
    """A TCP port, 1 to 65535."""

    __slots__ = ()

    def __new__(cls, number: int) -> Self:
        """A number from code, or from a file."""
        if not 1 <= number <= 65535:
            raise ConfigError("must be a port, 1 to 65535")
        return super().__new__(cls, number)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read decimal digits."""
        if not _DIGITS.fullmatch(text):
            raise ConfigError("must end in a port, 1 to 65535")
        return cls(int(text))


class Mss(int):
    """A TCP maximum segment size, 88 to 4096 bytes, or 0 for the kernel's own choice.

    As text: empty, decimal digits, or one of telemt's names ``extreme-low`` (88), ``tspu`` (92) and ``2in8`` (256).
    """

    __slots__ = ()

    def __new__(cls, size: int = 0) -> Self:
        """A size in bytes."""
        if size != 0 and not 88 <= size <= 4096:
            raise ConfigError("must be 88 to 4096, extreme-low, tspu, 2in8 or empty")
        return super().__new__(cls, size)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name or decimal digits."""
        named = _MSS_NAMES.get(text.strip().lower())
        if named is not None:
            return cls(named)
        return cls(int(text) if _DIGITS.fullmatch(text) else -1)

    def __str__(self) -> str:
        return int.__str__(self) if self else ""


class Ip(str):
    """An IPv4 or IPv6 address in its canonical spelling, without brackets and without a zone."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Read either family, blanks around it dropped."""
        try:
            address = ipaddress.ip_address(text.strip())
        except ValueError:
            address = None
        if address is None or "%" in text:
            raise ConfigError("must be an IPv4 or IPv6 address")
        return super().__new__(cls, str(address))

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self else 4

    @property
    def is_unspecified(self) -> bool:
        """Whether this is the address that stands for all of a machine's: 0.0.0.0 or ``::``."""
        return self in {"0.0.0.0", "::"}


class Cidr(str):
    """A network such as ``10.0.0.0/8`` in its canonical spelling; bits behind the prefix are cleared."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Read either family, blanks around it dropped."""
        try:
            network = ipaddress.ip_network(text.strip(), strict=False)
        except ValueError:
            network = None
        if network is None or "%" in text:
            raise ConfigError("must be a network such as 10.0.0.0/8 or 2001:db8::/32")
        return super().__new__(cls, str(network))


class Host(str):
    """A host name (lower case, international names in their ASCII form) or an address (brackets are dropped)."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Read a name or an address, blanks around it dropped."""
        name = text.strip()
        if name.startswith("[") and name.endswith("]"):
            name = Ip(name[1:-1])
        elif not _is_ip(name):
            name = _ascii_name(name)
        else:
            name = Ip(name)
        return super().__new__(cls, name)

    @property
    def is_ip(self) -> bool:
        """Whether this is an address rather than a name."""
        return _is_ip(self)


class Domain(Host):
    """The name of a web site as it stands in a ClientHello and in ``ee`` links.

    4 to 182 ASCII bytes, never an address: Telegram Desktop refuses shorter ones, TDLib cuts longer ones, and a name
    that is an address never stands in a ClientHello (RFC 6066, section 3).
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Read a name, blanks around it dropped."""
        name = super().__new__(cls, text)
        if name.is_ip or "_" in name:
            raise ConfigError("must be a domain name such as example.com")
        if not 4 <= len(name) <= MAX_DOMAIN:
            raise ConfigError(f"must have 4 to {MAX_DOMAIN} characters: Telegram's clients refuse or cut other names")
        return name


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _ascii_name(text: str) -> str:
    name = text.lower()
    if not name.isascii():
        import idna

        try:
            # The encoder's work grows with the square of the length, so what cannot fit is not given to it.
            name = idna.encode(name, uts46=True).decode("ascii") if len(name) <= 253 else ""
        except UnicodeError:
            raise ConfigError("must be a host name: its international characters make none") from None
    labels = name.split(".")
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise ConfigError("must be a host name: letters, digits, dots and hyphens, without blanks and slashes")
    if labels[-1].isdigit():
        raise ConfigError("must be a host name or an address: a name cannot end in a number")
    return name


@attrs.frozen
class HexKey:
    """A user's key, written as 32 hex digits. ``key`` is its 16 bytes; ``repr`` and ``str`` show none of it."""

    key: bytes = attrs.field(repr=False)

    def __attrs_post_init__(self) -> None:
        if len(self.key) != KEY_SIZE:
            raise ConfigError("must be 16 bytes")
        if not any(self.key):
            raise ConfigError("must not be all zeros, which anyone can guess: `telemt-trio secret` makes a new one")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read 32 hex digits in either case."""
        return cls(parse_key(text.strip()))

    def hex(self) -> str:
        """The 32 digits, for a file that only its owner reads."""
        return self.key.hex()


@attrs.frozen
class HostPort:
    """Where to connect to: ``host:port``, an IPv6 address in brackets."""

    host: Host = attrs.field(converter=Host)
    port: Port = attrs.field(converter=Port)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split at the last colon."""
        host, colon, port = text.strip().rpartition(":")
        if not colon:
            raise ConfigError("must be host:port")
        if ":" in host and not host.startswith("["):
            raise ConfigError("must be host:port with an IPv6 address in brackets, such as [2001:db8::1]:443")
        return cls(host, Port.parse(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@attrs.frozen
class DnsOverride:
    """One name pinned to one address: ``host:port:ip``, an IPv6 address in brackets."""

    host: Host = attrs.field(converter=Host)
    port: Port = attrs.field(converter=Port)
    ip: Ip = attrs.field(converter=Ip)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split at the first two colons."""
        host, _, rest = text.strip().partition(":")
        port, colon, address = rest.partition(":")
        if not colon:
            raise ConfigError("must be host:port:ip")
        bracketed = address.startswith("[") and address.endswith("]")
        if bracketed is not (":" in address):
            raise ConfigError("must be host:port:ip with an IPv6 address, and no other, in brackets")
        return cls(host, Port.parse(port), address[1:-1] if bracketed else address)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}:" + (f"[{self.ip}]" if ":" in self.ip else self.ip)


class Scopes(tuple[str, ...]):
    """Names separated by commas; blanks around them and empty ones are dropped."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split at the commas."""
        return cls(name.strip() for name in text.split(",") if name.strip())

    def __str__(self) -> str:
        return ",".join(self)


class _Choice(enum.StrEnum):
    """One word of a few."""

    @classmethod
    def _missing_(cls, value: object) -> Self:
        del value  # never quoted
        raise ConfigError(f"must be one of {', '.join(cls)}")


class UnknownSniAction(_Choice):
    """What becomes of a ClientHello with a good secret whose name is none of ours."""

    MASK = "mask"
    DROP = "drop"
    ACCEPT = "accept"
    REJECT_HANDSHAKE = "reject_handshake"


class RstOnClose(_Choice):
    """When a client's socket is closed with a reset rather than a FIN."""

    OFF = "off"
    ERRORS = "errors"
    ALWAYS = "always"


class LogLevel(_Choice):
    """How much is told, from everything to nothing."""

    DEBUG = "debug"
    VERBOSE = "verbose"
    NORMAL = "normal"
    SILENT = "silent"


class UpstreamType(_Choice):
    """The road to a datacenter."""

    DIRECT = "direct"
    SOCKS4 = "socks4"
    SOCKS5 = "socks5"
    HTTP = "http"

    @classmethod
    def _missing_(cls, value: object) -> Self:
        if value == "shadowsocks":
            raise ConfigError(
                "shadowsocks is not part of this release: run its client beside the proxy and use type socks5 with it"
            )
        return super()._missing_(value)
