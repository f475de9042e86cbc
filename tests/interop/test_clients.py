"""Every client in every mode: it connects, makes a key, moves files, reaches every datacenter, and a wrong secret
reaches none.
"""

from __future__ import annotations

import hashlib
import random

import pytest

from telemt_trio.testing.mtproto_api import file_bytes
from telemt_trio.wire.obfuscated2 import ABRIDGED, INTERMEDIATE, SECURE

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150)]

FILE_ID = 0x1122334455667788
FILE_SIZE = 4 << 20

TAGS = {
    ("tdlib", "classic"): INTERMEDIATE,
    ("telethon", "classic"): INTERMEDIATE,
    ("kurigram", "classic"): ABRIDGED,
}


def tag_of(client):
    return TAGS.get((client.name, client.mode), SECURE)


async def test_a_ping_is_answered(client, proxy, datacenter):
    assert await client("ping", proxy, count=1, at_once=1) == {"answered": 1}
    assert [(one.tag, one.nonce_ok) for one in datacenter.connections] == [(tag_of(client), True)]


async def test_every_datacenter_is_reached_and_makes_a_key(client, proxy, datacenter, seen):
    wanted = [1, 2, 3, 4, 5]
    if client.name != "tdlib":  # TDLib's testProxy takes no media index; its transfer goes through one
        wanted.append(-2)
    answer = await client("greet", proxy, dcs=wanted)
    assert answer == {"answered": wanted}
    assert set(seen()) == set(wanted)
    assert len(datacenter.keyring.keys) == len(wanted)
    assert {one.tag for one in datacenter.connections} == {tag_of(client)}
    assert all(one.nonce_ok for one in datacenter.connections)


async def test_four_megabytes_up_and_down(client, proxy, api, seen, tmp_path):
    content = random.Random(client.name + client.mode).randbytes(FILE_SIZE)
    (tmp_path / "upload").write_bytes(content)
    answer = await client("transfer", proxy, patience=60)
    assert [api.uploaded(file_id) == content for file_id in api.uploads] == [True]
    expected = file_bytes(FILE_ID, 0, FILE_SIZE)
    assert (answer["size"], answer["digest"]) == (FILE_SIZE, hashlib.sha256(expected).hexdigest())
    if client.name != "telethon":  # Telethon has no media sessions
        assert seen()[-2] > 0


async def test_three_hundred_connections_a_hundred_at_a_time(client, proxy, datacenter):
    answer = await client("ping", proxy, count=300, at_once=100)
    assert answer == {"answered": 300}
    assert len(datacenter.connections) == 300
    assert {(one.tag, one.nonce_ok) for one in datacenter.connections} == {(tag_of(client), True)}


async def test_a_wrong_secret_reaches_the_front_and_no_datacenter(client, proxy, datacenter, front):
    answer = await client("ping", proxy, secret=proxy.wrong_secret(client.mode), count=1, at_once=1, patience=12)
    assert "answered" not in answer
    assert (datacenter.connections, datacenter.refused) == ([], [])
    assert front.received
    if client.mode == "ee":
        for opening in front.received:
            assert opening[:3] == b"\x16\x03\x01"
            assert len(opening) == 5 + int.from_bytes(opening[3:5], "big")
    else:
        assert all(len(opening) >= 64 for opening in front.received)
    assert await client("ping", proxy, count=1, at_once=1) == {"answered": 1}
