"""The watchdog of all relays, on a clock that jumps: whom it ends, and when exactly."""

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.events import EndReason
from telemt_trio.relay.end import Ending
from telemt_trio.relay.sweep import ACTIVITY_TIMEOUT, SWEEP_INTERVAL, Sweep


@attrs.define(eq=False)
class Counts:
    bytes: int = 0


class Watch:
    """A relay under watch that notes when it was ended."""

    def __init__(self, sweep, clock):
        self.up, self.down, self.ending = Counts(), Counts(), Ending()
        self.ended_at = None
        self.ending.bind(lambda: setattr(self, "ended_at", clock()))
        self.watched = sweep.watch(self.ending, self.up, self.down)


class Clock:
    def __init__(self):
        self.now = 5000.0

    def __call__(self):
        return self.now


def test_idle_for_the_timeout_and_not_a_moment_less():
    clock = Clock()
    sweep = Sweep(clock, timeout=100)
    relay = Watch(sweep, clock)
    clock.now += 99.999
    sweep.sweep()
    assert relay.ending.why is None
    clock.now += 0.001
    sweep.sweep()
    assert relay.ending.why is EndReason.IDLE


@pytest.mark.parametrize("side", ["up", "down"])
def test_either_direction_is_activity_and_is_stamped_when_it_is_seen(side):
    clock = Clock()
    sweep = Sweep(clock, timeout=100)
    relay = Watch(sweep, clock)
    clock.now += 90
    getattr(relay, side).bytes += 1
    sweep.sweep()
    assert (relay.watched.active_at, relay.watched.seen) == (clock.now, 1)
    clock.now += 99
    sweep.sweep()
    assert relay.ending.why is None
    clock.now += 1
    sweep.sweep()
    assert relay.ending.why is EndReason.IDLE


def test_bytes_taken_back_are_activity_too():
    """Settled counts shrink; whoever settles is over, and nobody is ended twice."""
    clock = Clock()
    sweep = Sweep(clock, timeout=100)
    relay = Watch(sweep, clock)
    relay.up.bytes = 10
    sweep.sweep()
    clock.now += 100
    relay.up.bytes = 4
    sweep.sweep()
    assert relay.ending.why is None


def test_one_that_moves_does_not_keep_another_alive():
    clock = Clock()
    sweep = Sweep(clock, timeout=100)
    lively, silent = Watch(sweep, clock), Watch(sweep, clock)
    for _ in range(10):
        clock.now += 10
        lively.down.bytes += 1
        sweep.sweep()
    assert (lively.ending.why, silent.ending.why) == (None, EndReason.IDLE)


def test_who_is_forgotten_is_not_ended():
    clock = Clock()
    sweep = Sweep(clock, timeout=100)
    relay = Watch(sweep, clock)
    assert len(sweep) == 1
    sweep.forget(relay.watched)
    sweep.forget(relay.watched)
    assert len(sweep) == 0
    clock.now += 1000
    sweep.sweep()
    assert relay.ending.why is None


def test_an_end_that_forgets_during_the_sweep_is_fine():
    clock = Clock()
    sweep = Sweep(clock, timeout=100)
    relays = [Watch(sweep, clock) for _ in range(5)]
    for relay in relays:
        relay.ending.bind(lambda relay=relay: sweep.forget(relay.watched))
    clock.now += 100
    sweep.sweep()
    assert len(sweep) == 0
    assert {relay.ending.why for relay in relays} == {EndReason.IDLE}


@pytest.mark.parametrize(("asked", "used"), [(0, 1), (-5, 1), (0.5, 1), (1, 1), (1800, 1800)])
def test_a_timeout_is_at_least_a_second(asked, used):
    assert Sweep(Clock(), timeout=asked).timeout == used


def test_half_an_hour_looked_at_every_ten_seconds():
    assert (ACTIVITY_TIMEOUT, SWEEP_INTERVAL) == (1800, 10)
    sweep = Sweep(Clock())
    assert (sweep.timeout, sweep.interval) == (1800, 10)


# ---------------------------------------------------------------- the task


async def test_a_relay_that_never_speaks_is_ended_on_the_dot(autojump_clock, nursery):
    sweep = Sweep(trio.current_time)
    nursery.start_soon(sweep.run)
    began = trio.current_time()
    relay = Watch(sweep, trio.current_time)
    await trio.sleep(2000)
    assert relay.ended_at - began == 1800


def ended_after(silence, *, timeout, interval):
    """How long after its last byte, sent after ``silence`` seconds, a relay is ended."""

    async def run():
        sweep = Sweep(trio.current_time, timeout=timeout, interval=interval)
        began = trio.current_time()
        relay = Watch(sweep, trio.current_time)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sweep.run)
            await trio.sleep(silence)
            relay.up.bytes += 1
            await trio.sleep(timeout + 2 * interval)
            nursery.cancel_scope.cancel()
        return relay.ended_at - began - silence

    return trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))


quarters = st.integers(1, 400).map(lambda n: n / 4)  # what floats add up exactly


@given(silence=quarters, intervals=st.integers(1, 30), interval=st.sampled_from([1, 2.5, 10]))
def test_a_relay_ends_between_the_timeout_and_one_interval_later(silence, intervals, interval):
    timeout = intervals * interval
    if timeout <= silence:  # it would be ended before it speaks
        silence = timeout - 0.25
    assert timeout <= ended_after(silence, timeout=timeout, interval=interval) <= timeout + interval


@given(silence=quarters, timeout=quarters)
def test_a_timeout_of_no_whole_intervals_ends_less_than_two_intervals_later(silence, timeout):
    timeout = max(1, timeout)
    assert timeout <= ended_after(min(silence, timeout - 0.25), timeout=timeout, interval=10) < timeout + 20
