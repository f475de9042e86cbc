"""What the operator says about the roads to Telegram, as plain values. The configuration is mapped to these."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from telemt_trio.errors import ConfigError

if TYPE_CHECKING:
    from telemt_trio.net.dial import Address

__all__ = ["KINDS", "ConnectPolicy", "FamilyPolicy", "UpstreamSettings", "parse_scopes"]

KINDS = ("direct", "socks5", "socks4", "http")


def parse_scopes(text: str) -> frozenset[str]:
    """The comma-separated ``scopes`` of an upstream; an empty text means that it serves users without a scope."""
    return frozenset(filter(None, map(str.strip, text.split(","))))


@attrs.frozen
class UpstreamSettings:
    """One road to Telegram.

    ``kind`` is ``direct``, ``socks5``, ``socks4`` or ``http`` (CONNECT). ``weight`` is relative; 0 is used only when
    nothing else is left. ``ipv4``, ``ipv6`` and ``prefer`` (4 or 6) override the proxy's family policy; None inherits.
    ``interface`` is a local IP or a device name; ``bind_addresses`` and ``bindtodevice`` belong to direct roads,
    ``address`` (host or IP, port) and the credentials to the others.
    """

    kind: str = "direct"
    weight: int = 1
    enabled: bool = True
    scopes: frozenset[str] = frozenset()
    ipv4: bool | None = None
    ipv6: bool | None = None
    prefer: int | None = None
    interface: str | None = None
    bind_addresses: tuple[str, ...] = ()
    bindtodevice: str | None = None
    address: Address | None = None
    user_id: str | None = attrs.field(default=None, repr=False)
    username: str | None = attrs.field(default=None, repr=False)
    password: str | None = attrs.field(default=None, repr=False)

    @property
    def label(self) -> str:
        """How log lines name this road: ``direct`` or ``socks5 proxy.example:1080``, without credentials."""
        return self.kind if self.address is None else f"{self.kind} {self.address[0]}:{self.address[1]}"


@attrs.frozen
class ConnectPolicy:
    """How hard a connection to a datacenter is tried.

    ``attempts`` in one cycle on the road that was chosen; between two of them a pause of ``backoff_ms`` plus up to half
    of it; ``per_attempt`` seconds for each and ``budget_ms`` for all. ``fail_threshold`` failed cycles in a row make an
    upstream unhealthy. ``failfast`` stops after an error that a second attempt cannot cure.
    """

    attempts: int = 2
    backoff_ms: int = 100
    budget_ms: int = 3000
    per_attempt: float = 10.0
    fail_threshold: int = 5
    failfast: bool = False


@attrs.frozen
class FamilyPolicy:
    """Which address families may be used towards Telegram, and which is tried first (``prefer``: 4 or 6)."""

    ipv4: bool = True
    ipv6: bool = False
    prefer: int = 4

    @property
    def prefer_v6(self) -> bool:
        """The preference that is left when a family is switched off: a disabled family is never preferred."""
        return self.ipv6 and (self.prefer == 6 or not self.ipv4)

    def narrowed(self, upstream: UpstreamSettings) -> FamilyPolicy:
        """This policy with the upstream's own wishes in it. Raises ConfigError if no family is left."""
        policy = FamilyPolicy(
            ipv4=self.ipv4 if upstream.ipv4 is None else upstream.ipv4,
            # SOCKS4 has four bytes for an address.
            ipv6=(self.ipv6 if upstream.ipv6 is None else upstream.ipv6) and upstream.kind != "socks4",
            prefer=self.prefer if upstream.prefer is None else upstream.prefer,
        )
        if not (policy.ipv4 or policy.ipv6):
            raise ConfigError(f"upstream {upstream.label}: neither IPv4 nor IPv6 is allowed")
        return policy
