"""The whole configuration: one frozen class, its sections, and the rules that hold between them.

Names, sections and meanings are those of telemt's config.toml, so that an operator's file works here. Every class can
also be built in code; a broken rule raises :class:`ConfigError` either way. Nothing here reads a file or a clock.

    ProxyConfig(
        access=AccessConfig(users={"alice": HexKey.parse("0123456789abcdef0123456789abcdef")}),
        censorship=CensorshipConfig(tls_domain="example.com"),
    )
"""

from collections.abc import Mapping
from typing import Final

import attrs

from telemt_trio.config.model_access import AccessConfig
from telemt_trio.config.model_censorship import CensorshipConfig
from telemt_trio.config.model_general import GeneralConfig, LinksConfig, ModesConfig
from telemt_trio.config.model_server import ListenerConfig, NetworkConfig, ServerConfig, TimeoutsConfig
from telemt_trio.config.model_upstream import UpstreamConfig
from telemt_trio.config.setting import Rule, about, between, frozen_map
from telemt_trio.config.values import HostPort
from telemt_trio.errors import ConfigError

__all__ = [
    "AccessConfig",
    "CensorshipConfig",
    "GeneralConfig",
    "LinksConfig",
    "ListenerConfig",
    "ModesConfig",
    "NetworkConfig",
    "ProxyConfig",
    "ServerConfig",
    "TimeoutsConfig",
    "UpstreamConfig",
]

_HOW_TO_CHOOSE: Final = (
    "choose one that answers on port 443 with TLS 1.3 and X25519, near this server, and not behind a CDN that you "
    "cannot explain"
)

# Telegram's content delivery, which no client can be told about in another way.
_CDN: Final = {"203": (HostPort("91.105.192.100", 443),)}


def _with_cdn(overrides: Mapping[str, tuple[HostPort, ...]]) -> Mapping[str, tuple[HostPort, ...]]:
    return frozen_map(_CDN | dict(overrides))


def _check_overrides(overrides: Mapping[str, tuple[HostPort, ...]]) -> None:
    problems = []
    for key, addresses in overrides.items():
        number = int(key) if key.removeprefix("-").isdecimal() and key.isascii() and len(key) <= 6 else 0
        if str(number) != key or not -32768 <= number <= 32767 or not number:
            problems.append('a datacenter is a number such as "2", or "-2" for its media cluster')
        if not all(address.host.is_ip for address in addresses):
            problems.append(f"datacenter {key}: must be ip:port, not a name")
    if problems:
        raise ConfigError(*problems)


@attrs.frozen(kw_only=True)
class ProxyConfig:
    """Everything an operator can decide. ``access`` has no default: a proxy without users serves nobody."""

    general: GeneralConfig = attrs.field(factory=GeneralConfig)
    network: NetworkConfig = attrs.field(factory=NetworkConfig)
    server: ServerConfig = attrs.field(factory=ServerConfig)
    timeouts: TimeoutsConfig = attrs.field(factory=TimeoutsConfig)
    censorship: CensorshipConfig = attrs.field(factory=CensorshipConfig)
    access: AccessConfig
    upstreams: tuple[UpstreamConfig, ...] = attrs.field(default=(), converter=tuple[UpstreamConfig, ...])
    dc_overrides: Mapping[str, tuple[HostPort, ...]] = attrs.field(
        factory=dict,
        converter=_with_cdn,
        validator=Rule("ip:port or a list of them", _check_overrides),
        metadata=about(
            'Other addresses for datacenters: "2" = ["ip:port", ...]; "-2" is the media cluster of 2.',
            shown='{"203" = "91.105.192.100:443"}',
        ),
    )
    default_dc: int | None = attrs.field(
        default=None,
        validator=between(1, 5),
        metadata=about("Datacenter for clients that name none or an unknown one.", shown="2"),
    )

    def __attrs_post_init__(self) -> None:
        problems = []
        if self.censorship.tls_domain is None and self.general.modes.tls:
            problems.append(f"censorship.tls_domain: missing; FakeTLS needs a site to look like: {_HOW_TO_CHOOSE}")
        elif self.censorship.mask and self.censorship.mask_target() is None:
            problems.append(
                f"censorship.tls_domain: missing; strangers are handed to a site: {_HOW_TO_CHOOSE}, or set mask = false"
            )
        if self.censorship.server_hello_delay_max_ms >= self.timeouts.client_handshake * 1000:
            problems.append("censorship.server_hello_delay_max_ms: must be less than timeouts.client_handshake")
        if self.upstreams and not any(upstream.enabled for upstream in self.upstreams):
            problems.append("upstreams: every one is disabled, so no datacenter could be reached: enable one")
        if problems:
            raise ConfigError(*problems)
