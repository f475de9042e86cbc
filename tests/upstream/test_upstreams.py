import itertools
import random
import socket

import pytest
import trio
import trio.testing

from telemt_trio.errors import ConfigError, UpstreamError
from telemt_trio.events import ConnectFailed, DatacenterUnknown, UpstreamFailed, UpstreamRecovered
from telemt_trio.net.resolve import Resolver
from telemt_trio.net.sockets import close_socket
from telemt_trio.upstream.settings import ConnectPolicy, FamilyPolicy, UpstreamSettings
from telemt_trio.upstream.unknown_dcs import UnknownDcLog
from telemt_trio.upstream.upstreams import Upstreams

DIRECT = UpstreamSettings()
BOTH = FamilyPolicy(ipv4=True, ipv6=True, prefer=4)


async def fail(upstreams, dc_idx=2, **options):
    with pytest.raises(UpstreamError) as caught:
        await upstreams.connect(dc_idx, **options)
    return str(caught.value)


def of_kind(facts, kind):
    return [fact for fact in facts if isinstance(fact, kind)]


# ---------------------------------------------------------------- the usual way


async def test_without_settings_there_is_one_direct_upstream(build, fake_dial):
    upstreams = build()
    connected = await upstreams.connect(-4)
    assert connected.socket is fake_dial.pairs[0][0]
    assert connected.upstream_index == 0
    assert (connected.target.dc_idx, connected.target.cluster) == (-4, 4)
    assert connected.target.address == ("149.154.167.91", 443)
    assert fake_dial.calls[0][1] == ("149.154.167.91", 443)
    assert upstreams.facts == []
    assert (upstreams.attempts, upstreams.successes, upstreams.failures) == (1, 1, 0)


async def test_over_loopback_to_an_overridden_datacenter():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        upstreams = Upstreams(resolver=Resolver(), rng=random.Random(1), overrides={10001: [listener.getsockname()]})
        connected = await upstreams.connect(10001)
        far, _ = listener.accept()
        with far:
            assert type(connected.socket) is socket.socket
            far.send(b"hello")
            await trio.lowlevel.wait_readable(connected.socket)
            assert connected.socket.recv(10) == b"hello"
            close_socket(connected.socket)


async def test_the_connect_time_is_learned(build, fake_dial, autojump_clock):
    fake_dial.outcomes["149.154.167.51"] = [0.25]
    upstreams = build()
    await upstreams.connect(2)
    assert upstreams.states[0].latency.of(2) == pytest.approx(0.25)


async def test_the_time_of_failed_attempts_is_not(build, fake_dial, autojump_clock, failing):
    fake_dial.outcomes["149.154.167.51"] = [failing("ECONNRESET"), 0.25]
    upstreams = build()
    await upstreams.connect(2)
    assert upstreams.states[0].latency.of(2) == pytest.approx(0.25)


# ---------------------------------------------------------------- trying again


async def test_a_second_attempt_after_a_pause(build, fake_dial, autojump_clock, failing, host_of):
    fake_dial.outcomes[host_of(2)] = [failing("ECONNREFUSED"), 0]
    upstreams = build()
    connected = await upstreams.connect(2)
    first, second = (when for when, *_ in fake_dial.calls)
    assert 0.1 <= second - first <= 0.15
    assert connected.target.cluster == 2
    assert (upstreams.attempts, upstreams.successes, upstreams.failures) == (2, 1, 0)
    assert upstreams.facts == []


async def test_the_pauses_differ(build, fake_dial, autojump_clock, failing, host_of):
    fake_dial.outcomes[host_of(2)] = [failing("ECONNREFUSED")]
    upstreams = build(policy=ConnectPolicy(attempts=12, fail_threshold=99))
    await fail(upstreams)
    times = [when for when, *_ in fake_dial.calls]
    pauses = {round(later - earlier, 3) for earlier, later in itertools.pairwise(times)}
    assert len(times) == 12
    assert len(pauses) > 3
    assert all(0.1 <= pause <= 0.15 for pause in pauses)


async def test_a_pause_of_nothing(build, fake_dial, autojump_clock, failing, host_of):
    fake_dial.outcomes[host_of(2)] = [failing("ECONNREFUSED")]
    started = trio.current_time()
    assert "(3 attempts)" in await fail(build(policy=ConnectPolicy(attempts=3, backoff_ms=0)))
    assert trio.current_time() == started


async def test_a_black_hole_costs_the_budget_and_no_more(build, fake_dial, autojump_clock, host_of):
    fake_dial.outcomes[host_of(2)] = ["hang"]
    started = trio.current_time()
    assert await fail(build()) == "datacenter 2 cannot be reached through upstream direct: timed out (1 attempt)"
    assert trio.current_time() - started == pytest.approx(3.0)
    assert fake_dial.left_open == 0


async def test_each_attempt_has_its_limit_and_the_last_one_what_is_left(build, fake_dial, autojump_clock, host_of):
    fake_dial.outcomes[host_of(2)] = ["hang"]
    upstreams = build(policy=ConnectPolicy(attempts=9, backoff_ms=200, budget_ms=2500, per_attempt=1.0))
    started = trio.current_time()
    await fail(upstreams)
    first, second, third = (when - started for when, *_ in fake_dial.calls)
    assert first == 0
    assert 1.2 <= second <= 1.3
    assert 2.4 <= third <= 2.5
    assert trio.current_time() - started == pytest.approx(2.5)


async def test_no_attempt_begins_when_the_pause_would_use_up_the_budget(build, fake_dial, autojump_clock, host_of):
    fake_dial.outcomes[host_of(2)] = ["hang"]
    upstreams = build(policy=ConnectPolicy(backoff_ms=1000, budget_ms=1500, per_attempt=0.7))
    started = trio.current_time()
    await fail(upstreams)
    assert len(fake_dial.calls) == 1
    assert trio.current_time() - started == pytest.approx(0.7)


async def test_an_attempt_that_succeeds_in_its_last_moment_counts(build, fake_dial, autojump_clock, host_of):
    fake_dial.outcomes[host_of(2)] = [2.9]
    connected = await build().connect(2)
    assert connected.socket.fileno() >= 0


async def test_failing_fast_spares_the_second_attempt_where_it_cannot_help(
    build, fake_dial, autojump_clock, failing, host_of
):
    upstreams = build(policy=ConnectPolicy(failfast=True))
    fake_dial.outcomes[host_of(2)] = [failing("ECONNREFUSED")]
    assert "connection refused (1 attempt)" in await fail(upstreams)
    assert upstreams.failfast_stops == 1
    fake_dial.outcomes[host_of(2)] = [failing("ECONNRESET")]
    assert "(2 attempts)" in await fail(upstreams)
    assert upstreams.failfast_stops == 1


async def test_a_source_that_does_not_exist_fails_each_connection_in_clear_words(build, fake_dial, autojump_clock):
    upstreams = build(UpstreamSettings(bind_addresses=("2001:db8::7",)))
    assert "no source address: bind_addresses gives no IPv4 address" in await fail(upstreams)
    assert fake_dial.calls == []


# ---------------------------------------------------------------- keeping account


async def test_five_failed_cycles_make_an_upstream_ill_and_one_success_heals_it(
    build, fake_dial, autojump_clock, failing, host_of
):
    fake_dial.outcomes[host_of(2)] = [failing("ECONNREFUSED")]
    upstreams = build()
    for cycle in range(7):
        assert upstreams.states[0].healthy is (cycle < 5)
        await fail(upstreams)
    assert of_kind(upstreams.facts, UpstreamFailed) == [UpstreamFailed(0, "direct", "connection refused")]
    assert (upstreams.attempts, upstreams.successes, upstreams.failures) == (14, 0, 7)
    del fake_dial.outcomes[host_of(2)]
    await upstreams.connect(2)
    assert upstreams.states[0].healthy
    assert of_kind(upstreams.facts, UpstreamRecovered) == [UpstreamRecovered(0, "direct")]


async def test_a_success_heals_what_a_probe_declared_ill(build):
    upstreams = build()
    upstreams.states[0].healthy = False
    await upstreams.connect(2)
    assert upstreams.facts == [UpstreamRecovered(0, "direct")]


async def test_failures_are_reported_once_in_five_seconds(build, fake_dial, autojump_clock, failing, host_of):
    fake_dial.outcomes[host_of(2)] = [failing("ECONNREFUSED")]
    upstreams = build(policy=ConnectPolicy(attempts=1, fail_threshold=99))
    for _ in range(3):
        await fail(upstreams)
    await trio.sleep(4.9)
    await fail(upstreams, dc_idx=-2)
    await trio.sleep(0.1)
    await fail(upstreams, dc_idx=-2)
    assert upstreams.facts == [
        ConnectFailed(0, "direct", 2, "connection refused", 0),
        ConnectFailed(0, "direct", -2, "connection refused", 3),
    ]


@pytest.mark.parametrize("name", ["EMFILE", "ENFILE", "ENOBUFS"])
async def test_our_own_shortage_is_not_the_upstreams_fault(build, fake_dial, autojump_clock, failing, host_of, name):
    fake_dial.outcomes[host_of(2)] = [failing(name)]
    upstreams = build()
    for _ in range(10):
        assert "(1 attempt)" in await fail(upstreams)
    assert upstreams.states[0].healthy
    assert upstreams.states[0].fails == 0
    assert upstreams.failures == 10


async def test_a_cancelled_connect_is_neither_success_nor_failure(build, fake_dial, autojump_clock, host_of):
    fake_dial.outcomes[host_of(2)] = ["hang"]
    upstreams = build()
    with trio.move_on_after(1) as scope:
        await upstreams.connect(2)
    assert scope.cancelled_caught
    assert (upstreams.successes, upstreams.failures, upstreams.states[0].fails) == (0, 0, 0)
    assert upstreams.facts == []
    assert fake_dial.left_open == 0


async def test_a_connect_cancelled_between_its_attempts_is_neither(build, fake_dial, autojump_clock, failing, host_of):
    fake_dial.outcomes[host_of(2)] = [failing("ECONNRESET")]
    upstreams = build()
    with trio.move_on_after(0.05) as scope:
        await upstreams.connect(2)
    assert scope.cancelled_caught
    assert (upstreams.failures, upstreams.states[0].fails) == (0, 0)


# ---------------------------------------------------------------- unknown datacenters


async def test_an_unknown_index_is_reported_once(build, fake_dial, host_of):
    upstreams = build(default_dc=4)
    for dc_idx in (10001, 0, 10001, 10001):
        connected = await upstreams.connect(dc_idx)
        assert connected.target.dc_idx == dc_idx
        assert not connected.target.known
    assert upstreams.facts == [DatacenterUnknown(10001, 4), DatacenterUnknown(0, 4)]
    assert set(fake_dial.hosts) == {host_of(4)}


async def test_the_reports_of_unknown_indexes_have_an_end(build):
    upstreams = build()
    for dc_idx in range(1000, 3000):
        close_socket((await upstreams.connect(dc_idx)).socket)
    assert len(upstreams.facts) == 1024
    assert len(upstreams.states[0].targets) == 0


async def test_an_unknown_index_is_written_down_if_there_is_a_file(build, tmp_path):
    upstreams = build(unknown_log=UnknownDcLog(str(tmp_path / "unknown-dc.txt")))
    await upstreams.connect(2)
    await upstreams.connect(-10001)
    await upstreams.connect(-10001)
    assert (tmp_path / "unknown-dc.txt").read_text() == "dc_idx=-10001\n"
    assert upstreams.facts == [DatacenterUnknown(-10001, 2)]


async def test_two_clients_that_ask_at_the_same_time_are_one_report(build, tmp_path):
    upstreams = build(unknown_log=UnknownDcLog(str(tmp_path / "unknown-dc.txt")))
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(upstreams.connect, 10001)
    assert upstreams.facts == [DatacenterUnknown(10001, 2)]
    assert (tmp_path / "unknown-dc.txt").read_text() == "dc_idx=10001\n"


async def test_a_file_that_cannot_be_written_costs_no_connection(build, tmp_path):
    upstreams = build(unknown_log=UnknownDcLog(str(tmp_path / "missing" / "unknown-dc.txt")))
    await upstreams.connect(9)
    (fact,) = upstreams.facts
    assert "missing" in fact.not_written


# ---------------------------------------------------------------- several upstreams


def proxy(host="192.0.2.1", **settings):
    return UpstreamSettings(kind="socks5", address=(host, 1080), **settings)


async def test_a_healthy_upstream_is_preferred(build, fake_dial):
    upstreams = build(UpstreamSettings(interface="192.0.2.7"), UpstreamSettings(interface="192.0.2.8"))
    upstreams.states[0].healthy = False
    for _ in range(20):
        assert (await upstreams.connect(2)).upstream_index == 1
    assert {options["source"] for *_, options in fake_dial.calls} == {"192.0.2.8"}


async def test_traffic_moves_away_from_an_upstream_that_fails(build, fake_dial, autojump_clock, failing):
    upstreams = build(proxy(weight=1000), UpstreamSettings(weight=1))
    fake_dial.outcomes["192.0.2.1"] = [failing("ECONNREFUSED")]
    indexes = []
    for _ in range(30):
        try:
            indexes.append((await upstreams.connect(2)).upstream_index)
        except UpstreamError:
            continue
    assert upstreams.failures == 5
    assert set(indexes) == {1}
    assert [fact.upstream for fact in of_kind(upstreams.facts, UpstreamFailed)] == [0]


async def test_a_scope_has_its_own_upstreams(build):
    upstreams = build(DIRECT, UpstreamSettings(scopes=frozenset({"vip", "eu"})), UpstreamSettings(enabled=False))
    assert (await upstreams.connect(2)).upstream_index == 0
    assert (await upstreams.connect(2, scope="vip")).upstream_index == 1
    assert (await upstreams.connect(2, scope="eu")).upstream_index == 1


async def test_nobody_serves(build):
    upstreams = build(DIRECT)
    message = await fail(upstreams, scope="vip")
    assert message == "datacenter 2 cannot be reached: no upstream serves the scope 'vip'"
    scoped = build(UpstreamSettings(scopes=frozenset({"vip"})))
    assert await fail(scoped) == "datacenter 2 cannot be reached: no upstream is enabled"
    assert await fail(build(UpstreamSettings(enabled=False))) == message.partition(":")[0] + ": no upstream is enabled"


async def test_scopes_that_nobody_serves_are_not_remembered(build):
    upstreams = build(DIRECT)
    for number in range(50):
        await fail(upstreams, scope=f"s{number}")
    assert list(upstreams._choices) == [None]


async def test_a_scope_becomes_the_proxys_user(build, serve, table):
    script = [("expect", 4), ("send", b"\x05\x02"), ("expect", 9), ("send", b"\x01\x00")]
    server = await serve([*script, ("expect", 10), ("send", b"\x05\x00\x00\x01" + bytes(6))])
    scoped = UpstreamSettings(kind="socks5", address=server.address, scopes=frozenset({"vip"}))
    upstreams = Upstreams([scoped], resolver=table(), rng=random.Random(1))
    close_socket((await upstreams.connect(2, scope="vip")).socket)
    assert server.heard[1] == b"\x01\x03vip\x03vip"


async def test_a_proxys_refusal_in_one_sentence_without_credentials(build, serve, table, autojump_clock):
    server = await serve([("expect", 4), ("send", b"\x05\xff")])
    settings = UpstreamSettings(kind="socks5", address=server.address, username="alice", password="sesame")
    facts = []
    upstreams = Upstreams([settings], resolver=table(), rng=random.Random(1), emit=facts.append)
    message = await fail(upstreams, dc_idx=-3)
    assert message.startswith("datacenter -3 cannot be reached through upstream socks5 127.0.0.1:")
    assert "No acceptable authentication methods" in message
    assert "alice" not in message + repr(facts)
    assert "sesame" not in message + repr(facts)


async def test_failing_fast_knows_a_refused_connection_to_the_proxy(build, fake_dial, autojump_clock, failing):
    fake_dial.outcomes["192.0.2.1"] = [failing("ECONNREFUSED")]
    upstreams = build(proxy(), policy=ConnectPolicy(failfast=True))
    assert "the proxy cannot be reached: connection refused (1 attempt)" in await fail(upstreams)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (UpstreamSettings(kind="shadowsocks"), "upstream type 'shadowsocks'"),
        (UpstreamSettings(ipv4=False), "neither IPv4 nor IPv6"),
        (UpstreamSettings(kind="http"), "address"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(build, settings, words):
    with pytest.raises(ConfigError, match=words):
        build(DIRECT, settings)


# ---------------------------------------------------------------- families


async def test_each_upstream_has_its_family(build, fake_dial, host_of):
    upstreams = build(
        UpstreamSettings(scopes=frozenset({"four"})),
        UpstreamSettings(scopes=frozenset({"six"}), prefer=6),
        network=BOTH,
    )
    await upstreams.connect(2, scope="four")
    await upstreams.connect(2, scope="six")
    assert fake_dial.hosts == [host_of(2), host_of(2, v6=True)]


async def test_a_learned_family_moves_the_target(build, fake_dial, host_of):
    upstreams = build(network=BOTH)
    await upstreams.connect(-2)
    upstreams.states[0].learn_family(2, 6)
    await upstreams.connect(-2)
    await upstreams.connect(3)
    assert fake_dial.hosts == [host_of(2), host_of(2, v6=True), host_of(3)]


async def test_an_override_is_never_replaced_by_the_table(build, fake_dial):
    upstreams = build(network=BOTH, overrides={2: [("192.0.2.50", 443)]})
    upstreams.states[0].learn_family(2, 6)
    await upstreams.connect(2)
    assert fake_dial.hosts == ["192.0.2.50"]


# ---------------------------------------------------------------- many at once


async def test_many_connects_share_one_account(build, fake_dial, autojump_clock, host_of):
    fake_dial.outcomes[host_of(4)] = ["hang"]
    upstreams = build()

    async def connect(dc_idx):
        try:
            await upstreams.connect(dc_idx)
        except UpstreamError:
            assert dc_idx == 4

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(connect, 2 if number % 2 else 4)
    assert (upstreams.successes, upstreams.failures) == (50, 50)
    assert len(of_kind(upstreams.facts, UpstreamFailed)) == 1
    assert len(of_kind(upstreams.facts, ConnectFailed)) == 1
