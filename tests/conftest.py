"""What holds for every test: nothing it opened outlives it, chance is repeatable, and unix time is in its hands.

A test is red when, after it and its fixtures ended, a descriptor is open that was not open before, or when a trio run
inside it ended with a system task still alive (every other task belongs to a nursery, so the run itself waits for it).
"""

from __future__ import annotations

import errno
import socket
from collections import Counter
from functools import wraps
from ipaddress import ip_address
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]

# Repeatable: the same examples on every machine, no time limit that a busy one could miss.
settings.register_profile("ci", derandomize=True, deadline=None, database=None, print_blob=True)
settings.register_profile(
    "fuzz",
    settings.get_profile("ci"),
    max_examples=100_000,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("ci")

FAILED = pytest.StashKey[bool]()


# ---------------------------------------------------------------- tasks


class StrayTasks(trio.abc.Instrument):
    """Notes the system tasks that are alive when the main task of a run ends, just before trio cancels them."""

    def __init__(self, found: list[str]) -> None:
        self._found = found

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        # The root task holds three nurseries, one inside the other: trio's own, the system tasks', the main task's.
        root = trio.lowlevel.current_root_task()
        if root is None or len(root.child_nurseries) < 3 or task.parent_nursery is not root.child_nurseries[2]:
            return
        self._found += [f"trio task {stray.name}" for stray in root.child_nurseries[1].child_tasks]


def watch_runs(found: list[str]):
    """A ``trio.run`` that adds the stray tasks of every run to ``found``."""
    original = trio.run

    @wraps(original)
    def run(async_fn, *args, instruments=(), **options):
        return original(async_fn, *args, instruments=[*instruments, StrayTasks(found)], **options)

    return original, run


STRAYS: list[str] = []
# Replaced here and not in a fixture because pytest-trio takes hold of trio.run when it collects.
TRIO_RUN, trio.run = watch_runs(STRAYS)


def pytest_unconfigure() -> None:
    trio.run = TRIO_RUN


# ---------------------------------------------------------------- descriptors


def open_descriptors() -> Counter[str]:
    """How often each thing is open: ``socket:[4711]``, ``anon_inode:[eventpoll]``, a path. Numbers are used again."""
    found: Counter[str] = Counter()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found[str(descriptor.readlink())] += 1
        except FileNotFoundError:  # the descriptor that listed the directory
            continue
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(autouse=True)
def _nothing_outlives_the_test(request):
    before = open_descriptors()
    STRAYS.clear()
    yield
    if request.node.stash.get(FAILED, False):
        return  # its traceback keeps alive what the test held
    leaked = [f"descriptor of {target}" for target in (open_descriptors() - before).elements()]
    leaked += STRAYS
    if leaked:
        pytest.fail("left behind: " + ", ".join(sorted(leaked)), pytrace=False)


# ---------------------------------------------------------------- the network


@pytest.fixture(autouse=True)
def _nothing_leaves_this_host(monkeypatch):
    """A connection to anywhere but loopback is refused, and turns the test red. UDP may ask the kernel for a route."""
    dialled = []
    connect = socket.socket.connect

    def guarded(sock, address):
        if sock.family in {socket.AF_INET, socket.AF_INET6} and sock.type & 0xF == socket.SOCK_STREAM:
            host = ip_address(address[0].partition("%")[0])
            host = getattr(host, "ipv4_mapped", None) or host
            if not (host.is_loopback or host.is_unspecified):
                dialled.append(address[0])
                raise OSError(errno.ENETUNREACH, "tests stay on loopback")
        return connect(sock, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    yield
    if dialled:
        pytest.fail("dialled outside: " + ", ".join(sorted(set(dialled))), pytrace=False)


# ---------------------------------------------------------------- time


class UnixClock:
    """Unix time that moves when the test says so. Pass it wherever seconds since 1970 are asked for."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def unix_clock() -> UnixClock:
    """A hand-driven unix clock, at 2023-11-14T22:13:20Z, the time of the recorded handshakes."""
    return UnixClock(1_700_000_000.0)
