import trio

from telemt_trio.events import EndReason
from telemt_trio.relay.end import Ending


class Stops:
    def __init__(self):
        self.count = 0

    def __call__(self):
        self.count += 1


def test_a_relay_that_runs_has_no_reason():
    assert Ending().why is None


def test_the_first_reason_wins_and_stops_once():
    ending, stop = Ending(), Stops()
    ending.bind(stop)
    assert stop.count == 0
    ending.end(EndReason.QUOTA)
    ending.end(EndReason.STOPPED)
    assert (ending.why, stop.count) == (EndReason.QUOTA, 1)


def test_a_reason_that_came_before_the_start_stops_at_the_start():
    ending, stop = Ending(), Stops()
    ending.end(EndReason.DISABLED)
    ending.bind(stop)
    assert stop.count == 1


def test_what_is_over_is_not_stopped():
    ending, stop = Ending(), Stops()
    ending.bind(stop)
    ending.release()
    ending.end(EndReason.STOPPED)
    assert stop.count == 0


async def test_a_cancel_scope_is_a_way_to_stop(autojump_clock):
    ending = Ending()
    with trio.CancelScope() as scope:
        ending.bind(scope.cancel)
        ending.end(EndReason.EVICTED)
        await trio.sleep_forever()
    assert scope.cancelled_caught
