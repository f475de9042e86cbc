"""``telemt-trio run`` as a process: it serves, says what it does, and stops when it is told to."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

import telemt_trio
from telemt_trio.testing.client import connect
from telemt_trio.testing.fake_datacenter import open_fake_datacenter
from telemt_trio.testing.fake_front import open_fake_front
from telemt_trio.wire.secrets import Mode, ProxySecret

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(telemt_trio.__file__).parents[1])}
KEY = bytes.fromhex("8f1c2d3e4b5a69788796a5b4c3d2e1f0")
DOMAIN = "front.example.net"
# Every datacenter that is looked at on a start: none of them is to be dialled from a test.
DATACENTERS = ("1", "2", "3", "4", "5", "203")


@pytest.fixture
def configuration(tmp_path):
    """Writes a telemt.toml; returns its path."""

    def write(datacenter=("127.0.0.1", 9), front=("127.0.0.1", 9), port=0):
        overrides = "\n".join(f'{dc} = "{datacenter[0]}:{datacenter[1]}"' for dc in DATACENTERS)
        path = tmp_path / "telemt.toml"
        path.write_text(
            f"""\
[general.links]
public_host = "proxy.example.net"
[general.modes]
classic = true
secure = true
[server]
port = {port}
listen_addr_ipv4 = "127.0.0.1"
listen_addr_ipv6 = ""
[timeouts]
drain_secs = 1
[censorship]
tls_domain = "{DOMAIN}"
mask_host = "{front[0]}"
mask_port = {front[1]}
[access.users]
alice = "{KEY.hex()}"
[dc_overrides]
{overrides}
"""
        )
        path.chmod(0o600)
        return path

    return write


@asynccontextmanager
async def running(path):
    """The process, once it listens. Its output is read to the end."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-W", "error", "-m", "telemt_trio", "run", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        cwd=path.parent,
    )
    told = Told(process)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(told.listen, process.stdout, told.out)
            nursery.start_soon(told.listen, process.stderr, told.err)
            with trio.fail_after(20):
                while b"listening on" not in told.err and not told.silent:
                    await told.more()
            yield told
    finally:
        if process.poll() is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


class Told:
    """What a process said."""

    def __init__(self, process):
        self.process = process
        self.out, self.err = bytearray(), bytearray()
        self._open = 2
        self._news = trio.lowlevel.ParkingLot()

    async def listen(self, stream, into):
        async with stream:
            async for data in stream:
                into += data
                self._news.unpark_all()
        self._open -= 1
        self._news.unpark_all()

    @property
    def silent(self):
        """Whether it will say nothing more."""
        return not self._open

    async def more(self):
        await self._news.park()

    async def line(self, text):
        """Wait until ``text`` was said on standard error."""
        with trio.fail_after(20):
            while text.encode() not in self.err:
                await self.more()

    @property
    def address(self):
        """Where it listens."""
        return "127.0.0.1", int(re.search(rb"listening on 127\.0\.0\.1:(\d+)", self.err)[1])

    async def stopped(self):
        with trio.fail_after(20):
            return await self.process.wait()


async def exchange(address, mode, message=b"hello"):
    secret = ProxySecret(KEY, mode, DOMAIN if mode is Mode.TLS else None)
    async with await connect(address, secret) as client:
        await client.send(message)
        return await client.receive_exactly(len(message))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_serves_until_a_signal(configuration, number):
    async with open_fake_datacenter() as datacenter, open_fake_front() as front:
        path = configuration(datacenter.address, front.address)
        async with running(path) as told:
            for mode in Mode:
                assert await exchange(told.address, mode) == b"hello"
            async with await trio.open_tcp_stream(*told.address) as stream:
                await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
                assert await stream.receive_some() == b"GET / HTTP/1.1\r\n\r\n"
            await told.line("all 6 datacenters of Telegram answer")
            told.process.send_signal(number)
            assert await told.stopped() == 0
    assert b"tg://proxy?server=proxy.example.net" in told.out
    assert b"stopping" in told.err
    assert b"Traceback" not in told.err
    assert KEY.hex().encode() not in told.err


async def test_a_relay_may_finish_and_a_second_signal_does_not_wait(configuration):
    async with open_fake_datacenter() as datacenter:
        path = configuration(datacenter.address)
        async with running(path) as told:
            secret = ProxySecret(KEY, Mode.SECURE)
            async with await connect(told.address, secret) as client:
                await client.send(b"before")
                assert await client.receive_exactly(6) == b"before"
                told.process.send_signal(signal.SIGTERM)
                await told.line("stopping: 1 relays have 1 s to finish")
                await client.send(b"still here")
                assert await client.receive_exactly(10) == b"still here"
                told.process.send_signal(signal.SIGTERM)
                assert await client.receive_to_end() == b""
            assert await told.stopped() == 0
    assert b"Traceback" not in told.err


async def test_without_telegram_it_says_so_and_serves(configuration):
    async with open_fake_front() as front, running(configuration(front=front.address)) as told:
        await told.line("Telegram cannot be reached")
        async with await trio.open_tcp_stream(*told.address) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
            assert await stream.receive_some() == b"GET / HTTP/1.1\r\n\r\n"
        told.process.send_signal(signal.SIGTERM)
        assert await told.stopped() == 0


async def test_a_port_that_is_taken_is_one_sentence(configuration):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with running(configuration(port=port)) as told:
            assert await told.stopped() == 2
    sentence = f"telemt-trio: cannot listen on 127.0.0.1 port {port}: another program has it"
    assert told.err.decode().splitlines()[-1].startswith(sentence)
    assert b"Traceback" not in told.err
    assert told.out == b""
