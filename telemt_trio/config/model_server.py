"""The sections ``[network]``, ``[server]``, ``[[server.listeners]]`` and ``[timeouts]``."""

from collections.abc import Iterable
from typing import Literal

import attrs

from telemt_trio.config.setting import Rule, about, between, one_of, positive
from telemt_trio.config.values import DnsOverride, Host, Ip, Mss, Seconds
from telemt_trio.errors import ConfigError

__all__ = ["ListenerConfig", "NetworkConfig", "ServerConfig", "TimeoutsConfig"]


@attrs.frozen(kw_only=True)
class NetworkConfig:
    """``[network]``: address families and names."""

    ipv4: bool = attrs.field(default=True, metadata=about("Connect to datacenters over IPv4."))
    ipv6: bool | None = attrs.field(
        default=None,
        metadata=about("Connect to datacenters over IPv6.", telemt="false", shown="where this machine has it"),
    )
    prefer: int = attrs.field(
        default=4,
        validator=one_of(4, 6),
        metadata=about("The family that is tried first; the other one if this one is off."),
    )
    dns_overrides: tuple[DnsOverride, ...] = attrs.field(
        default=(),
        converter=tuple[DnsOverride, ...],
        metadata=about('Names pinned to addresses as "host:port:ip", asked before the system\'s resolver.', hot=True),
    )

    def __attrs_post_init__(self) -> None:
        if not self.ipv4 and self.ipv6 is False:
            raise ConfigError("ipv4: both families are off, so no datacenter could be reached: turn one on")

    @property
    def family(self) -> Literal[4, 6]:
        """``prefer``, or the other family when that one is off."""
        if not self.ipv4:
            return 6
        return 6 if self.prefer == 6 and self.ipv6 is not False else 4


@attrs.frozen(kw_only=True)
class ListenerConfig:
    """One ``[[server.listeners]]``: an address to listen on."""

    ip: Ip = attrs.field(converter=Ip, metadata=about("Address to listen on; 0.0.0.0 or :: for all of a family."))
    port: int | None = attrs.field(
        default=None,
        validator=between(0, 65535),
        metadata=about("Port to listen on.", shown="server.port"),
    )
    announce: Host | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(Host),
        metadata=about("Host that stands in links to this listener.", shown="its address"),
    )
    reuse_allow: bool = attrs.field(
        default=False,
        metadata=about("Let other processes listen on the same address and port (SO_REUSEPORT)."),
    )
    client_mss: Mss | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(Mss),
        metadata=about('As server.client_mss, for this listener; "" turns it off here.', shown="server.client_mss"),
    )


def _check_family(version: int) -> Rule:
    def check(value: str) -> None:
        if value and Ip(value).version != version:
            raise ConfigError(f"must be an IPv{version} address")

    return Rule(f'an IPv{version} address or ""', check)


@attrs.frozen(kw_only=True)
class ServerConfig:
    """``[server]``: where clients are waited for."""

    port: int = attrs.field(
        default=443,
        validator=between(0, 65535),
        metadata=about("Port to listen on; 443 is where the fronted site would be, 0 takes any free one."),
    )
    listen_addr_ipv4: str = attrs.field(
        default="0.0.0.0",
        validator=_check_family(4),
        metadata=about('IPv4 address to listen on when there are no listeners; "" for none.'),
    )
    listen_addr_ipv6: str = attrs.field(
        default="::",
        validator=_check_family(6),
        metadata=about('IPv6 address to listen on when there are no listeners; "" for none.'),
    )
    listen_backlog: int = attrs.field(
        default=1024,
        validator=between(1, 2**31 - 1),
        metadata=about("How many connections may wait to be accepted."),
    )
    max_connections: int = attrs.field(
        default=10_000,
        validator=positive(or_zero=True),
        metadata=about("How many clients are served at a time; 0 for no limit."),
    )
    client_mss: Mss = attrs.field(
        default=Mss(),
        converter=Mss,
        metadata=about("TCP segment size asked of clients, so that a ServerHello arrives in pieces."),
    )
    client_mss_bulk: Mss = attrs.field(
        default=Mss(),
        converter=Mss,
        metadata=about("Segment size once the relay runs, which gives the speed back."),
    )
    listeners: tuple[ListenerConfig, ...] = attrs.field(default=(), converter=tuple[ListenerConfig, ...])

    def __attrs_post_init__(self) -> None:
        if not self.addresses():
            raise ConfigError("listen_addr_ipv4: nothing to listen on: give an address or a [[server.listeners]]")
        twice = _repeated((one.ip, one.port) for one in self.addresses() if one.port and not one.reuse_allow)
        if twice:
            raise ConfigError(f"listeners: {twice[0]} port {twice[1]} is listed twice: keep one of them")

    def addresses(self) -> tuple[ListenerConfig, ...]:
        """Where to listen: ``listeners``, or else one for each ``listen_addr``; port and segment size filled in."""
        listeners = self.listeners or tuple(
            ListenerConfig(ip=Ip(text)) for text in (self.listen_addr_ipv4, self.listen_addr_ipv6) if text
        )
        return tuple(
            attrs.evolve(
                one,
                port=self.port if one.port is None else one.port,
                client_mss=self.client_mss if one.client_mss is None else one.client_mss,
            )
            for one in listeners
        )


def _repeated(places: Iterable[tuple[Ip, int | None]]) -> tuple[Ip, int | None] | None:
    seen = set()
    for place in places:
        if place in seen:
            return place
        seen.add(place)
    return None


@attrs.frozen(kw_only=True)
class TimeoutsConfig:
    """``[timeouts]``: how long clients may keep us waiting."""

    client_first_byte_idle_secs: Seconds = attrs.field(
        default=300,
        validator=positive(or_zero=True),
        metadata=about("How long a client may stay silent after connecting; 0 applies client_handshake instead."),
    )
    client_handshake: Seconds = attrs.field(
        default=10,
        validator=between(1, 3600),
        metadata=about(
            "From a client's first byte to its complete handshake; short, because a stranger that stalls reaches the "
            "front only then, and clients themselves give up after 10.",
            telemt="60",
        ),
    )
    client_keepalive: Seconds = attrs.field(
        default=15,
        validator=between(1, 32_767),
        metadata=about("Idle time after which TCP asks a client whether it still lives, and the interval of asking."),
    )
    client_ack: Seconds = attrs.field(
        default=90,
        validator=between(0, 2_147_483),
        metadata=about("How long data to a client may stay unacknowledged (TCP_USER_TIMEOUT); 0 as the system has it."),
    )
    drain_secs: Seconds = attrs.field(
        default=10,
        validator=between(0, 86_400),
        metadata=about("How long running relays may finish when the proxy stops.", ours=True),
    )
