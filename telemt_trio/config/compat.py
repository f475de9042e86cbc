"""telemt's configuration files, made ours: its older spellings, and the keys that have no effect in this release.

An operator's file is taken as it is. Keys of the model act; keys that telemt knows and this release does not use are
listed once in a warning; older spellings are moved to the key that replaced them; anything else is a mistake, answered
with the key that was probably meant.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from telemt_trio.config.schema import Table, schema

__all__ = ["FOREIGN", "RENAMED", "Translation", "is_foreign", "nearest", "shown_name", "translate"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What telemt knows besides our own keys, by section. A table that is foreign as a whole stands here by its name alone.
FOREIGN: Final[Mapping[str, frozenset[str]]] = {
    "": _words("beobachten beobachten_minutes beobachten_flush_secs beobachten_file logging"),
    "general": _words(
        """
        ad_tag auto_degradation_enabled beobachten beobachten_file beobachten_flush_secs beobachten_minutes
        config_strict crypto_pending_buffer degradation_min_unavailable_dc_groups desync_all_full
        direct_relay_buffer_budget_max_bytes disable_colors fast_mode_min_tls_record hardswap max_client_frame
        middle_proxy_nat_ip middle_proxy_nat_probe middle_proxy_nat_stun middle_proxy_nat_stun_servers
        middle_proxy_pool_size middle_proxy_warm_standby ntp_check ntp_servers proxy_config_auto_reload_secs
        proxy_config_v4_cache_path proxy_config_v4_url proxy_config_v6_cache_path proxy_config_v6_url
        proxy_secret_auto_reload_secs proxy_secret_len_max proxy_secret_path proxy_secret_rotate_runtime
        proxy_secret_stable_snapshots proxy_secret_url quota_state_path rpc_proxy_req_every
        stun_iface_mismatch_ignore stun_nat_probe_concurrency telemetry update_every

        me2dc_fallback me2dc_fast me_adaptive_floor_cpu_cores_override me_adaptive_floor_idle_secs
        me_adaptive_floor_max_active_writers_global me_adaptive_floor_max_active_writers_per_core
        me_adaptive_floor_max_extra_writers_multi_per_core me_adaptive_floor_max_extra_writers_single_per_core
        me_adaptive_floor_max_warm_writers_global me_adaptive_floor_max_warm_writers_per_core
        me_adaptive_floor_min_writers_multi_endpoint me_adaptive_floor_min_writers_single_endpoint
        me_adaptive_floor_recover_grace_secs me_adaptive_floor_writers_per_core_total me_admission_poll_ms
        me_bind_stale_mode me_bind_stale_ttl_secs me_c2me_channel_capacity me_c2me_send_timeout_ms
        me_config_apply_cooldown_secs me_config_stable_snapshots me_d2c_ack_flush_immediate
        me_d2c_flush_batch_max_bytes me_d2c_flush_batch_max_delay_us me_d2c_flush_batch_max_frames
        me_d2c_frame_buf_shrink_threshold_bytes me_deterministic_writer_sort me_floor_mode
        me_hardswap_warmup_delay_max_ms me_hardswap_warmup_delay_min_ms me_hardswap_warmup_extra_passes
        me_hardswap_warmup_pass_backoff_base_ms me_health_interval_ms_healthy me_health_interval_ms_unhealthy
        me_init_retry_attempts me_instadrain me_keepalive_enabled me_keepalive_interval_secs
        me_keepalive_jitter_secs me_keepalive_payload_random me_pool_drain_soft_evict_budget_per_core
        me_pool_drain_soft_evict_cooldown_ms me_pool_drain_soft_evict_enabled
        me_pool_drain_soft_evict_grace_secs me_pool_drain_soft_evict_per_writer me_pool_drain_threshold
        me_pool_drain_ttl_secs me_pool_min_fresh_ratio me_quota_soft_overshoot_bytes
        me_reader_route_data_wait_ms me_reconnect_backoff_base_ms me_reconnect_backoff_cap_ms
        me_reconnect_fast_retry_count me_reconnect_max_concurrent_per_dc me_reinit_coalesce_window_ms
        me_reinit_drain_timeout_secs me_reinit_every_secs me_reinit_singleflight me_reinit_trigger_channel
        me_route_backpressure_base_timeout_ms me_route_backpressure_enabled
        me_route_backpressure_high_timeout_ms me_route_backpressure_high_watermark_pct
        me_route_blocking_send_timeout_ms me_route_channel_capacity me_route_fairshare_enabled
        me_route_hybrid_max_wait_ms me_route_inline_recovery_attempts me_route_inline_recovery_wait_ms
        me_route_no_writer_mode me_route_no_writer_wait_ms me_secret_atomic_snapshot
        me_single_endpoint_outage_backoff_max_ms me_single_endpoint_outage_backoff_min_ms
        me_single_endpoint_outage_disable_quarantine me_single_endpoint_outage_mode_enabled
        me_single_endpoint_shadow_rotate_every_secs me_single_endpoint_shadow_writers
        me_snapshot_min_proxy_for_lines me_snapshot_reject_empty_map me_snapshot_require_http_2xx
        me_socks_kdf_policy me_warmup_stagger_enabled me_warmup_step_delay_ms me_warmup_step_jitter_ms
        me_warn_rate_limit_ms me_writer_byte_budget_bytes me_writer_cmd_channel_capacity me_writer_pick_mode
        me_writer_pick_sample_size
        """
    ),
    "network": _words("cache_public_ip_path http_ip_detect_urls multipath stun_servers stun_tcp_fallback stun_use"),
    "server": _words(
        """
        accept_permit_timeout_ms admin_api api conntrack_control listen_tcp listen_unix_sock
        listen_unix_sock_perm metrics_listen metrics_port metrics_whitelist proxy_protocol
        proxy_protocol_header_timeout_ms proxy_protocol_trusted_cidrs
        """
    ),
    "server.listeners[]": _words(
        """
        proxy_protocol synlimit synlimit_burst synlimit_hashlimit_expire_ms synlimit_hashlimit_size
        synlimit_hitcount synlimit_ios_burst synlimit_ios_hitcount synlimit_ios_seconds synlimit_seconds
        """
    ),
    "timeouts": _words(
        """
        me_one_retry me_one_timeout_ms relay_client_idle_hard_secs relay_client_idle_soft_secs
        relay_idle_grace_after_downstream_activity_secs relay_idle_policy_v2_enabled
        """
    ),
    "censorship": _words(
        """
        exclusive_mask mask_classifier_prefetch_timeout_ms mask_dynamic mask_proxy_protocol
        mask_shape_above_cap_blur mask_shape_above_cap_blur_max_bytes mask_shape_bucket_cap_bytes
        mask_shape_bucket_floor_bytes mask_shape_hardening mask_shape_hardening_aggressive_mode
        mask_timing_normalization_ceiling_ms mask_timing_normalization_enabled
        mask_timing_normalization_floor_ms mask_unix_sock serverhello_compact tls_emulation tls_fetch
        tls_fetch_scope tls_front_dir tls_full_cert_ttl_secs tls_new_session_tickets
        """
    ),
    "access": _words(
        """
        cidr_rate_limits user_ad_tags user_data_quota user_expirations user_max_tcp_conns
        user_max_tcp_conns_global_each user_max_unique_ips user_max_unique_ips_global_each
        user_max_unique_ips_mode user_max_unique_ips_window_secs user_rate_limits user_source_deny
        """
    ),
    "upstreams[]": frozenset({"url"}),
}

# Older spellings of our keys: from -> to. A new spelling beside the old one wins.
RENAMED: Final[Mapping[str, str]] = {
    "show_link": "general.links.show",
    "general.prefer_ipv6": "network.prefer",
    "server.listeners[].announce_ip": "server.listeners[].announce",
    "upstreams[].force_bind": "upstreams[].bindtodevice",
}

_LIKE_A_KEY: Final = re.compile(r"[0-9a-fA-F]{32,}")


@attrs.frozen
class Translation:
    """A document in our own words.

    ``document`` holds keys of the model alone. ``foreign`` and ``renamed`` name what was left out and what was moved;
    ``problems`` has a sentence for every key that nobody knows.
    """

    document: dict[str, Any] = attrs.field(repr=False)
    foreign: tuple[str, ...]
    renamed: tuple[str, ...]
    problems: tuple[str, ...]

    def warnings(self) -> tuple[str, ...]:
        """One sentence for all foreign keys, and one for all old spellings."""
        said = []
        if self.foreign:
            said.append(f"these keys of telemt have no effect in this release: {', '.join(self.foreign)}")
        if self.renamed:
            moved = ", ".join(f"{old} (now {RENAMED[old]})" for old in self.renamed)
            said.append(f"these keys have old names, please write the new ones: {moved}")
        return tuple(said)


def translate(raw: Mapping[str, Any]) -> Translation:
    """Sort the keys of a parsed file. ``raw`` is left alone; values are passed on unjudged."""
    sorter = _Sorter()
    document = sorter.table(schema(), raw, "config")
    _move(document, sorter.moved)
    _spell_out(document)
    return Translation(document, tuple(sorted(sorter.foreign)), tuple(sorter.moved), tuple(sorter.problems))


@attrs.define
class _Sorter:
    foreign: set[str] = attrs.field(factory=set)
    moved: dict[str, Any] = attrs.field(factory=dict)
    problems: list[str] = attrs.field(factory=list)

    def table(self, table: Table, mapping: Mapping[str, Any], place: str) -> dict[str, Any]:
        """What ``mapping`` has for our ``table``; ``place`` is its path in the operator's file."""
        kept: dict[str, Any] = {}
        for name, value in mapping.items():
            path, here = f"{table.path}.{name}".lstrip("."), f"{place}.{shown_name(name)}"
            if name in table.keys:
                kept[name] = value
            elif name in table.tables:
                kept[name] = self._below(table.tables[name], value, here)
            elif name in table.arrays:
                kept[name] = self._array(table.arrays[name], value, here)
            elif name in FOREIGN.get(table.path, ()):
                self.foreign.add(path)
            elif path in RENAMED:
                self.moved[path] = value
            else:
                self.problems.append(f"{here}: unknown key{_hint(table, name)}")
        for old, new in RENAMED.items():
            # Within one table the move is made on the spot: an array has many of them.
            before, _, name = old.rpartition(".")
            after, _, replacement = new.rpartition(".")
            if before == after == table.path and name in mapping:
                kept.setdefault(replacement, mapping[name])
        return kept

    def _below(self, table: Table, value: Any, here: str) -> Any:
        return self.table(table, value, here) if isinstance(value, Mapping) else value

    def _array(self, table: Table, value: Any, here: str) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return [self._below(table, one, f"{here}[{index}]") for index, one in enumerate(value)]


def _move(document: dict[str, Any], moved: Mapping[str, Any]) -> None:
    if "show_link" in moved:
        general = document.setdefault("general", {})
        links = general.setdefault("links", {}) if isinstance(general, dict) else None
        if isinstance(links, dict):
            links.setdefault("show", moved["show_link"])
    if moved.get("general.prefer_ipv6") is True:
        network = document.setdefault("network", {})
        if isinstance(network, dict):
            network.setdefault("prefer", 6)


def _spell_out(document: dict[str, Any]) -> None:
    """A datacenter's address may be text or a list; blank texts count as absent."""
    overrides = document.get("dc_overrides")
    if isinstance(overrides, Mapping):
        spelled = {
            name: [one for one in ([value] if isinstance(value, str) else value) if one != ""]
            if isinstance(value, str | list | tuple)
            else value
            for name, value in overrides.items()
        }
        document["dc_overrides"] = {name: value for name, value in spelled.items() if value != []}


def shown_name(name: object) -> str:
    """A key of a table as it may stand in a message: one that looks like a secret is not shown."""
    return "<secret?>" if _LIKE_A_KEY.search(str(name)) else str(name)


def is_foreign(path: str) -> bool:
    """Whether telemt knows this key, or the table it stands in, and we do not."""
    parts = path.split(".")
    return any(parts[end - 1] in FOREIGN.get(".".join(parts[: end - 1]), ()) for end in range(1, len(parts) + 1))


def nearest(name: str, names: Iterator[str] | list[str]) -> str | None:
    """What was probably meant, or None if nothing resembles it."""
    import difflib

    return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=0.7)), None)


def _hint(table: Table, name: str) -> str:
    if not isinstance(name, str):
        return ": a key is text"
    here = [*table.keys, *table.tables, *table.arrays, *FOREIGN.get(table.path, ())]
    guess = nearest(name, here)
    if guess is None:
        elsewhere = {key: one for one in schema().walk() for key in one.keys}
        close = nearest(name, list(elsewhere))
        guess = None if close is None else elsewhere[close].keys[close].path
    return "" if guess is None else f"; did you mean {guess}?"
