"""The guard around every test turns red for what it is there to catch, and only for that."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py").read_text()

LEAKY = """
import socket, threading
import pytest, trio

kept = []

def test_leaks_a_socket():
    kept.append(socket.socket())

def test_sees_only_its_own_leak():
    pass

async def test_leaks_a_pair_in_a_run():
    kept.append(socket.socketpair())

async def test_leaks_a_system_task():
    trio.lowlevel.spawn_system_task(trio.sleep_forever, name="forgotten")

def test_leaks_a_system_task_in_a_run_of_its_own():
    async def main():
        trio.lowlevel.spawn_system_task(trio.sleep_forever, name="forgotten too")
    trio.run(main)

@pytest.fixture
def leaky_fixture():
    kept.append(open(__file__))

def test_has_a_leaky_fixture(leaky_fixture):
    pass

def test_leaks_while_failing():
    kept.append(socket.socket())
    assert kept is None
"""

CLEAN = """
import os, socket, tempfile
import pytest, trio
from hypothesis import given, settings, strategies as st

def test_closes(capfd):
    os.write(1, b"captured")
    with socket.socket(), tempfile.TemporaryFile():
        pass
    assert capfd.readouterr().out == "captured"

async def test_waits_for_its_tasks(nursery, autojump_clock):
    nursery.start_soon(trio.sleep_forever)
    await trio.to_thread.run_sync(os.getpid)
    await trio.sleep(3600)

async def test_ends_its_system_task(autojump_clock):
    done = trio.Event()
    trio.lowlevel.spawn_system_task(done.wait)
    done.set()
    await trio.testing.wait_all_tasks_blocked()

@given(st.binary())
async def test_many_runs(data):
    a, b = socket.socketpair()
    with a, b:
        pass

def test_unix_time_stands_still(unix_clock):
    start = unix_clock()
    unix_clock.advance(2.5)
    assert unix_clock() == start + 2.5

def test_chance_is_repeatable():
    assert settings.default.derandomize
    assert settings.default.deadline is None
"""


@pytest.fixture
def project(pytester):
    pytester.makeini("[pytest]\ntrio_mode = true\nfilterwarnings = error\n")
    pytester.makeconftest(CONFTEST)
    return pytester


def run(pytester, source):
    pytester.makepyfile(source)
    # In a process of its own: what it leaks must not leak into this one.
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rA")


def test_a_leak_turns_its_test_red_and_is_named(project):
    result = run(project, LEAKY)

    result.assert_outcomes(passed=6, failed=1, errors=5)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_leaks_a_socket *",
            "left behind: descriptor of socket:[[]*",
            "*ERROR at teardown of test_leaks_a_pair_in_a_run *",
            "left behind: descriptor of socket:[[]*, descriptor of socket:[[]*",
            "*ERROR at teardown of test_leaks_a_system_task *",
            "left behind: trio task forgotten",
            "*ERROR at teardown of test_leaks_a_system_task_in_a_run_of_its_own *",
            "left behind: trio task forgotten too",
            "*ERROR at teardown of test_has_a_leaky_fixture *",
            "left behind: descriptor of /*.py",
        ],
        consecutive=True,
    )
    result.stdout.no_fnmatch_line("*ERROR at * of test_leaks_while_failing*")


def test_what_is_closed_in_time_stays_green(project):
    run(project, CLEAN).assert_outcomes(passed=6)
