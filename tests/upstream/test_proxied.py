import contextlib
import socket
from base64 import b64encode

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.errors import ConfigError, UpstreamError
from telemt_trio.net.sockets import close_socket
from telemt_trio.upstream.proxied import Credentials, ProxiedRoad, ask_http, ask_socks4, ask_socks5
from telemt_trio.upstream.settings import UpstreamSettings

V4 = ("192.0.2.50", 443)
V6 = ("2001:db8::50", 443)
V4_WIRE = bytes([192, 0, 2, 50])
V6_WIRE = bytes.fromhex("20010db8000000000000000000000050")
PORT = (443).to_bytes(2, "big")

# The longest conversation of each kind: what the proxy says, and how many bytes it hears before saying it.
SOCKS5_OK = b"\x05\x00\x00\x01\x0a\x00\x00\x01\x1f\x90"  # bound to 10.0.0.1:8080
SOCKS5_PLAIN = [("expect", 3), ("send", b"\x05\x00"), ("expect", 10), ("send", SOCKS5_OK)]
SOCKS4_OK = b"\x00\x5a\x1f\x90\x0a\x00\x00\x01"
HTTP_OK = b"HTTP/1.1 200 Connection established\r\nProxy-Agent: x\r\n\r\n"


@pytest.fixture
def road(table):
    """``road(kind, server, **settings)``: a road through the proxy ``server``."""

    def make(kind, server, **settings):
        return ProxiedRoad(UpstreamSettings(kind=kind, address=server.address, **settings), resolver=table())

    return make


async def receive(sock, size):
    data = b""
    while len(data) < size:
        await trio.lowlevel.wait_readable(sock)
        data += sock.recv(size - len(data)) or b"*closed*"
    return data


async def answer(serve, road, kind, script, *, target=V4, scope=None, **settings):
    """Connect through a scripted proxy and close; what the proxy heard."""
    server = await serve(script)
    sock = await road(kind, server, **settings).connect(target, scope=scope)
    close_socket(sock)
    return server.heard


# ---------------------------------------------------------------- what goes over the wire


async def test_socks5_without_credentials(serve, road):
    heard = await answer(serve, road, "socks5", SOCKS5_PLAIN)
    assert heard == [b"\x05\x01\x00", b"\x05\x01\x00\x01" + V4_WIRE + PORT]


async def test_socks5_to_ipv6(serve, road):
    script = [("expect", 3), ("send", b"\x05\x00"), ("expect", 22), ("send", SOCKS5_OK)]
    heard = await answer(serve, road, "socks5", script, target=V6)
    assert heard[1] == b"\x05\x01\x00\x04" + V6_WIRE + PORT


LOGIN = b"\x01\x05alice\x06sesame"


def socks5_login(login=LOGIN):
    return [
        ("expect", 4),
        ("send", b"\x05\x02"),
        ("expect", len(login)),
        ("send", b"\x01\x00"),
        ("expect", 10),
        ("send", SOCKS5_OK),
    ]


async def test_socks5_with_credentials(serve, road):
    heard = await answer(serve, road, "socks5", socks5_login(), username="alice", password="sesame")
    assert heard[:2] == [b"\x05\x02\x00\x02", LOGIN]


async def test_socks5_credentials_are_only_offered(serve, road):
    script = [("expect", 4), *SOCKS5_PLAIN[1:]]
    heard = await answer(serve, road, "socks5", script, username="alice", password="sesame")
    assert heard == [b"\x05\x02\x00\x02", b"\x05\x01\x00\x01" + V4_WIRE + PORT]


@pytest.mark.parametrize("settings", [{}, {"username": "alice", "password": "sesame"}])
async def test_a_scope_takes_the_place_of_both_socks5_credentials(serve, road, settings):
    login = b"\x01\x03vip\x03vip"
    heard = await answer(serve, road, "socks5", socks5_login(login), scope="vip", **settings)
    assert heard[1] == login


@pytest.mark.parametrize(
    ("settings", "scope", "user_id"),
    [({}, None, b""), ({"user_id": "alice"}, None, b"alice"), ({"user_id": "alice"}, "vip", b"vip")],
)
async def test_socks4(serve, road, settings, scope, user_id):
    request = b"\x04\x01" + PORT + V4_WIRE + user_id + b"\x00"
    script = [("expect", len(request)), ("send", SOCKS4_OK)]
    assert await answer(serve, road, "socks4", script, scope=scope, **settings) == [request]


async def test_socks4_cannot_carry_ipv6(fake_dial, table):
    settings = UpstreamSettings(kind="socks4", address=("192.0.2.1", 1080))
    with pytest.raises(UpstreamError, match="SOCKS4 cannot reach an IPv6 address"):
        await ProxiedRoad(settings, resolver=table(), dial=fake_dial).connect(V6)
    assert fake_dial.calls == []


class HttpRequest:
    """Reads one request header from a stream that a script cannot measure beforehand."""

    def __init__(self, reply=HTTP_OK):
        self.reply = reply

    async def __call__(self, stream):
        self.header = b""
        while b"\r\n\r\n" not in self.header:
            self.header += await stream.receive_some(4096)
        await stream.send_all(self.reply)
        await stream.receive_some(1)


@pytest.fixture
async def http_proxy(nursery):
    async def start(handler):
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handler, [listener])
        return type("Server", (), {"address": listener.socket.getsockname()[:2]})

    return start


@pytest.mark.parametrize(("target", "name"), [(V4, b"192.0.2.50:443"), (V6, b"[2001:db8::50]:443")])
async def test_http_connect(http_proxy, road, target, name):
    request = HttpRequest()
    close_socket(await road("http", await http_proxy(request)).connect(target))
    assert request.header.startswith(b"CONNECT " + name + b" HTTP/1.1\r\nHost: " + name + b"\r\n")
    assert b"Authorization" not in request.header


@pytest.mark.parametrize(("scope", "login"), [(None, b"alice:sesame"), ("vip", b"vip:vip")])
async def test_http_connect_with_credentials(http_proxy, road, scope, login):
    request = HttpRequest()
    server = await http_proxy(request)
    close_socket(await road("http", server, username="alice", password="sesame").connect(V4, scope=scope))
    assert b"\r\nProxy-Authorization: Basic " + b64encode(login) + b"\r\n" in request.header


# ---------------------------------------------------------------- the socket behind it


CONVERSATIONS = {
    "socks5": (SOCKS5_PLAIN, SOCKS5_OK),
    "socks4": ([("expect", 9), ("send", SOCKS4_OK)], SOCKS4_OK),
    "http": ([("expect", 20), ("send", HTTP_OK)], HTTP_OK),
}


@pytest.mark.parametrize("kind", CONVERSATIONS)
async def test_the_socket_is_plain_and_never_blocks(serve, road, kind):
    sock = await road(kind, await serve(CONVERSATIONS[kind][0])).connect(V4)
    try:
        assert type(sock) is socket.socket
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        with pytest.raises(BlockingIOError):
            sock.recv(1)
    finally:
        close_socket(sock)


@pytest.mark.parametrize("kind", CONVERSATIONS)
async def test_what_comes_with_the_answer_is_the_datacenters_and_stays(serve, road, kind):
    script, last = CONVERSATIONS[kind]
    behind = bytes(range(256)) * 40
    server = await serve([*script[:-1], ("send", last + behind)])
    sock = await road(kind, server).connect(V4)
    assert await receive(sock, len(behind)) == behind
    close_socket(sock)


@pytest.mark.parametrize("kind", CONVERSATIONS)
async def test_answers_may_come_a_byte_at_a_time(serve, road, kind):
    script = [("dribble", step[1]) if step[0] == "send" else step for step in CONVERSATIONS[kind][0]]
    sock = await road(kind, await serve([*script, ("send", b"behind")])).connect(V4)
    assert await receive(sock, 6) == b"behind"
    close_socket(sock)


@pytest.mark.parametrize(
    "reply",
    [
        b"\x05\x00\x00\x04" + bytes(16) + PORT,
        b"\x05\x00\x00\x03\x0bproxy.local" + PORT,
        b"\x05\x00\x00\x03\x00" + PORT,
    ],
)
async def test_socks5_replies_of_any_length_are_taken_whole(serve, road, reply):
    server = await serve([*SOCKS5_PLAIN[:-1], ("send", reply + b"behind")])
    sock = await road("socks5", server).connect(V4)
    assert await receive(sock, 6) == b"behind"
    close_socket(sock)


async def test_a_long_header_with_its_end_across_reads(serve, road):
    for size in (4091, 4092, 4093, 4094, 4095, 4096, 9000):
        header = b"HTTP/1.1 200 OK\r\nX: "
        header += b"x" * (size - len(header)) + b"\r\n\r\n"
        sock = await road("http", await serve([("expect", 20), ("send", header + b"behind")])).connect(V4)
        assert await receive(sock, 6) == b"behind"
        close_socket(sock)


async def test_a_proxy_that_does_not_read_is_waited_for(nursery):
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        filling = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                filling += near.send(bytes(4096))
        nursery.start_soon(ask_socks4, near, V4, Credentials("alice"))
        await trio.testing.wait_all_tasks_blocked()
        assert await receive(far, filling) == bytes(filling)
        assert await receive(far, 14) == b"\x04\x01" + PORT + V4_WIRE + b"alice\x00"
        far.send(SOCKS4_OK)
        await trio.testing.wait_all_tasks_blocked()


# ---------------------------------------------------------------- where the proxy is


async def test_a_proxys_name_is_resolved_and_its_addresses_tried_in_order(fake_dial, table, failing):
    resolver = table(**{"proxy.example": ["192.0.2.1", "192.0.2.2"]})
    fake_dial.outcomes = {"192.0.2.1": [failing("ECONNREFUSED")], "192.0.2.2": [failing("EHOSTUNREACH")]}
    settings = UpstreamSettings(kind="socks5", address=("proxy.example", 1080), interface="192.0.2.77")
    with pytest.raises(UpstreamError, match="the proxy cannot be reached: no route to the host") as caught:
        await ProxiedRoad(settings, resolver=resolver, dial=fake_dial).connect(V4)
    assert [(address, options["source"]) for _, address, options in fake_dial.calls] == [
        (("192.0.2.1", 1080), "192.0.2.77"),
        (("192.0.2.2", 1080), "192.0.2.77"),
    ]
    assert caught.value.__cause__.errno == failing("EHOSTUNREACH").errno


async def test_a_name_that_does_not_resolve(fake_dial, table):
    resolver = table(**{"proxy.example": socket.gaierror(-2, "cannot resolve 'proxy.example': unknown")})
    settings = UpstreamSettings(kind="http", address=("proxy.example", 8080))
    with pytest.raises(UpstreamError, match=r"cannot resolve 'proxy\.example'"):
        await ProxiedRoad(settings, resolver=resolver, dial=fake_dial).connect(V4)


# ---------------------------------------------------------------- refusals, and what they tell


SECRETS = {"username": "alice-name", "password": "open-sesame"}
SOCKS5_OFFER = [("expect", 4), ("send", b"\x05\x00")]
ECHOED = b64encode(b"alice-name:open-sesame")


@pytest.mark.parametrize(
    ("kind", "script", "words"),
    [
        ("socks5", [("expect", 4), ("send", b"\x05\xff")], "No acceptable authentication methods"),
        ("socks5", [("expect", 4), ("send", b"\x04\x00")], "Unexpected SOCKS version"),
        ("socks5", [("expect", 4), ("send", b"\x05\x01")], "Unexpected SOCKS authentication method"),
        ("socks5", [("expect", 4), ("send", b"\x05\x02"), ("expect", 24), ("send", b"\x01\x01")], "authentication"),
        (
            "socks5",
            [("expect", 4), ("send", b"\x05\x00"), ("expect", 10), ("send", b"\x05\x05\x00")],
            "answered: Connection refused",
        ),
        ("socks5", [*SOCKS5_OFFER, ("expect", 10), ("send", b"\x05\x63\x00")], "reply code"),
        (
            "socks5",
            [("expect", 4), ("send", b"\x05\x00"), ("expect", 10), ("send", b"\x05\x00\x00\x09")],
            "address type",
        ),
        ("socks5", [*SOCKS5_OFFER, ("expect", 10), ("close",)], "closed the connection"),
        ("socks5", [*SOCKS5_OFFER, ("expect", 10), ("send", b"\x05\x00\x00\x03\x01\xff\0\0")], "cannot be read"),
        ("socks5", [("expect", 4), ("close",)], "closed the connection"),
        ("socks4", [("expect", 9), ("send", b"\x00\x5b" + bytes(6))], "rejected or failed"),
        ("socks4", [("expect", 9), ("send", b"\x00\x01" + bytes(6))], "Invalid reply code"),
        ("socks4", [("expect", 9), ("send", b"\x00"), ("close",)], "closed the connection"),
        ("http", [("expect", 20), ("send", b"HTTP/1.1 407 Auth " + ECHOED + b"\r\n\r\n")], "its answer is 407"),
        ("http", [("expect", 20), ("send", b"HTTP/1.0 502\r\n\r\n")], "its answer is 502"),
        ("http", [("expect", 20), ("send", b"HTTP/1.1 " + ECHOED + b"\r\n\r\n")], "its answer cannot be read"),
        ("http", [("expect", 20), ("send", b"HTTP/1.1\r\n\r\n")], "its answer cannot be read"),
        ("http", [("expect", 20), ("send", ECHOED + b"\r\n\r\n")], "an answer that is not HTTP"),
        ("http", [("expect", 20), ("send", b"HTTP/1.1 200 OK\r\n"), ("close",)], "closed the connection"),
        ("http", [("expect", 20), ("send", b"HTTP/1.1 200 OK\r\nX: " + bytes(20000))], "has no end"),
    ],
)
async def test_a_refusal_names_its_kind_and_never_a_credential(serve, road, kind, script, words):
    secrets = {"user_id": "alice-name"} if kind == "socks4" else SECRETS
    server = await serve(script)
    with pytest.raises(UpstreamError, match=words) as caught:
        await road(kind, server, **secrets).connect(V4)
    for secret in ("alice-name", "open-sesame", ECHOED.decode()):
        assert secret not in str(caught.value)
        assert secret not in repr(caught.value)


@pytest.mark.parametrize("kind", CONVERSATIONS)
async def test_a_reset(serve, road, kind):
    with pytest.raises(UpstreamError, match="the proxy broke off: connection reset by peer"):
        await road(kind, await serve([("expect", 1), ("reset",)])).connect(V4)


@pytest.mark.parametrize("kind", CONVERSATIONS)
async def test_a_proxy_that_falls_silent_holds_nothing_once_cancelled(serve, road, kind, nursery):
    server = await serve([("expect", 3), ("send", b"\x05"[: kind == "socks5"] or b"\0")])
    with trio.CancelScope() as scope:

        async def cancel_when_blocked():
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()

        nursery.start_soon(cancel_when_blocked)
        await road(kind, server).connect(V4)
    assert scope.cancelled_caught


# ---------------------------------------------------------------- settings that cannot work


@pytest.mark.parametrize(
    ("kind", "settings", "key"),
    [
        ("socks5", {"username": "älice", "password": "x"}, "username"),
        ("socks5", {"username": "alice", "password": "пароль"}, "password"),
        ("socks5", {"username": "a" * 256, "password": "x"}, "username"),
        ("socks4", {"user_id": "älice"}, "user_id"),
        ("socks4", {"user_id": "al\0ice"}, "user_id"),
        ("http", {"username": "al:ice", "password": "x"}, "username"),
        ("http", {"username": "alice", "password": "пароль"}, "password"),
    ],
)
def test_credentials_that_the_protocol_cannot_carry_are_refused_at_once(table, kind, settings, key):
    with pytest.raises(ConfigError, match=f"{key}: {kind} cannot carry this value") as caught:
        ProxiedRoad(UpstreamSettings(kind=kind, address=("192.0.2.1", 1), **settings), resolver=table())
    assert all(value not in str(caught.value) for value in settings.values() if len(value) > 1)


def test_a_proxy_without_an_address_is_refused(table):
    with pytest.raises(ConfigError, match="address"):
        ProxiedRoad(UpstreamSettings(kind="socks5"), resolver=table())


# ---------------------------------------------------------------- any answer at all


@pytest.mark.parametrize("ask", [ask_socks5, ask_socks4, ask_http])
@given(
    said=st.binary(max_size=64)
    | st.binary(max_size=30).map(lambda tail: b"\x05\x00\x05\x00\x00" + tail)
    | st.binary(max_size=30).map(lambda tail: b"\x05\x02\x01\x00\x05\x00\x00\x03" + tail)
    | st.binary(max_size=30).map(lambda tail: b"\x00\x5a" + tail)
    | st.binary(max_size=30).map(lambda tail: b"HTTP/1.1 " + tail + b"\r\n\r\n")
)
def test_any_answer_is_a_connection_or_an_upstream_error(ask, said):
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.sendall(said)
        far.shutdown(socket.SHUT_WR)
        with contextlib.suppress(UpstreamError):
            trio.run(ask, near, V4, Credentials("alice", "sesame"))
