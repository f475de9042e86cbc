"""Each digest once: the guard against a model that is a plain list."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from telemt_trio.guard.replay import HELLO_RETENTION, ReplayGuard

DIGESTS = st.integers(0, 7).map(lambda n: bytes([n]) * 16)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def guard(clock, capacity=100, retention=60.0):
    return ReplayGuard(clock, capacity=capacity, retention=retention)


def test_a_digest_counts_once():
    seen = guard(Clock())
    assert not seen.known(b"x")
    assert seen.claim(b"x")
    assert seen.known(b"x")
    assert not seen.claim(b"x")
    assert seen.claim(b"y")
    assert len(seen) == 2


def test_a_digest_is_remembered_for_its_retention_and_a_hit_does_not_extend_it():
    clock = Clock()
    seen = guard(clock)
    assert seen.claim(b"x")
    clock.now += 60
    assert not seen.claim(b"x")
    clock.now += 0.001
    assert not seen.known(b"x")
    assert seen.claim(b"x")


def test_the_oldest_makes_room():
    seen = guard(Clock(), capacity=2)
    for digest in (b"a", b"b", b"c"):
        assert seen.claim(digest)
    assert [seen.known(digest) for digest in (b"a", b"b", b"c")] == [False, True, True]


def test_a_hit_makes_no_room():
    seen = guard(Clock(), capacity=2)
    for digest in (b"a", b"b"):
        assert seen.claim(digest)
    assert not seen.claim(b"b")
    assert seen.known(b"a")


@pytest.mark.parametrize("capacity", [0, -5, 1])
def test_there_is_always_room_for_one(capacity):
    seen = guard(Clock(), capacity=capacity)
    assert seen.claim(b"a")
    assert not seen.claim(b"a")
    assert len(seen) == 1


def test_without_retention_nothing_is_remembered():
    seen = guard(Clock(), retention=0)
    assert seen.claim(b"a")
    assert seen.claim(b"a")
    assert not seen.known(b"a")
    assert len(seen) == 0


def test_two_domains_are_apart():
    hellos, nonces = guard(Clock()), guard(Clock())
    assert hellos.claim(b"x" * 16)
    assert nonces.claim(b"x" * 16)


def test_a_hello_is_remembered_longer_than_its_time_can_be_acceptable():
    """Stamped as far ahead as is accepted, it stays acceptable for twice the skew."""
    assert HELLO_RETENTION > 2 * 120


class Model(RuleBasedStateMachine):
    """The guard, and a list of (digest, claimed at), oldest first."""

    @initialize(capacity=st.integers(1, 5), retention=st.sampled_from([0, 1, 10, 60]))
    def begin(self, capacity, retention):
        self.clock = Clock()
        self.capacity, self.retention = capacity, retention
        self.seen = guard(self.clock, capacity, retention)
        self.claimed = []

    def forget(self):
        self.claimed = [(digest, at) for digest, at in self.claimed if at >= self.clock.now - self.retention]

    @rule(digest=DIGESTS)
    def claim(self, digest):
        self.forget()
        fresh = digest not in dict(self.claimed)
        assert self.seen.claim(digest) is fresh
        if fresh and self.retention:
            self.claimed = [*self.claimed, (digest, self.clock.now)][-self.capacity :]

    @rule(digest=DIGESTS)
    def ask(self, digest):
        self.forget()
        assert self.seen.known(digest) is (digest in dict(self.claimed))

    @rule(seconds=st.sampled_from([0, 1, 5, 10, 11, 61]))
    def wait(self, seconds):
        self.clock.now += seconds

    @invariant()
    def is_bounded(self):
        if hasattr(self, "seen"):
            assert len(self.seen) <= self.capacity


Model.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestModel = Model.TestCase
