"""Three hundred connections, a hundred at a time, through nothing but the public face."""

from __future__ import annotations

import random

import pytest
import trio

import telemt_trio
from telemt_trio import events as e
from telemt_trio.errors import RemoteProtocolError
from telemt_trio.testing.client import connect
from telemt_trio.testing.fake_datacenter import open_fake_datacenter
from telemt_trio.testing.fake_front import alert, open_fake_front
from telemt_trio.wire.secrets import Mode, ProxySecret

KEYS = {f"user{number}": bytes([number + 1]) * 16 for number in range(30)}
DOMAIN = "front.example.net"
SHAPES = ("tdlib", "legacy", "minimal")


@pytest.mark.stress
async def test_three_hundred_connections_a_hundred_at_a_time():
    events = []
    chance = random.Random(1)
    at_once = trio.CapacityLimiter(100)
    async with open_fake_datacenter() as datacenter, open_fake_front(behaviour=alert()) as front:
        address = "{}:{}".format(*datacenter.address)
        config = telemt_trio.structure(
            {
                "general": {"modes": {"classic": True, "secure": True}},
                "server": {"port": 0, "listen_addr_ipv4": "127.0.0.1", "listen_addr_ipv6": ""},
                "censorship": {"tls_domain": DOMAIN, "mask_host": front.address[0], "mask_port": front.address[1]},
                "access": {"users": {name: key.hex() for name, key in KEYS.items()}},
                "dc_overrides": dict.fromkeys(("1", "2", "3", "4", "5", "-2", "203"), address),
            }
        )

        async def client(proxy, number):
            mode = list(Mode)[number % 3]
            name = f"user{number % len(KEYS)}"
            secret = ProxySecret(KEYS[name], mode, DOMAIN if mode is Mode.TLS else None)
            dc = (1, 2, 3, 4, 5, -2, 203)[number % 7]
            message = chance.randbytes(chance.choice((1, 500, 40_000)))
            async with (
                at_once,
                await connect(proxy.addresses[0], secret, dc=dc, shape=SHAPES[number // 3 % 3]) as one,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(one.send, message)
                assert await one.receive_exactly(len(message)) == message
            sent[name] = sent.get(name, 0) + len(message)

        async def wrong(proxy):
            secret = ProxySecret(b"\xee" * 16, Mode.TLS, DOMAIN)
            async with at_once:
                with pytest.raises(RemoteProtocolError):
                    await connect(proxy.addresses[0], secret)

        sent = {}
        async with telemt_trio.Proxy(config, events.append) as proxy, trio.open_nursery() as nursery:
            for number in range(300):
                nursery.start_soon(client, proxy, number)
                if number % 10 == 0:
                    nursery.start_soon(wrong, proxy)
        assert proxy.open_connections == 0
        assert len(datacenter.connections) == 300
        assert all(connection.nonce_ok for connection in datacenter.connections)
        assert len(front.visits) == 30
    totals = {name: proxy.totals(name) for name in KEYS}
    assert {name: (one.bytes_up, one.bytes_down) for name, one in totals.items()} == {
        name: (size, size) for name, size in sent.items()
    }
    assert sum(one.sessions for one in totals.values()) == 300
    kinds = [type(event) for event in events]
    assert kinds.count(e.ConnectionOpened) == kinds.count(e.ConnectionClosed) == 330
    assert kinds.count(e.RelayEnded) == 300
    assert kinds.count(e.Masked) == 30
    assert e.UnexpectedError not in kinds
