"""One ``[[upstreams]]``: a road to Telegram's datacenters."""

from collections.abc import Iterable

import attrs

from telemt_trio.config.setting import Rule, about, between, one_of
from telemt_trio.config.values import HostPort, Ip, Scopes, UpstreamType
from telemt_trio.errors import ConfigError

__all__ = ["UpstreamConfig"]

# Which types a key belongs to; the others do not take it.
_BELONGS = {
    "address": (UpstreamType.SOCKS4, UpstreamType.SOCKS5, UpstreamType.HTTP),
    "user_id": (UpstreamType.SOCKS4,),
    "username": (UpstreamType.SOCKS5, UpstreamType.HTTP),
    "password": (UpstreamType.SOCKS5, UpstreamType.HTTP),
    "bind_addresses": (UpstreamType.DIRECT,),
    "bindtodevice": (UpstreamType.DIRECT,),
}


def _check_device(value: str) -> None:
    # IFNAMSIZ of linux/if.h counts a closing zero byte.
    if not (0 < len(value.encode()) < 16 and "/" not in value and value.isprintable()):
        raise ConfigError("must be the name of a network device, 15 bytes at most")


def _addresses(texts: Iterable[str]) -> tuple[Ip, ...]:
    return tuple(map(Ip, texts))


@attrs.frozen(kw_only=True)
class UpstreamConfig:
    """``[[upstreams]]``: direct, or through a proxy of another kind. Without any, there is one direct upstream."""

    type: UpstreamType = attrs.field(
        converter=UpstreamType,
        metadata=about("direct, socks4, socks5, or http for a proxy that speaks HTTP CONNECT."),
    )
    weight: int = attrs.field(
        default=1,
        validator=between(1, 65_535),
        metadata=about("Its share of the connections, compared with the other upstreams."),
    )
    enabled: bool = attrs.field(default=True, metadata=about("false takes it out without forgetting it."))
    scopes: Scopes = attrs.field(
        default=Scopes(),
        converter=Scopes,
        metadata=about("Names separated by commas: only users called scope_NAME go this way."),
    )
    ipv4: bool | None = attrs.field(default=None, metadata=about("Reach IPv4 this way.", shown="network.ipv4"))
    ipv6: bool | None = attrs.field(default=None, metadata=about("Reach IPv6 this way.", shown="network.ipv6"))
    prefer: int | None = attrs.field(
        default=None,
        validator=one_of(4, 6),
        metadata=about("The family that is tried first on this road.", shown="network.prefer"),
    )
    interface: str | None = attrs.field(
        default=None,
        metadata=about("Device or local address to connect from.", shown="the system's choice"),
    )
    bind_addresses: tuple[Ip, ...] = attrs.field(
        default=(),
        converter=_addresses,
        metadata=about("direct: local addresses to connect from, in turn."),
    )
    bindtodevice: str | None = attrs.field(
        default=None,
        validator=Rule("15 bytes at most", _check_device),
        metadata=about("direct: device that connections are tied to (SO_BINDTODEVICE).", shown="none"),
    )
    address: HostPort | None = attrs.field(
        default=None,
        metadata=about("host:port of the proxy; needed for every type but direct.", shown="none"),
    )
    user_id: str | None = attrs.field(
        default=None,
        repr=False,
        metadata=about("socks4: the user id it asks for.", shown="none"),
    )
    username: str | None = attrs.field(
        default=None,
        repr=False,
        metadata=about("socks5, http: the name to log in with.", shown="none"),
    )
    password: str | None = attrs.field(
        default=None,
        repr=False,
        metadata=about("socks5, http: the password to log in with.", shown="none", secret=True),
    )

    def __attrs_post_init__(self) -> None:
        problems = [
            f"{key}: {self.type} upstreams do not have it: remove it"
            for key, types in _BELONGS.items()
            if getattr(self, key) and self.type not in types
        ]
        if self.type is not UpstreamType.DIRECT and self.address is None:
            problems.append(f"address: missing; a {self.type} upstream needs the host:port of its proxy")
        if (self.username is None) is not (self.password is None):
            problems.append("username: needs a password beside it, and a password needs a username")
        if self.ipv4 is False and self.ipv6 is False:
            problems.append("ipv4: both families are off, so nothing could go this way: set enabled = false instead")
        if problems:
            raise ConfigError(*problems)
