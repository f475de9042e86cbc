"""A proxy inside a trio program of your own.

Everything is on this machine: the datacenter is the test kit's, and so is the one client that connects. In your program
the configuration comes from a file (``telemt_trio.load_config``) and the clients come from Telegram.

    python examples/embed.py
"""

from __future__ import annotations

import secrets

import trio

import telemt_trio
from telemt_trio import events
from telemt_trio.testing.client import connect
from telemt_trio.testing.fake_datacenter import open_fake_datacenter
from telemt_trio.wire.secrets import Mode, ProxySecret

KEY = secrets.token_bytes(16)


def observe(event: events.Event) -> None:
    """An observer gets one object for each fact, in order. It runs in the proxy's tasks, so it must not block."""
    match event:
        case events.HandshakeAccepted():
            print(f"  #{event.connection}: {event.user} is in, and wants datacenter {event.dc}")
        case events.RelayEnded():
            print(f"  #{event.connection}: {event.user} left, {event.bytes_up} bytes up, {event.bytes_down} down")
        case _:
            print(f"  {event}")


async def main() -> None:
    """Start a datacenter, a proxy in front of it, and one client; stop when the client is done."""
    async with open_fake_datacenter() as datacenter:
        host, port = datacenter.address
        # The same names as in telemt.toml.
        config = telemt_trio.structure(
            {
                "server": {"port": 0, "listen_addr_ipv4": "127.0.0.1", "listen_addr_ipv6": ""},
                "censorship": {"tls_domain": "front.example", "mask": False},
                "access": {"users": {"alice": KEY.hex()}},
                "dc_overrides": {"2": f"{host}:{port}"},
            }
        )
        # Leaving the block stops the proxy: the door closes, relays get timeouts.drain_secs to finish.
        async with telemt_trio.Proxy(config, observe) as proxy:
            print(f"listening on {proxy.addresses[0]}")
            secret = ProxySecret(KEY, Mode.TLS, "front.example")
            async with await connect(proxy.addresses[0], secret, dc=2) as client:
                await client.send(b"hello through the proxy")
                echo = await client.receive_exactly(23)
        # Counts are exact once the proxy has stopped, and live while it runs.
        totals = proxy.totals("alice")
        print(f"alice: {totals.sessions} session, {totals.bytes_up} bytes up, {totals.bytes_down} down")
    if echo != b"hello through the proxy" or totals.bytes_down != len(echo):
        raise SystemExit("the echo did not come back")


trio.run(main)
