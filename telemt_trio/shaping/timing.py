"""How long to wait where a fixed delay would be a mark: a log-normal draw between two bounds.

Delays of real servers are skewed: most are short, a few are long. A uniform draw has edges that an observer finds with
a few hundred samples.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random

__all__ = ["sample_delay", "sample_lognormal_percentile_bounded"]

# The distance between the 1st and the 99th percentile of a normal distribution is 4.65 standard deviations, so about
# 98 % of the draws need no clamping.
_PERCENTILE_WIDTH: Final = 4.65
_MIN_SIGMA: Final = 0.01
_SMALLEST: Final = 2.2250738585072014e-308


def sample_lognormal_percentile_bounded(floor: int, ceiling: int, rng: random.Random) -> int:
    """Draw an integer from ``floor`` to ``ceiling`` (any unit, ms usually), log-normal, median at the geometric mean.

    Degenerate bounds are answers, not errors: equal ones give that value, crossed ones the ceiling.
    """
    if floor >= ceiling:
        return ceiling
    low, high = float(max(floor, 1)), float(max(ceiling, 1))
    mu = (math.log(low) + math.log(high)) / 2
    sigma = max(math.log(high / low) / _PERCENTILE_WIDTH, _MIN_SIGMA)
    radius = math.sqrt(-2 * math.log(max(rng.random(), _SMALLEST)))
    normal = radius * math.cos(2 * math.pi * rng.random())
    try:
        drawn = math.exp(mu + sigma * normal)
    except OverflowError:
        drawn = math.inf
    if not math.isfinite(drawn):
        return int(math.sqrt(low) * math.sqrt(high))
    return min(max(int(drawn), floor), ceiling)


def sample_delay(floor_ms: int, ceiling_ms: int, rng: random.Random) -> float:
    """A delay in seconds for a configured range of milliseconds: a ceiling of 0 is none, a floor above it wins."""
    if ceiling_ms == 0:
        return 0.0
    return sample_lognormal_percentile_bounded(floor_ms, max(floor_ms, ceiling_ms), rng) / 1000
