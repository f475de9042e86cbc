"""Real Telegram clients, through our proxy as a process of its own, to the fake datacenter; no way out but loopback.

Each client is a script in ``clients/`` that takes one job as JSON and prints one answer as JSON, so that its threads,
event loop and patched keys end with it. A job is ``do`` (``greet``: key and ping for every one of ``dcs``;
``transfer``: a file up and a file down; ``ping``: ``count`` times req_pq, ``at_once`` side by side) with ``host``,
``port``, ``secret`` (as in a link), ``mode``, ``key`` (the datacenter's RSA key), ``folder`` and ``patience`` in
seconds.

A client that is not installed, or a system that grants no network namespace, skips with the reason. With CI=true a
skip fails the run.

INTEROP_PROXY replaces the proxy: a command in which ``{config}`` stands for the configuration file.
"""

from __future__ import annotations

import base64
import ctypes
import fcntl
import importlib.util
import json
import os
import secrets
import shlex
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from telemt_trio.testing.fake_datacenter import mtproto, open_fake_datacenter
from telemt_trio.testing.mtproto_api import DatacenterApi
from telemt_trio.testing.mtproto_crypto import ServerKey
from telemt_trio.testing.mtproto_tl import long, string, word

HERE = Path(__file__).parent
DOMAIN = "front.example"
MODES = ("classic", "dd", "ee")
FILE_ID = 0x1122334455667788
FILE_SIZE = 4 << 20
START_LIMIT, STOP_LIMIT, CLIENT_LIMIT = 15.0, 15.0, 100.0  # seconds

# Which modules a client needs; cryptg and tgcrypto are its own choice for speed, without them 4 MB take minutes.
CLIENTS = {
    "tdlib": ("tdjson",),
    "telethon": ("telethon", "TelethonFakeTLS", "cryptg"),
    "kurigram": ("pyrogram", "tgcrypto"),
}


# ---------------------------------------------------------------- nothing is skipped in CI

SKIPPED: list[str] = []


def pytest_runtest_logreport(report):
    if report.skipped:
        SKIPPED.append(f"{report.nodeid}: {report.longrepr[2] if isinstance(report.longrepr, tuple) else ''}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    if SKIPPED and os.environ.get("CI") == "true":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    if SKIPPED and os.environ.get("CI") == "true":
        terminalreporter.section("skipped with CI=true: the run fails", red=True)
        for line in SKIPPED:
            terminalreporter.write_line(line)


# ---------------------------------------------------------------- loopback only

CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1


def leave_the_network() -> str | None:
    """Move this process into a network namespace that has loopback only; why not, if it cannot be.

    Root may do that; others in a user namespace of their own, where the system allows those.
    """
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    flags = CLONE_NEWNET if uid == 0 else CLONE_NEWNET | CLONE_NEWUSER
    if libc.unshare(flags) != 0:
        return f"not root, or no network namespace for us: {os.strerror(ctypes.get_errno())}"
    if uid != 0:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", encoding="ascii")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        present = struct.unpack("16sh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", present | IFF_UP))
    return None


@pytest.fixture(scope="session", autouse=True)
def _loopback_only():
    """For good: a process cannot return, and nothing else runs in a session of these tests."""
    reason = leave_the_network()
    if reason is not None:
        pytest.skip(reason)
    with socket.socket() as outside, pytest.raises(OSError, match="unreachable"):
        outside.connect(("192.0.2.1", 443))


# ---------------------------------------------------------------- the datacenter

BOT_ID = 777000777

# What TDLib asks for when it signs in as a bot and fetches a file from another datacenter. Constructors of layer 229.
USER = word(0xB1B8CC83) + word(1 << 14 | 1 << 10 | 3) + word(0) + long(BOT_ID) + long(5) + string(b"Bot") + word(1)
AUTHORIZATION = word(0x2EA2C0D4) + word(0) + USER
BOT_METHODS = {
    0x67A3FF2C: lambda _query, _dc: AUTHORIZATION,  # auth.importBotAuthorization
    0xA57A7DAD: lambda _query, _dc: AUTHORIZATION,  # auth.importAuthorization
    0xE5BFFFCD: lambda _query, _dc: word(0xB434E2B8) + long(1) + string(b"pass"),  # auth.exportAuthorization
    0xEDD4882A: lambda _query, _dc: word(0xA56C2A3E) + b"".join(map(word, (1, 1, int(time.time()), 1, 0))),
}


@pytest.fixture(scope="session")
def server_key():
    return ServerKey.generate()


@pytest.fixture
def api():
    """Datacenter 2 has a media cluster: clients then fetch its files from index -2."""
    return DatacenterApi(time.time, file_size=FILE_SIZE, media=frozenset((2,)), methods=BOT_METHODS)


@pytest.fixture
async def datacenter(api, server_key):
    async with open_fake_datacenter(behaviour=mtproto(api), key=server_key) as open_one:
        yield open_one


# ---------------------------------------------------------------- the front

TLS_ALERT = bytes.fromhex("15030300020228")  # handshake_failure


class Front:
    """The site a stranger is handed to: it keeps what it got and refuses it."""

    def __init__(self):
        self.received: list[bytes] = []

    async def serve(self, stream):
        async with stream:
            data = b""
            while len(data) < self.wanted(data) and (more := await stream.receive_some(65536)):
                data += more
            self.received.append(data)
            with suppress(trio.BrokenResourceError):
                await stream.send_all(TLS_ALERT)

    @staticmethod
    def wanted(data):
        """A whole TLS record, or a nonce."""
        tls = data[:2] == b"\x16\x03" and len(data) >= 5
        return 5 + int.from_bytes(data[3:5], "big") if tls else 64


@pytest.fixture
async def front(nursery):
    site = Front()
    listeners = await nursery.start(partial(trio.serve_tcp, site.serve, 0, host="127.0.0.1"))
    site.port = listeners[0].socket.getsockname()[1]
    return site


# ---------------------------------------------------------------- the proxy


def configuration(port, secret, front, datacenter):
    indices = [*range(1, 6), *range(-5, 0), 203]
    overrides = "\n".join(f'"{index}" = "127.0.0.1:{datacenter.address[1]}"' for index in indices)
    return f"""
[general]
use_middle_proxy = false
fast_mode = true

[general.modes]
classic = true
secure = true
tls = true

[server]
port = {port}
listen_addr_ipv4 = "127.0.0.1"

[censorship]
tls_domain = "{DOMAIN}"
mask = true
mask_host = "127.0.0.1"
mask_port = {front.port}
tls_emulation = false
server_hello_delay_min_ms = 0
server_hello_delay_max_ms = 0

[access.users]
someone = "{secret}"

[dc_overrides]
{overrides}
"""


@attrs.frozen
class RunningProxy:
    """Where the proxy listens, and the link secrets it knows and does not know."""

    port: int
    raw_secret: str

    def secret(self, mode):
        return link_secret(mode, self.raw_secret)

    def wrong_secret(self, mode):
        return link_secret(mode, secrets.token_hex(16))


def link_secret(mode, raw):
    return {"classic": raw, "dd": f"dd{raw}", "ee": f"ee{raw}{DOMAIN.encode().hex()}"}[mode]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    """Whether something listens there; asked of the kernel, because a connection would be a stranger to the proxy."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


@pytest.fixture
async def proxy(tmp_path, front, datacenter):
    running = RunningProxy(free_port(), secrets.token_hex(16))
    config = tmp_path / "proxy.toml"
    config.write_text(configuration(running.port, running.raw_secret, front, datacenter), encoding="utf-8")
    config.chmod(0o600)
    command = os.environ.get("INTEROP_PROXY", f"{shlex.quote(sys.executable)} -m telemt_trio run {{config}}")
    async with running_process(shlex.split(command.format(config=config)), tmp_path / "proxy.log") as process:
        with trio.fail_after(START_LIMIT):
            while not listens(running.port):
                assert process.poll() is None, "the proxy ended before it listened"
                await trio.sleep(0.02)  # another process: there is nothing to wait on but its port
        yield running


@asynccontextmanager
async def running_process(command, log):
    """A process that has to live as long as the block, end on SIGTERM, and say nothing that looks like a bug."""
    with log.open("wb") as output:
        process = await trio.lowlevel.open_process(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield process
        assert process.poll() is None, "the proxy ended by itself"
        process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_LIMIT):
            await process.wait()
    finally:
        if process.poll() is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        said = log.read_text(errors="replace")
        sys.stdout.write(said)  # pytest shows it when the test fails
    assert process.returncode == 0, "the proxy did not end on SIGTERM, or badly"
    assert "Traceback" not in said


# ---------------------------------------------------------------- the clients


@attrs.frozen
class RealClient:
    """One client in one mode; :meth:`__call__` runs a job in a process of its own and returns its answer."""

    name: str
    mode: str
    folder: Path
    key: ServerKey

    async def __call__(self, do, proxy, *, secret=None, patience=30, **more):
        job = {
            "do": do,
            "host": "127.0.0.1",
            "port": proxy.port,
            "secret": secret or proxy.secret(self.mode),
            "mode": self.mode,
            "folder": str(self.folder),
            "patience": patience,
            "size": FILE_SIZE,
            "file_id": FILE_ID,
            "remote_file_id": remote_file_id(2, FILE_ID),
            "bot_token": f"{BOT_ID}:{'A' * 35}",
            "key": {
                "pem": self.key.public_pem().decode(),
                "modulus": f"{self.key.modulus:x}",
                "exponent": self.key.exponent,
                "fingerprint": int.from_bytes(long(self.key.fingerprint), "little", signed=True),
            },
            **more,
        }
        script = HERE / "clients" / f"{self.name}_client.py"
        with trio.fail_after(CLIENT_LIMIT):
            done = await trio.run_process(
                [sys.executable, str(script), json.dumps(job)], capture_stdout=True, capture_stderr=True, check=False
            )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


@pytest.fixture(params=CLIENTS)
def client(request, mode, tmp_path, server_key):
    missing = [module for module in CLIENTS[request.param] if importlib.util.find_spec(module) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (dependency group interop)")
    return RealClient(request.param, mode, tmp_path, server_key)


def remote_file_id(dc, file_id):
    """A document's file identifier as bots pass it around: runs of zeros counted, base64url; version 4.30 ends it."""
    document, has_reference, version = 5, 1 << 25, bytes((30, 4))
    content = word(document | has_reference) + word(dc) + string(b"reference") + long(file_id) + long(1) + version
    packed = bytearray()
    zeros = 0
    for byte in content:
        if byte == 0:
            zeros += 1
            continue
        if zeros:
            packed += bytes((0, zeros))
            zeros = 0
        packed.append(byte)
    return base64.urlsafe_b64encode(bytes(packed)).rstrip(b"=").decode()


@pytest.fixture
def seen(datacenter):
    """How many connections the datacenter saw, by index."""
    return lambda: Counter(connection.dc for connection in datacenter.connections)
