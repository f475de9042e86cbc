import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.upstream.choice import (
    LatencyTable,
    UpstreamState,
    candidates,
    choose,
    latency_factor,
    scope_of,
    watched,
)
from telemt_trio.upstream.datacenters import resolve_dc
from telemt_trio.upstream.settings import FamilyPolicy, UpstreamSettings


def state(index=0, *, latency=None, healthy=True, families=None, **settings):
    scopes = frozenset(settings.pop("scopes", ()))
    made = UpstreamState(index, UpstreamSettings(scopes=scopes, **settings), families or FamilyPolicy())
    made.healthy = healthy
    if latency is not None:
        made.latency.update(2, latency)
    return made


def shares(choices, cluster=2, rounds=6000):
    rng = random.Random(7)
    counted = Counter(choose(choices, cluster, rng).index for _ in range(rounds))
    return [counted[one.index] / rounds for one in choices]


# ---------------------------------------------------------------- scopes


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("scope_vip", "vip"),
        ("scope_A-1", "A-1"),
        ("scope_" + "a" * 64, "a" * 64),
        ("scope_" + "a" * 65, None),
        ("scope_", None),
        ("scope_a_b", None),
        ("scope_é", None),
        ("scope_vip\n", None),
        ("Scope_vip", None),
        ("vip", None),
        ("", None),
    ],
)
def test_a_user_name_may_select_a_scope(name, scope):
    assert scope_of(name) == scope


def test_a_scope_is_served_by_those_that_name_it_only():
    plain, vip, both, off = (
        state(0),
        state(1, scopes=["vip"]),
        state(2, scopes=["vip", "eu"]),
        state(3, enabled=False, scopes=["vip"]),
    )
    everyone = [plain, vip, both, off]
    assert candidates(everyone, None) == (plain,)
    assert candidates(everyone, "vip") == (vip, both)
    assert candidates(everyone, "eu") == (both,)
    assert candidates(everyone, "us") == ()


def test_unscoped_upstreams_are_watched_and_scoped_ones_once_they_fail():
    plain, vip, off = state(0), state(1, scopes=["vip"]), state(2, enabled=False)
    assert watched([plain, vip, off]) == (plain,)
    vip.healthy = False
    assert watched([plain, vip, off]) == (plain, vip)


def test_if_every_upstream_has_a_scope_all_are_watched():
    vip, eu, off = state(0, scopes=["vip"]), state(1, scopes=["eu"]), state(2, enabled=False)
    assert watched([vip, eu, off]) == (vip, eu)
    assert watched([off]) == ()


# ---------------------------------------------------------------- latency


def test_the_latency_is_a_moving_average_for_each_datacenter():
    table = LatencyTable()
    assert table.of(2) is None
    table.update(2, 0.1)
    assert table.of(2) == pytest.approx(0.1)
    table.update(2, 0.2)
    assert table.of(2) == pytest.approx(0.13)
    table.update(4, 0.03)
    assert table.of(2) == pytest.approx(0.13)
    assert table.of(5) == pytest.approx(0.08), "a datacenter never measured: the mean of the others"


@pytest.mark.parametrize(
    ("seconds", "factor"), [(0.1, 10), (0.02, 50), (0.001, 1000), (0.0001, 1000), (0.0, 1000), (2, 0.5)]
)
def test_half_the_latency_is_twice_the_factor(seconds, factor):
    assert latency_factor(seconds) == pytest.approx(factor)


# ---------------------------------------------------------------- the choice


def test_weights_and_latencies_share_the_connections():
    assert shares([state(0, latency=0.02), state(1, latency=0.04)]) == pytest.approx([2 / 3, 1 / 3], abs=0.03)
    assert shares([state(0, weight=3), state(1)]) == pytest.approx([3 / 4, 1 / 4], abs=0.03)
    assert shares([state(0, weight=2, latency=0.04), state(1, latency=0.02)]) == pytest.approx([0.5, 0.5], abs=0.03)


def test_an_unmeasured_upstream_counts_like_the_median_of_the_measured():
    choices = [state(0, latency=0.01), state(1, latency=0.02), state(2, latency=0.05), state(3)]
    total = 100 + 50 + 20 + 50
    assert shares(choices) == pytest.approx([100 / total, 50 / total, 20 / total, 50 / total], abs=0.03)


def test_healthy_upstreams_come_first():
    sick, well, fine = state(0, healthy=False, weight=100), state(1), state(2)
    assert shares([sick, well, fine]) == pytest.approx([0, 0.5, 0.5], abs=0.03)
    assert shares([sick, well]) == [0, 1]


def test_if_all_are_ill_any_one_may_try_whatever_its_weight():
    choices = [state(0, healthy=False, weight=100), state(1, healthy=False, latency=0.001)]
    assert shares(choices) == pytest.approx([0.5, 0.5], abs=0.03)


def test_a_weight_of_zero_is_the_last_resort():
    assert shares([state(0, weight=0), state(1)]) == [0, 1]
    assert shares([state(0, weight=0), state(1, weight=0)]) == pytest.approx([0.5, 0.5], abs=0.03)


@given(
    st.lists(
        st.tuples(st.integers(0, 65535), st.none() | st.floats(0, 100), st.booleans()),
        min_size=1,
        max_size=6,
    ),
    st.integers(),
)
def test_there_is_always_a_choice_and_never_an_ill_one_beside_a_healthy_one(upstreams, seed):
    choices = [
        state(index, weight=weight, latency=latency, healthy=healthy)
        for index, (weight, latency, healthy) in enumerate(upstreams)
    ]
    chosen = choose(choices, 2, random.Random(seed))
    assert chosen.healthy or not any(choice.healthy for choice in choices)


# ---------------------------------------------------------------- health and families


def test_failures_in_a_row_make_an_upstream_ill_once():
    one = state()
    assert [one.record_failure(3) for _ in range(5)] == [False, False, True, False, False]
    assert not one.healthy
    assert one.record_success() is True
    assert (one.healthy, one.fails) == (True, 0)
    assert one.record_success() is False


def test_a_success_between_failures_starts_the_count_again():
    one = state()
    for _ in range(10):
        assert not one.record_failure(2)
        one.record_success()
    assert one.healthy


@pytest.mark.parametrize(
    ("families", "learned", "v6"),
    [
        (FamilyPolicy(ipv4=True, ipv6=True, prefer=4), None, False),
        (FamilyPolicy(ipv4=True, ipv6=True, prefer=6), None, True),
        (FamilyPolicy(ipv4=True, ipv6=True, prefer=4), 6, True),
        (FamilyPolicy(ipv4=True, ipv6=True, prefer=6), 4, False),
        (FamilyPolicy(ipv4=True, ipv6=False, prefer=6), None, False),
        (FamilyPolicy(ipv4=True, ipv6=False, prefer=4), 6, False),
        (FamilyPolicy(ipv4=False, ipv6=True, prefer=4), None, True),
        (FamilyPolicy(ipv4=False, ipv6=True, prefer=4), 4, True),
    ],
)
def test_what_was_learned_wins_over_the_preference_if_it_is_permitted(families, learned, v6):
    one = state(families=families)
    one.learn_family(2, learned)
    assert one.prefer_v6(2) is v6
    assert one.prefer_v6(3) is families.prefer_v6


def test_learning_something_new_forgets_resolved_targets():
    one = state(families=FamilyPolicy(ipv6=True))
    one.targets[2] = resolve_dc(2)
    one.learn_family(2, None)
    assert one.targets
    one.learn_family(2, 6)
    assert not one.targets
    one.targets[2] = resolve_dc(2, prefer_v6=True)
    one.learn_family(2, 6)
    assert one.targets
    one.learn_family(2, None)
    assert not one.targets
