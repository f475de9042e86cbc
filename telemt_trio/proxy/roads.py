"""The configuration's words about Telegram's side, in the upstream room's terms."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from telemt_trio.upstream.settings import ConnectPolicy, FamilyPolicy, UpstreamSettings
from telemt_trio.upstream.unknown_dcs import UnknownDcLog
from telemt_trio.upstream.upstreams import Upstreams

if TYPE_CHECKING:
    import random

    from telemt_trio.config.model import ProxyConfig
    from telemt_trio.config.model_general import GeneralConfig
    from telemt_trio.config.model_upstream import UpstreamConfig
    from telemt_trio.events import Observer
    from telemt_trio.net.resolve import Resolves

__all__ = ["upstreams_of"]


def upstreams_of(config: ProxyConfig, resolver: Resolves, *, rng: random.Random, emit: Observer) -> Upstreams:
    """The roads to Telegram that ``config`` describes. Facts about them go to ``emit``."""
    general, network = config.general, config.network
    return Upstreams(
        [_settings(upstream) for upstream in config.upstreams],
        resolver=resolver,
        rng=rng,
        policy=ConnectPolicy(
            attempts=general.upstream_connect_retry_attempts,
            backoff_ms=general.upstream_connect_retry_backoff_ms,
            budget_ms=general.upstream_connect_budget_ms,
            per_attempt=float(general.tg_connect),
            fail_threshold=general.upstream_unhealthy_fail_threshold,
            failfast=general.upstream_connect_failfast_hard_errors,
        ),
        network=FamilyPolicy(ipv4=network.ipv4, ipv6=network.ipv6 is not False, prefer=network.prefer),
        overrides={
            int(index): [(str(address.host), address.port) for address in addresses]
            for index, addresses in config.dc_overrides.items()
        },
        default_dc=config.default_dc,
        emit=emit,
        unknown_log=_unknown_log(general),
    )


def _unknown_log(general: GeneralConfig) -> UnknownDcLog | None:
    """Where indexes that stand in no table are written down, if they are: relative to the state directory."""
    if not general.unknown_dc_file_log_enabled:
        return None
    return UnknownDcLog(os.path.join(general.data_path or "", general.unknown_dc_log_path))  # noqa: PTH118  # a str


def _settings(upstream: UpstreamConfig) -> UpstreamSettings:
    address = upstream.address
    return UpstreamSettings(
        kind=upstream.type.value,
        weight=upstream.weight,
        enabled=upstream.enabled,
        scopes=frozenset(upstream.scopes),
        ipv4=upstream.ipv4,
        ipv6=upstream.ipv6,
        prefer=upstream.prefer,
        interface=upstream.interface,
        bind_addresses=tuple(str(ip) for ip in upstream.bind_addresses),
        bindtodevice=upstream.bindtodevice,
        address=None if address is None else (str(address.host), address.port),
        user_id=upstream.user_id,
        username=upstream.username,
        password=upstream.password,
    )
