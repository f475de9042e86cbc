"""``telemt-trio demo``: the whole life of a proxy on this machine alone, and a verdict.

A fake datacenter that echoes, a fake site that is fronted, a proxy between them, and everybody who may knock: a client
in each of the three modes, a scanner, a client with a wrong secret, and somebody who replays a recorded handshake. What
each of them got is shown and checked, byte for byte.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import attrs
import trio

from telemt_trio.cli.demo_report import ClientRow, StrangerRow, draw, print_report, require_matplotlib
from telemt_trio.config.load import structure
from telemt_trio.errors import RemoteProtocolError
from telemt_trio.events import HandshakeAccepted, HandshakeRejected, RelayEnded, UnexpectedError
from telemt_trio.proxy.service import Proxy
from telemt_trio.testing.client import connect, open_tls
from telemt_trio.testing.fake_datacenter import open_fake_datacenter
from telemt_trio.testing.fake_front import ALERT, collect, open_fake_front
from telemt_trio.wire.client_hello import build_client_hello
from telemt_trio.wire.secrets import Mode, ProxySecret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from telemt_trio.config.model import ProxyConfig
    from telemt_trio.events import Event
    from telemt_trio.testing.client import ProxyClient
    from telemt_trio.testing.fake_datacenter import FakeDatacenter
    from telemt_trio.testing.fake_front import FakeFront, Visit

__all__ = ["demo_command"]

DOMAIN: Final = "front.example"
TIME_LIMIT: Final = 30.0  # seconds for everything; it takes about one
# What every client sends and gets back: a short message, a longer one, a file.
MESSAGES: Final = (64, 3000, 1 << 20)
PAGE: Final = b"HTTP/1.1 400 Bad Request\r\nServer: front.example\r\nConnection: close\r\n\r\n"
USERS: Final = {Mode.TLS: "alice", Mode.SECURE: "bob", Mode.CLASSIC: "carol"}
MODE_NAMES: Final = {Mode.TLS: "FakeTLS (ee)", Mode.SECURE: "padded (dd)", Mode.CLASSIC: "plain"}


def demo_command(plot: str | None) -> int:
    """Run the demo and print what happened; ``plot`` names a PNG file for the record sizes over time.

    Returns 0, or 1 when anything was not as it should be. Raises ConfigError when ``plot`` cannot be drawn.
    """
    if plot is not None:
        require_matplotlib()
    demo = Demo()
    try:
        trio.run(demo.run)
    except* (OSError, RemoteProtocolError, trio.BrokenResourceError) as broken:
        demo.problems += [f"the demo broke off: {error}" for error in _leaves(broken)]
    print_report(demo.clients, demo.strangers)
    if plot is not None:
        draw(demo.clients, plot)
        print(f"\nRecord sizes over time: {plot}")
    for problem in demo.problems:
        print(f"telemt-trio: demo: {problem}", file=sys.stderr)
    if not demo.problems:
        print("\nEverybody got exactly what was meant for them.")
    return 1 if demo.problems else 0


def _leaves(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


@attrs.define(eq=False)
class Demo:
    """One run of the demo and what came of it. ``entropy(n)`` is where keys, messages and nonces come from."""

    entropy: Callable[[int], bytes] = os.urandom
    clients: list[ClientRow] = attrs.field(factory=list)
    strangers: list[StrangerRow] = attrs.field(factory=list)
    problems: list[str] = attrs.field(factory=list)
    events: list[Event] = attrs.field(factory=list, repr=False)
    _keys: dict[Mode, bytes] = attrs.field(factory=dict, repr=False)

    async def run(self) -> None:
        """Start everything, let everybody knock one after the other, stop everything."""
        with trio.move_on_after(TIME_LIMIT) as limit:
            async with AsyncExitStack() as stack:
                datacenter = await stack.enter_async_context(open_fake_datacenter())
                front = await stack.enter_async_context(open_fake_front(behaviour=site))
                self._keys = {mode: self.entropy(16) for mode in USERS}
                proxy = Proxy(self.configuration(datacenter, front), self.events.append)
                async with proxy:
                    address = proxy.addresses[0]
                    for mode in USERS:
                        await self.serve_client(mode, address)
                    await self.serve_strangers(address, front)
                self.check_counts(proxy)
        if limit.cancelled_caught:
            self.problems.append(f"it did not finish within {TIME_LIMIT:g} s")
        bugs = [event.error for event in self.events if isinstance(event, UnexpectedError)]
        self.problems += [f"a bug in the proxy: {bug!r}" for bug in bugs]

    def configuration(self, datacenter: FakeDatacenter, front: FakeFront) -> ProxyConfig:
        """A proxy on a free port of the loopback: every mode, a user for each."""
        host, port = front.address
        return structure(
            {
                "general": {"modes": {"classic": True, "secure": True, "tls": True}},
                "server": {"port": 0, "listen_addr_ipv4": "127.0.0.1", "listen_addr_ipv6": ""},
                "censorship": {"tls_domain": DOMAIN, "mask_host": host, "mask_port": port},
                "access": {"users": {USERS[mode]: key.hex() for mode, key in self._keys.items()}},
                "dc_overrides": {"2": "{}:{}".format(*datacenter.address)},
            }
        )

    # ---- clients

    async def serve_client(self, mode: Mode, address: tuple[str, int]) -> None:
        """One client: connect, exchange the messages, leave."""
        name = MODE_NAMES[mode]
        secret = ProxySecret(self._keys[mode], mode, DOMAIN if mode is Mode.TLS else None)
        async with await connect(address, secret, dc=2) as client:
            sent = trio.current_time()
            first_echo = 0.0
            for size in MESSAGES:
                wrong = await _exchange(client, self.entropy(size))
                first_echo = first_echo or trio.current_time() - sent
                if wrong:
                    self.problems.append(f"{name}: an echo of {size} bytes {wrong}")
            self.clients.append(
                ClientRow(
                    name,
                    client.answer_seconds if client.answer else None,
                    first_echo,
                    client.bytes_sent,
                    client.bytes_received,
                    tuple((record.at, record.size) for record in client.records),
                )
            )

    def check_counts(self, proxy: Proxy) -> None:
        """Every session ended, and the proxy counted what its client did, to the byte."""
        ended = {event.user: event for event in self.events if isinstance(event, RelayEnded)}
        accepted = [event for event in self.events if isinstance(event, HandshakeAccepted)]
        for row, (mode, user) in zip(self.clients, USERS.items(), strict=False):
            name, totals = MODE_NAMES[mode], proxy.totals(user)
            if (totals.bytes_up, totals.bytes_down) != (row.bytes_up, row.bytes_down):
                self.problems.append(
                    f"{name}: the proxy counted {totals.bytes_up} bytes up and {totals.bytes_down} down, "
                    f"the client {row.bytes_up} and {row.bytes_down}"
                )
            if user not in ended or totals.current:
                self.problems.append(f"{name}: its session did not end")
            if sum(event.user == user for event in accepted) != 1:
                self.problems.append(f"{name}: it was not accepted exactly once")
        if len(self.clients) != len(USERS):
            self.problems.append("not every client was served")

    # ---- strangers

    async def serve_strangers(self, address: tuple[str, int], front: FakeFront) -> None:
        """A scanner, a wrong secret, a replay: each must meet the site and nothing else."""
        recorded = self._hello(self._keys[Mode.TLS])
        await self._record(address, recorded)
        knocks = {
            "a scanner": b"GET / HTTP/1.1\r\nHost: " + DOMAIN.encode() + b"\r\n\r\n",
            "a wrong secret": self._hello(self.entropy(16)),
            "a replay": recorded,
        }
        for name, knock in knocks.items():
            visits = len(front.visits)
            stream = await trio.open_tcp_stream(*address)
            async with stream:
                await stream.send_all(knock)
                await stream.send_eof()
                got = b"".join([data async for data in stream])
            visit = front.visits[visits] if len(front.visits) > visits else None
            rejected = [event for event in self.events if isinstance(event, HandshakeRejected)]
            self.strangers.append(StrangerRow(name, len(knock), len(got), rejected[-1].reason.value, _seen(got)))
            if visit is None or visit.received != knock:
                self.problems.append(f"{name}: the site did not get exactly what was sent")
            if got != said_to(knock):
                self.problems.append(f"{name}: it did not get exactly what the site said")

    async def _record(self, address: tuple[str, int], hello: bytes) -> None:
        """What an eavesdropper records: a client's hello, which the proxy answers."""
        async with await trio.open_tcp_stream(*address) as stream:
            await open_tls(stream, self._keys[Mode.TLS], hello)

    def _hello(self, key: bytes) -> bytes:
        return build_client_hello(secret=key, domain=DOMAIN, unix_time=int(time.time()), entropy=self.entropy)


async def _exchange(client: ProxyClient, message: bytes) -> str:
    """Send ``message`` while its echo comes back; what was wrong with it, or nothing."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, message)
        echo = await client.receive_exactly(len(message))
    if len(echo) != len(message):
        return f"ended after {len(echo)}"
    return "" if echo == message else "came back changed"


async def site(visit: Visit) -> None:
    """The fronted site: an alert for what looks like TLS, a page for everybody else, then goodbye."""
    if await visit.receive():
        await visit.send(said_to(visit.received))
        await visit.stream.send_eof()
        await collect(visit)


def said_to(knock: Sequence[int]) -> bytes:
    """What :func:`site` says to somebody whose first byte is that of ``knock``."""
    return ALERT if knock and knock[0] == ALERT[0] + 1 else PAGE


def _seen(got: bytes) -> str:
    """What a stranger can tell about the answer."""
    if got == ALERT:
        return "the site's TLS alert"
    return "the site's page" if got == PAGE else f"{len(got)} bytes that are not the site's"
