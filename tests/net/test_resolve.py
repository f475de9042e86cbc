import socket
import threading

import pytest
import trio
import trio.testing

from telemt_trio.net.resolve import Resolver


@pytest.fixture
def answers(monkeypatch):
    """What the system's resolver says: host -> IPs, or an exception. Records the questions."""
    table = {}
    asked = []

    def getaddrinfo(host, port, **_options):
        asked.append((host, port))
        answer = table[host]
        if isinstance(answer, Exception):
            raise answer
        return [
            (socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in answer
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    table["asked"] = asked
    return table


async def test_an_override_comes_before_everything(answers):
    resolver = Resolver({("Front.Example", 443): "192.0.2.9", ("192.0.2.1", 80): "192.0.2.8"})
    assert await resolver.resolve("front.example", 443) == (("192.0.2.9", 443),)
    assert await resolver.resolve("FRONT.example", 443) == (("192.0.2.9", 443),)
    assert await resolver.resolve("192.0.2.1", 80) == (("192.0.2.8", 80),)
    assert answers["asked"] == []


async def test_an_override_is_for_exactly_its_port(answers):
    answers["front.example"] = ["192.0.2.1"]
    resolver = Resolver({("front.example", 443): "192.0.2.9"})
    assert await resolver.resolve("front.example", 80) == (("192.0.2.1", 80),)


async def test_overrides_can_be_replaced(answers):
    answers["a.example"] = ["192.0.2.1"]
    resolver = Resolver({("a.example", 1): "192.0.2.9"})
    resolver.replace_overrides({("B.example", 1): "2001:db8::1"})
    assert await resolver.resolve("a.example", 1) == (("192.0.2.1", 1),)
    assert await resolver.resolve("b.example", 1) == (("2001:db8::1", 1),)


@pytest.mark.parametrize(
    ("host", "ip"), [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1"), ("[2001:db8::1]", "2001:db8::1")]
)
async def test_a_literal_asks_nobody(answers, host, ip):
    assert await Resolver().resolve(host, 443) == ((ip, 443),)
    assert answers["asked"] == []


async def test_ipv4_first_unless_told_otherwise_each_address_once(answers):
    answers["both.example"] = ["2001:db8::1", "192.0.2.2", "2001:db8::1", "192.0.2.1"]
    four, six = [("192.0.2.2", 7), ("192.0.2.1", 7)], [("2001:db8::1", 7)]
    assert await Resolver().resolve("both.example", 7) == (*four, *six)
    assert await Resolver().resolve("both.example", 7, prefer_v6=True) == (*six, *four)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "Temporary failure"),
        (UnicodeError("label too long"), "not a host name"),
        (ValueError("embedded null character"), "not a host name"),
        ([], "no address"),
    ],
)
async def test_failures_are_os_errors_that_name_the_host(answers, answer, words):
    answers["gone.example"] = answer
    with pytest.raises(OSError, match=f"cannot resolve 'gone.example': .*{words}"):
        await Resolver().resolve("gone.example", 443)


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "nul\0inside", "", "two..dots"])
async def test_what_cannot_be_a_name_is_an_os_error_too(host):
    with pytest.raises(OSError, match="cannot resolve"):
        await Resolver().resolve(host, 443)


async def test_the_systems_resolver_is_really_asked():
    assert await Resolver().resolve("localhost", 443) != ()


class DeadNameServer:
    """Lookups that wait until the test says otherwise."""

    def __init__(self):
        self.release = threading.Event()
        self.entered = threading.Semaphore(0)
        self.left = threading.Semaphore(0)

    def __call__(self, _host, port, **_options):
        self.entered.release()
        self.release.wait()
        self.left.release()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]


async def test_a_cancelled_lookup_returns_at_once(monkeypatch, nursery):
    server = DeadNameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server)
    resolver = Resolver()
    with trio.CancelScope() as scope:

        async def cancel_inside():
            await trio.to_thread.run_sync(server.entered.acquire)
            scope.cancel()

        nursery.start_soon(cancel_inside)
        await resolver.resolve("dead.example", 443)
    assert scope.cancelled_caught
    assert not server.release.is_set()
    server.release.set()
    await trio.to_thread.run_sync(server.left.acquire)


async def test_dead_lookups_keep_nobody_elses_threads(monkeypatch):
    server = DeadNameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server)
    resolver = Resolver({}, trio.CapacityLimiter(3))
    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(resolver.resolve, f"dead{number}.example", 443)
        for _ in range(3):
            await trio.to_thread.run_sync(server.entered.acquire)
        await trio.testing.wait_all_tasks_blocked()
        assert not server.entered.acquire(blocking=False), "the limiter is the resolver's bound"
        assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
        assert await trio.to_thread.run_sync(lambda: "the disk works") == "the disk works"
        server.release.set()
