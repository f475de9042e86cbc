"""The settings that a connection runs with: frozen values, made from the configuration once.

A connection keeps the settings it started with; a reload gives new ones to new connections. Sizes are bytes, times
seconds unless a name says ``_ms``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from telemt_trio.config.values import RstOnClose, UnknownSniAction
from telemt_trio.wire.client_hello import boot_cap_for

if TYPE_CHECKING:
    import random

    from telemt_trio.config.model import ProxyConfig

__all__ = ["HandshakeSettings", "MaskSettings", "RelaySettings", "Settings"]

# The filler record stands for the encrypted certificate flight of a real server: as large as those are, and never above
# 10240, which iOS refuses.
_FILLER_DEFAULT: Final = 2048
_FILLER_LEAST, _FILLER_MOST = 1024, 4095
_FILLER_FLOOR, _FILLER_CEILING = 64, 10240


@attrs.frozen
class HandshakeSettings:
    """How a client is recognised and answered."""

    classic: bool
    secure: bool
    tls: bool
    domains: frozenset[str]
    unknown_sni: UnknownSniAction
    alpn_enforce: bool
    ignore_time_skew: bool
    boot_cap: int
    filler_size: int
    delay_min_ms: int
    delay_max_ms: int
    first_byte_limit: float
    limit: float

    @property
    def plain(self) -> bool:
        """Whether any mode without TLS is on."""
        return self.classic or self.secure


@attrs.frozen
class MaskSettings:
    """Where strangers go. ``max_bytes`` bounds each direction, 0 does not."""

    enabled: bool
    host: str
    port: int
    max_bytes: int
    limit: float
    idle_limit: float
    connect_limit: float = 5.0


@attrs.frozen
class RelaySettings:
    """How authenticated clients are relayed."""

    fast_mode: bool
    read_up: int
    read_down: int
    bulk_mss: int = 0


@attrs.frozen
class Settings:
    """All of them."""

    handshake: HandshakeSettings
    mask: MaskSettings
    relay: RelaySettings
    rst_on_close: RstOnClose = RstOnClose.OFF

    @classmethod
    def of(cls, config: ProxyConfig, rng: random.Random) -> Settings:
        """Read ``config``. ``rng`` draws the filler size of this run where the operator chose none."""
        general, censorship, timeouts = config.general, config.censorship, config.timeouts
        filler = censorship.fake_cert_len
        if filler == _FILLER_DEFAULT:
            filler = rng.randint(_FILLER_LEAST, _FILLER_MOST)
        front = censorship.mask_target()
        return cls(
            HandshakeSettings(
                classic=general.modes.classic,
                secure=general.modes.secure,
                tls=general.modes.tls,
                domains=frozenset(str(domain).lower() for domain in censorship.domains),
                unknown_sni=censorship.unknown_sni_action,
                alpn_enforce=censorship.alpn_enforce,
                ignore_time_skew=config.access.ignore_time_skew,
                boot_cap=boot_cap_for(config.access.replay_window_secs),
                filler_size=min(max(filler, _FILLER_FLOOR), _FILLER_CEILING),
                delay_min_ms=censorship.server_hello_delay_min_ms,
                delay_max_ms=censorship.server_hello_delay_max_ms,
                first_byte_limit=timeouts.client_first_byte_idle_secs or timeouts.client_handshake,
                limit=timeouts.client_handshake,
            ),
            MaskSettings(
                enabled=censorship.mask,
                host=str(front or ""),
                port=censorship.mask_port,
                max_bytes=censorship.mask_relay_max_bytes,
                limit=censorship.mask_relay_timeout_ms / 1000,
                idle_limit=censorship.mask_relay_idle_timeout_ms / 1000,
            ),
            RelaySettings(
                fast_mode=general.fast_mode,
                read_up=general.direct_relay_copy_buf_c2s_bytes,
                read_down=general.direct_relay_copy_buf_s2c_bytes,
                bulk_mss=config.server.client_mss_bulk,
            ),
            general.rst_on_close,
        )
