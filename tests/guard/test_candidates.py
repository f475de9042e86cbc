"""Whose secret is tried first. Peers and networks are whatever the caller likes; here they are numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.guard import candidates as module
from telemt_trio.guard.candidates import Candidates
from telemt_trio.guard.users import Users

NAMES = ["alice", "bob", "Carol", "dave", "erin"]


def table(names):
    return Users([(name, bytes([ord(name[0])]) * 16) for name in names])


@pytest.fixture
def users():
    return table(NAMES)


@pytest.fixture
def candidates():
    return Candidates()


def names(found):
    return [user.name for user in found]


def remember(candidates, users, name, peer=None, network=None, server_name=None):
    candidates.remember(users.get(name), peer=peer, network=network, server_name=server_name)


def hinted(candidates, users, peer=99, network=99, server_name=None):
    return names(candidates.hinted(users, peer=peer, network=network, server_name=server_name))


def test_a_newcomer_has_no_hint(candidates, users):
    remember(candidates, users, "alice", peer=1, network=1, server_name="example.com")
    assert hinted(candidates, users) == []
    assert hinted(candidates, users, server_name="example.org") == []


def test_hints_come_best_first(candidates, users):
    remember(candidates, users, "alice", peer=1, network=10)
    remember(candidates, users, "bob", peer=2, network=20)
    remember(candidates, users, "dave", peer=3, network=30, server_name="CAROL")
    assert hinted(candidates, users, peer=1, network=20) == ["alice", "bob"]
    # address, a user of exactly this name, who came under this server name, network, a user of about this name
    assert hinted(candidates, users, peer=1, network=20, server_name="Carol") == ["alice", "Carol", "dave", "bob"]
    assert hinted(candidates, users, peer=1, network=20, server_name="carol") == ["alice", "dave", "bob", "Carol"]


def test_nobody_is_hinted_twice(candidates, users):
    remember(candidates, users, "bob", peer=1, network=1, server_name="bob")
    assert hinted(candidates, users, peer=1, network=1, server_name="bob") == ["bob"]


def test_the_last_success_is_the_hint(candidates, users):
    for name in ("alice", "bob"):
        remember(candidates, users, name, peer=1, network=1, server_name="example.com")
    assert hinted(candidates, users, peer=1) == ["bob"]
    assert hinted(candidates, users, network=1) == ["bob"]
    assert hinted(candidates, users, server_name="EXAMPLE.com") == ["bob"]


def test_hints_outlive_a_reload_and_forget_who_is_gone(candidates, users):
    for peer, name in enumerate(NAMES):
        remember(candidates, users, name, peer=peer)
    reloaded = table(["erin", "alice"])
    assert [hinted(candidates, reloaded, peer=peer) for peer in range(5)] == [["alice"], [], [], [], ["erin"]]
    assert names(candidates.order(reloaded, [])) == ["erin", "alice"]


def test_the_most_recent_come_before_the_table(candidates, users):
    for name in ("dave", "bob", "dave", "dave"):
        remember(candidates, users, name)
    assert names(candidates.order(users, [users.get("erin")])) == ["erin", "dave", "bob", "alice", "Carol"]


def test_the_recent_are_told_latest_first_and_each_once(candidates, users):
    assert candidates.recent(users) == []
    for name in ("dave", "bob", "dave", "dave", "alice"):
        remember(candidates, users, name)
    assert names(candidates.recent(users)) == ["alice", "dave", "bob"]
    assert names(candidates.recent(table(["bob", "erin"]))) == ["bob"]  # the others are gone since


def test_only_so_many_are_recent(candidates):
    many = table([f"{chr(97 + n % 26)}{n}" for n in range(100)])
    for user in many:
        remember(candidates, many, user.name)
    tried = list(candidates.order(many, []))
    assert [user.number for user in tried] == [*range(99, 67, -1), *range(68)]


@given(
    history=st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.integers(0, 3),
            st.integers(0, 3),
            st.none() | st.sampled_from([*NAMES, "example.com", "ALICE"]),
        ),
        max_size=50,
    ),
    peer=st.integers(0, 4),
    network=st.integers(0, 4),
    server_name=st.none() | st.sampled_from([*NAMES, "carol", "example.com", "other"]),
)
def test_everybody_is_tried_once_and_the_hinted_first(history, peer, network, server_name):
    users, candidates = table(NAMES), Candidates()
    for name, *where in history:
        remember(candidates, users, name, *where)
    first = candidates.hinted(users, peer=peer, network=network, server_name=server_name)
    order = list(candidates.order(users, first))
    assert len(set(names(first))) == len(first)
    assert order[: len(first)] == first
    assert sorted(names(order)) == sorted(NAMES)


def test_a_success_elsewhere_does_not_disturb_a_search(candidates, users):
    for name in ("alice", "bob"):
        remember(candidates, users, name)
    tried = []
    for user in candidates.order(users, []):
        tried.append(user.name)
        remember(candidates, users, "dave", peer=len(tried))
    assert sorted(tried) == sorted(NAMES)


def test_hints_are_bounded(monkeypatch, candidates, users):
    monkeypatch.setattr(module, "_MAX_HINTS", 8)
    for peer in range(100):
        remember(candidates, users, "alice", peer=peer, network=peer, server_name=f"{peer}.example")
        assert hinted(candidates, users, peer=peer, network=peer) == ["alice"]
        for hints in (candidates._peer, candidates._network, candidates._server_name):
            assert 1 <= len(hints) <= 8


def test_a_full_table_of_hints_still_learns_about_those_it_knows(monkeypatch, candidates, users):
    monkeypatch.setattr(module, "_MAX_HINTS", 3)
    for peer in range(3):
        remember(candidates, users, "alice", peer=peer)
    remember(candidates, users, "bob", peer=1)
    assert [hinted(candidates, users, peer=peer) for peer in range(3)] == [["alice"], ["bob"], ["alice"]]
