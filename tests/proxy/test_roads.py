"""The configuration's words about Telegram's side become roads."""

import random

from telemt_trio.config.load import structure
from telemt_trio.net.resolve import Resolver
from telemt_trio.proxy.roads import upstreams_of


def roads(**general):
    config = structure(
        {
            "general": {"modes": {"classic": True, "tls": False}, **general},
            "censorship": {"mask": False},
            "access": {"users": {"alice": "0123456789abcdef" * 2}},
            "dc_overrides": {"7": "127.0.0.1:1"},
        }
    )
    return upstreams_of(config, Resolver(), rng=random.Random(1), emit=lambda _event: None)


async def test_the_file_of_unknown_datacenters_lies_in_the_state_directory(tmp_path):
    upstreams = roads(unknown_dc_file_log_enabled=True, data_path=str(tmp_path), unknown_dc_log_path="unknown.txt")
    log = upstreams._unknown_log
    assert await log.record(99) is None
    assert (tmp_path / "unknown.txt").read_text() == "dc_idx=99\n"


async def test_no_file_unless_it_was_asked_for():
    assert roads()._unknown_log is None


async def test_the_policy_is_the_operators():
    policy = roads(upstream_connect_retry_attempts=4, tg_connect=7).policy
    assert (policy.attempts, policy.per_attempt) == (4, 7.0)
