import pytest
import trio
import trio.testing

from telemt_trio.errors import UpstreamError
from telemt_trio.events import UpstreamFailed, UpstreamRecovered
from telemt_trio.upstream.datacenters import DATACENTERS
from telemt_trio.upstream.health import ProbeResult, verdict
from telemt_trio.upstream.settings import FamilyPolicy, UpstreamSettings

BOTH = FamilyPolicy(ipv4=True, ipv6=True, prefer=4)
V4 = {dc: row[0] for dc, row in DATACENTERS.items()}
V6 = {dc: row[1] for dc, row in DATACENTERS.items()}


@pytest.fixture
def run_health(nursery):
    """Starts the health loop in the background; ``await run_health(upstreams, seconds)`` returns after that time."""
    started = []

    async def run(upstreams, seconds):
        if upstreams not in started:
            started.append(upstreams)
            nursery.start_soon(upstreams.run_health)
        await trio.sleep(seconds)

    return run


def result(dc, *, seconds=0.1, ours=False):
    return ProbeResult(0, "direct", dc, ("192.0.2.1", 443), seconds, None if seconds else "no", ours)


# ---------------------------------------------------------------- the verdict


@pytest.mark.parametrize(
    ("reached", "asked", "healthy"),
    [(3, 5, True), (5, 5, True), (2, 5, False), (0, 5, False), (2, 2, True), (1, 2, False)],
)
def test_three_datacenters_are_enough(reached, asked, healthy):
    results = [result(dc, seconds=0.1 if dc <= reached else None) for dc in range(1, asked + 1)]
    assert verdict(results) is healthy


def test_a_datacenter_counts_once_whatever_its_families():
    assert verdict([result(1), result(1), result(1), result(2, seconds=None), result(3, seconds=None)]) is False
    assert verdict([result(1, seconds=None), result(1), result(2), result(3)]) is True


def test_probes_that_failed_on_our_side_say_nothing():
    assert verdict([result(dc, seconds=None, ours=dc == 4) for dc in range(1, 6)]) is None
    assert verdict([]) is None


# ---------------------------------------------------------------- rounds


async def test_a_round_every_30_seconds_probes_every_datacenter(build, fake_dial, run_health, autojump_clock):
    upstreams = build()
    started = trio.current_time()
    await run_health(upstreams, 29.9)
    assert fake_dial.calls == []
    await run_health(upstreams, 60.2)
    times = [round(when - started) for when, *_ in fake_dial.calls]
    assert times == [30] * 6 + [60] * 6 + [90] * 6
    assert set(fake_dial.hosts) == {*V4.values(), "91.105.192.100"}
    assert fake_dial.left_open == 0
    assert upstreams.facts == []


async def test_an_upstream_that_reaches_two_datacenters_is_ill(build, fake_dial, run_health, autojump_clock, failing):
    fake_dial.outcomes = {V4[dc]: [failing("ENETUNREACH")] for dc in (1, 2, 3)} | {V4[4]: ["hang"]}
    upstreams = build()
    await run_health(upstreams, 45)
    assert not upstreams.states[0].healthy
    await run_health(upstreams, 45)
    assert upstreams.facts == [UpstreamFailed(0, "direct", "network is unreachable")]
    del fake_dial.outcomes[V4[3]]
    await run_health(upstreams, 45)
    assert upstreams.states[0].healthy
    assert upstreams.facts[1:] == [UpstreamRecovered(0, "direct")]


async def test_a_round_takes_no_longer_than_its_slowest_connection(build, fake_dial, run_health, autojump_clock):
    fake_dial.outcomes = {host: ["hang"] for host in [*V4.values(), "91.105.192.100"]}
    upstreams = build()
    await run_health(upstreams, 39.9)
    assert upstreams.states[0].healthy
    await run_health(upstreams, 0.2)
    assert not upstreams.states[0].healthy


async def test_a_healthy_round_forgets_failed_connects(build, run_health, autojump_clock):
    upstreams = build()
    upstreams.states[0].fails = 4
    await run_health(upstreams, 31)
    assert upstreams.states[0].fails == 0


async def test_our_own_shortage_changes_no_verdict(build, fake_dial, run_health, autojump_clock, failing):
    fake_dial.outcomes = {host: [failing("EMFILE")] for host in [*V4.values(), "91.105.192.100"]}
    upstreams = build()
    await run_health(upstreams, 31)
    assert upstreams.states[0].healthy
    assert upstreams.facts == []


async def test_probes_measure_latency(build, fake_dial, run_health, autojump_clock):
    fake_dial.outcomes[V4[2]] = [0.2]
    upstreams = build()
    await run_health(upstreams, 31)
    assert upstreams.states[0].latency.of(2) == pytest.approx(0.2)


async def test_addresses_of_a_group_take_turns(build, fake_dial, run_health, autojump_clock):
    overrides = {10001: [("192.0.2.1", 443), ("192.0.2.2", 443), ("2001:db8::1", 443)], -7: [("192.0.2.7", 443)]}
    await run_health(build(overrides=overrides), 91)
    assert [host for host in fake_dial.hosts if host.startswith("192.0.2.")] == ["192.0.2.1", "192.0.2.2", "192.0.2.1"]


async def test_a_scoped_upstream_is_left_alone_until_it_fails(build, fake_dial, run_health, autojump_clock):
    scoped = UpstreamSettings(interface="192.0.2.8", scopes=frozenset({"vip"}))
    upstreams = build(UpstreamSettings(interface="192.0.2.7"), scoped, UpstreamSettings(enabled=False))
    await run_health(upstreams, 31)
    assert {options["source"] for *_, options in fake_dial.calls} == {"192.0.2.7"}
    upstreams.states[1].healthy = False
    await run_health(upstreams, 30)
    assert upstreams.states[1].healthy
    assert {options["source"] for *_, options in fake_dial.calls} == {"192.0.2.7", "192.0.2.8"}


async def test_a_scoped_proxy_is_probed_as_one_of_its_users(build, run_health, autojump_clock, nursery):
    asked = []

    class Road:
        async def connect(self, _address, *, scope=None):
            await trio.lowlevel.checkpoint()
            asked.append(scope)
            raise UpstreamError("no")

    upstreams = build(UpstreamSettings(scopes=frozenset({"vip", "eu"})))
    upstreams._roads = (Road(),)
    await run_health(upstreams, 31)
    assert set(asked) == {"eu"}


# ---------------------------------------------------------------- families


async def test_only_permitted_families_are_probed(build, fake_dial, run_health, autojump_clock):
    await run_health(build(), 31)
    assert not any(":" in host for host in fake_dial.hosts)


async def test_the_other_family_is_probed_and_learned_when_the_preferred_fails(
    build, fake_dial, run_health, autojump_clock, failing
):
    fake_dial.outcomes[V4[2]] = [failing("ENETUNREACH")]
    upstreams = build(network=BOTH)
    await run_health(upstreams, 31)
    assert [host for host in fake_dial.hosts if ":" in host] == [V6[2]]
    assert upstreams.states[0].learned == {2: 6}
    assert (await upstreams.connect(2)).target.address == (V6[2], 443)


async def test_the_preferred_family_is_taken_again_once_it_answers(
    build, fake_dial, run_health, autojump_clock, failing
):
    fake_dial.outcomes[V4[2]] = [failing("ENETUNREACH"), 0]
    upstreams = build(network=BOTH)
    await run_health(upstreams, 61)
    assert upstreams.states[0].learned == {}
    assert (await upstreams.connect(2)).target.address == (V4[2], 443)


async def test_nothing_is_learned_when_neither_family_answers(build, fake_dial, run_health, autojump_clock, failing):
    fake_dial.outcomes = {V4[2]: [failing("ENETUNREACH")], V6[2]: [failing("ENETUNREACH")]}
    upstreams = build(network=BOTH)
    await run_health(upstreams, 31)
    assert upstreams.states[0].learned == {}


# ---------------------------------------------------------------- at start-up


async def test_a_ping_tells_what_can_be_reached(build, fake_dial, autojump_clock, failing):
    fake_dial.outcomes = {V4[1]: [failing("ECONNREFUSED")], V4[5]: ["hang"], V4[2]: [0.05]}
    upstreams = build()
    report = await upstreams.ping_all()
    assert report.reachable == {2, 3, 4, 203}
    assert report.unreachable == {1, 5}
    found = {one.dc: one for one in report.results}
    assert found[1].reason == "connection refused"
    assert found[5].reason == "timed out"
    assert found[2].seconds == pytest.approx(0.05)
    assert found[2].address == (V4[2], 443)
    assert fake_dial.left_open == 0
    assert upstreams.facts == []


async def test_a_ping_tries_every_permitted_family(build, fake_dial, autojump_clock, failing):
    fake_dial.outcomes[V4[3]] = [failing("ENETUNREACH")]
    upstreams = build(network=BOTH)
    report = await upstreams.ping_all()
    assert set(fake_dial.hosts) == {*V4.values(), *V6.values(), "91.105.192.100"}
    assert report.unreachable == frozenset()
    assert upstreams.states[0].learned == {3: 6}


async def test_nothing_can_be_reached(build, fake_dial, autojump_clock):
    fake_dial.outcomes = {host: ["hang"] for host in [*V4.values(), *V6.values(), "91.105.192.100"]}
    upstreams = build(network=BOTH)
    started = trio.current_time()
    report = await upstreams.ping_all()
    assert report.reachable == frozenset()
    assert trio.current_time() - started == pytest.approx(10)
    assert not upstreams.states[0].healthy


async def test_every_enabled_upstream_is_pinged(build, fake_dial, autojump_clock, failing):
    fake_dial.outcomes["192.0.2.1"] = [failing("ECONNREFUSED")]
    upstreams = build(
        UpstreamSettings(),
        UpstreamSettings(kind="socks5", address=("192.0.2.1", 1080), scopes=frozenset({"vip"})),
        UpstreamSettings(enabled=False, interface="192.0.2.9"),
    )
    report = await upstreams.ping_all()
    assert {one.upstream for one in report.results} == {0, 1}
    assert {one.label for one in report.results} == {"direct", "socks5 192.0.2.1:1080"}
    assert report.reachable == {1, 2, 3, 4, 5, 203}
    assert upstreams.facts == [
        UpstreamFailed(1, "socks5 192.0.2.1:1080", "the proxy cannot be reached: connection refused")
    ]


async def test_a_cancelled_ping_leaves_nothing_open(build, fake_dial, autojump_clock):
    fake_dial.outcomes[V4[2]] = ["hang"]
    with trio.move_on_after(1) as scope:
        await build().ping_all()
    assert scope.cancelled_caught
    assert fake_dial.left_open == 0
