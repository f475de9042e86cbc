"""Two proxies in one program, as tasks of your own nursery, and an observer that keeps a small account.

python examples/observer.py
"""

from __future__ import annotations

import secrets
from collections import Counter
from functools import partial

import trio

import telemt_trio
from telemt_trio import events
from telemt_trio.testing.client import connect
from telemt_trio.testing.fake_datacenter import open_fake_datacenter
from telemt_trio.testing.fake_front import open_fake_front
from telemt_trio.wire.secrets import Mode, ProxySecret

KEY = secrets.token_bytes(16)


class Account:
    """Who came, and why others were not let in. Observers are plain callables; this one has a memory."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.bytes_of: Counter[str] = Counter()

    def __call__(self, event: events.Event) -> None:
        """Take note of one fact."""
        if isinstance(event, events.HandshakeRejected):
            self.reasons[event.reason.value] += 1
        elif isinstance(event, events.RelayEnded):
            self.bytes_of[event.user] += event.bytes_up + event.bytes_down


def configuration(datacenter: tuple[str, int], front: tuple[str, int]) -> telemt_trio.ProxyConfig:
    """A proxy on a free port of this machine; strangers go to ``front``."""
    return telemt_trio.structure(
        {
            "server": {"port": 0, "listen_addr_ipv4": "127.0.0.1", "listen_addr_ipv6": ""},
            "censorship": {"tls_domain": "front.example", "mask_host": front[0], "mask_port": front[1]},
            "access": {"users": {"alice": KEY.hex()}},
            "dc_overrides": {"2": "{}:{}".format(*datacenter)},
        }
    )


async def one_client(address: tuple[str, int]) -> None:
    """Somebody with the right secret."""
    async with await connect(address, ProxySecret(KEY, Mode.TLS, "front.example")) as client:
        await client.send(bytes(1000))
        await client.receive_exactly(1000)


async def one_stranger(address: tuple[str, int]) -> None:
    """Somebody who scans the port: what comes back is the front's."""
    async with await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
        await stream.send_eof()
        while await stream.receive_some():
            pass


async def main() -> None:
    """Two proxies share nothing but the nursery, and here, on purpose, the account."""
    account = Account()
    async with open_fake_datacenter() as datacenter, open_fake_front() as front, trio.open_nursery() as nursery:
        config = configuration(datacenter.address, front.address)
        start = partial(nursery.start, telemt_trio.serve, config, account)
        proxies: list[telemt_trio.Proxy] = [await start(), await start()]
        async with trio.open_nursery() as visitors:
            for proxy in proxies:
                visitors.start_soon(one_client, proxy.addresses[0])
                visitors.start_soon(one_stranger, proxy.addresses[0])
        for proxy in proxies:
            proxy.stop()  # closes the door and lets relays finish; cancelling the nursery would end them at once
    print("bytes moved:", dict(account.bytes_of))
    print("strangers:", dict(account.reasons))
    if account.bytes_of["alice"] != 4000 or account.reasons.total() != 2:
        raise SystemExit("the account is wrong")


trio.run(main)
