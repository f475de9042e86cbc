"""Which datacenter a client gets: the index in its nonce against the operator's tables."""

from __future__ import annotations

import pytest

from telemt_trio import events as e
from telemt_trio.testing.fake_datacenter import open_fake_datacenter
from telemt_trio.upstream.datacenters import DATACENTERS, DC_PORT
from telemt_trio.wire.secrets import Mode

CDN = "91.105.192.100"


async def visit(proxy, dc, mode=Mode.TLS):
    async with await proxy.client(mode, dc=dc) as client:
        await client.send(b"here?")
        assert await client.receive_exactly(5) == b"here?"


def telegram(dc):
    return (DATACENTERS[dc][0], DC_PORT)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(
    ("index", "dialled"),
    [
        *((dc, telegram(dc)) for dc in range(1, 6)),
        *((-dc, telegram(dc)) for dc in range(1, 6)),  # media clusters, where no table says otherwise
        (203, (CDN, DC_PORT)),
        (0, telegram(2)),
        (6, telegram(2)),
        (-203, telegram(2)),
        (10002, telegram(2)),  # a test datacenter
        (32767, telegram(2)),
        (-32768, telegram(2)),
    ],
)
async def test_every_index_is_dialled_and_passed_on_as_it_came(world, proxy, mode, index, dialled):
    await visit(proxy, index, mode)
    assert world.dialled == [dialled]
    assert [connection.dc for connection in world.datacenter.connections] == [index]
    assert proxy.of(e.HandshakeAccepted)[0].dc == index
    known = 1 <= abs(index) <= 5 or index == 203
    assert [fact.dc_idx for fact in proxy.of(e.DatacenterUnknown)] == ([] if known else [index])


async def test_an_unknown_index_is_said_once(world, proxy):
    for _ in range(3):
        await visit(proxy, 4711)
    assert len(proxy.of(e.DatacenterUnknown)) == 1


@pytest.mark.parametrize(("default", "expected"), [(1, 1), (5, 5)])
async def test_the_default_datacenter_is_the_operators(world, default, expected):
    proxy = await world.start(default_dc=default)
    await visit(proxy, 0)
    await visit(proxy, 10003)
    assert world.dialled == [telegram(expected)] * 2


async def test_an_override_is_of_exactly_its_index(world):
    async with open_fake_datacenter() as media:
        proxy = await world.start(dc_overrides={"-2": "{}:{}".format(*media.address)})
        await visit(proxy, -2)
        await visit(proxy, 2)
        assert [connection.dc for connection in media.connections] == [-2]
        assert [connection.dc for connection in world.datacenter.connections] == [2]
        assert world.dialled == [media.address, telegram(2)]


async def test_an_override_of_a_datacenter_leaves_its_media_cluster_alone(world):
    async with open_fake_datacenter() as other:
        proxy = await world.start(dc_overrides={"2": "{}:{}".format(*other.address)})
        await visit(proxy, 2)
        await visit(proxy, -2)
        assert world.dialled == [other.address, telegram(2)]


async def test_an_override_makes_an_index_known(world):
    async with open_fake_datacenter() as test_dc:
        proxy = await world.start(dc_overrides={"10002": "{}:{}".format(*test_dc.address), "203": "127.0.0.1:9"})
        await visit(proxy, 10002)
        assert [connection.dc for connection in test_dc.connections] == [10002]
        assert not proxy.of(e.DatacenterUnknown)
