import hmac

import pytest

from telemt_trio.guard.users import Users

ALICE, BOB = b"a" * 16, b"b" * 16


@pytest.fixture
def users():
    return Users([("alice", ALICE), ("Bob", BOB), ("bob", ALICE)])


def test_users_keep_the_order_of_the_configuration(users):
    assert len(users) == 3
    assert [user.name for user in users] == ["alice", "Bob", "bob"]
    assert [user.number for user in users.all] == [0, 1, 2]


def test_a_name_is_exact(users):
    assert users.get("bob").secret == ALICE
    assert users.get("Bob").secret == BOB
    assert users.get("BOB") is None


def test_a_name_of_any_case_is_the_first_that_fits(users):
    assert users.like("BOB") is users.get("Bob")
    assert users.like("Alice") is users.get("alice")
    assert users.like("carol") is None


def test_the_key_of_a_user_is_that_of_its_secret(users):
    assert users.get("Bob").key.mac(b"message") == hmac.digest(BOB, b"message", "sha256")


def test_keys_stand_at_the_places_of_their_users(users):
    assert users.keys == tuple(user.key for user in users)


def test_no_secret_is_shown(users):
    assert repr(ALICE)[2:-1] not in repr(users.all)


def test_nobody_is_a_table_too():
    assert list(Users([])) == []
