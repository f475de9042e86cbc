"""Delays between two bounds: skewed, repeatable, never outside."""

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.shaping.timing import sample_delay, sample_lognormal_percentile_bounded


class Draws:
    """A source of chance that draws what it was told, over and over."""

    def __init__(self, *values):
        self.values = list(values)

    def random(self):
        value = self.values.pop(0)
        self.values.append(value)
        return value


bounds = st.integers(0, 2**64)
chance = st.floats(0, 1, exclude_max=True)


@given(floor=bounds, ceiling=bounds, seed=st.integers(0, 1000))
def test_a_draw_is_a_whole_number_within_its_bounds(floor, ceiling, seed):
    drawn = sample_lognormal_percentile_bounded(floor, ceiling, random.Random(seed))
    assert isinstance(drawn, int)
    assert min(floor, ceiling) <= drawn <= ceiling


@given(floor=bounds, ceiling=bounds, first=chance, second=chance)
def test_no_draw_is_too_extreme(floor, ceiling, first, second):
    drawn = sample_lognormal_percentile_bounded(floor, ceiling, Draws(first, second))
    assert min(floor, ceiling) <= drawn <= ceiling


@pytest.mark.parametrize(("floor", "ceiling"), [(0, 0), (7, 7), (8, 7), (100, 0), (2**64, 1)])
def test_degenerate_bounds_give_the_ceiling(floor, ceiling):
    assert sample_lognormal_percentile_bounded(floor, ceiling, Draws()) == ceiling


@pytest.mark.parametrize(("floor", "ceiling"), [(8, 24), (10, 1000), (500, 510), (1, 100_000)])
def test_the_median_is_the_geometric_mean(floor, ceiling):
    rng = random.Random(7)
    median = statistics.median(sample_lognormal_percentile_bounded(floor, ceiling, rng) for _ in range(4001))
    assert median == pytest.approx(math.sqrt(floor * ceiling), rel=0.08)


def test_nearly_all_draws_need_no_clamping_and_they_are_skewed():
    rng = random.Random(7)
    drawn = [sample_lognormal_percentile_bounded(100, 10_000, rng) for _ in range(4000)]
    clamped = sum(value in {100, 10_000} for value in drawn)
    assert 0.01 < clamped / len(drawn) < 0.03  # the tails beyond the 1st and the 99th percentile
    assert statistics.mean(drawn) > 1.2 * statistics.median(drawn)


def test_a_floor_of_zero_counts_as_one():
    rng = random.Random(7)
    drawn = [sample_lognormal_percentile_bounded(0, 100, rng) for _ in range(2000)]
    assert statistics.median(drawn) == pytest.approx(10, rel=0.15)
    assert min(drawn) >= 0


@pytest.mark.parametrize("ceiling", [101, 102, 105])
def test_narrow_bounds_hold(ceiling):
    rng = random.Random(7)
    assert {sample_lognormal_percentile_bounded(100, ceiling, rng) for _ in range(500)} <= set(range(100, ceiling + 1))


@pytest.mark.parametrize(("cosine", "expected"), [(0.0, 1000), (0.5, 10)])
def test_the_most_extreme_normal_is_clamped(cosine, expected):
    """A uniform draw of 0 has no logarithm; the smallest float there is stands in for it."""
    assert sample_lognormal_percentile_bounded(10, 1000, Draws(0.0, cosine)) == expected


def test_what_no_float_holds_falls_back_to_the_middle():
    """The exponential overflows: a range of a hundred orders of magnitude and the most extreme normal."""
    assert sample_lognormal_percentile_bounded(1, 10**100, Draws(0.0, 0.0)) == int(math.sqrt(float(10**100)))


def test_the_same_seed_draws_the_same():
    first, second = (
        [sample_lognormal_percentile_bounded(8, 24, rng) for _ in range(50)]
        for rng in (random.Random(1), random.Random(1))
    )
    assert first == second
    assert len(set(first)) > 5


# ---------------------------------------------------------------- a configured delay, in seconds


def test_a_ceiling_of_zero_is_no_delay():
    assert sample_delay(0, 0, Draws()) == 0.0
    assert sample_delay(8, 0, Draws()) == 0.0


@given(floor=st.integers(0, 60_000), ceiling=st.integers(1, 60_000), seed=st.integers(0, 1000))
def test_a_delay_is_within_its_milliseconds_and_a_higher_floor_wins(floor, ceiling, seed):
    delay = sample_delay(floor, ceiling, random.Random(seed))
    assert floor / 1000 <= delay <= max(floor, ceiling) / 1000


def test_equal_bounds_are_a_fixed_delay():
    assert sample_delay(12, 12, Draws()) == 0.012
