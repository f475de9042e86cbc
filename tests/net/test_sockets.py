import errno
import ipaddress
import socket

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.net.sockets import bind_listener, close_socket, listener_options, peer_address

TCP = socket.IPPROTO_TCP


@pytest.fixture
def pair():
    """Two ends of one TCP connection over loopback, non-blocking."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    near.setblocking(False)
    far.setblocking(False)
    yield near, far
    near.close()
    far.close()


def connect_through(listener):
    """(our accepted socket, the client's socket) of a connection to ``listener``."""
    listener.setblocking(True)
    client = socket.create_connection(listener.getsockname()[:2])
    accepted, _ = listener.accept()
    return accepted, client


# ---------------------------------------------------------------- closing


async def test_closing_wakes_whoever_waits_for_the_socket(pair, nursery):
    near, _ = pair
    woken = trio.Event()

    async def wait():
        with pytest.raises(trio.ClosedResourceError):
            await trio.lowlevel.wait_readable(near)
        woken.set()

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    close_socket(near)
    await woken.wait()


async def test_closing_twice_is_allowed(pair):
    near, _ = pair
    close_socket(near)
    close_socket(near)
    close_socket(near, reset=True)


async def test_a_plain_close_ends_the_stream_in_order(pair):
    near, far = pair
    near.send(b"last words")
    close_socket(near)
    await trio.lowlevel.wait_readable(far)
    assert far.recv(100) == b"last words"
    assert far.recv(100) == b""


async def test_a_reset_is_what_the_peer_sees(pair):
    near, far = pair
    close_socket(near, reset=True)
    await trio.lowlevel.wait_readable(far)
    with pytest.raises(ConnectionResetError):
        far.recv(100)


async def test_resetting_what_was_never_connected_only_closes_it():
    sock = socket.socket()
    close_socket(sock, reset=True)
    assert sock.fileno() == -1


# ---------------------------------------------------------------- listeners


def test_accepted_sockets_inherit_the_options():
    with bind_listener("127.0.0.1", 0, backlog=5, keepalive=15, user_timeout=90, mss=256) as listener:
        accepted, client = connect_through(listener)
        with accepted, client:
            assert accepted.getsockopt(TCP, socket.TCP_NODELAY) == 1
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert accepted.getsockopt(TCP, socket.TCP_KEEPIDLE) == 15
            assert accepted.getsockopt(TCP, socket.TCP_KEEPINTVL) == 15
            assert accepted.getsockopt(TCP, socket.TCP_USER_TIMEOUT) == 90_000
            assert accepted.getsockopt(TCP, socket.TCP_MAXSEG) <= 256


def test_what_is_not_asked_for_stays_the_kernels_choice():
    with bind_listener("127.0.0.1", 0) as listener:
        accepted, client = connect_through(listener)
        with accepted, client:
            assert accepted.getsockopt(TCP, socket.TCP_NODELAY) == 1
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
            assert accepted.getsockopt(TCP, socket.TCP_USER_TIMEOUT) == 0
            assert accepted.getsockopt(TCP, socket.TCP_MAXSEG) > 1000


@pytest.mark.parametrize(("asked", "set_to"), [(0.2, 1), (15, 15), (10**6, 32767)])
def test_a_keepalive_stays_within_what_the_kernel_takes(asked, set_to):
    assert (TCP, socket.TCP_KEEPIDLE, set_to) in listener_options(keepalive=asked)
    bind_listener("127.0.0.1", 0, keepalive=asked).close()


def test_a_listener_never_blocks():
    with bind_listener("127.0.0.1", 0) as listener, pytest.raises(BlockingIOError):
        listener.accept()


def test_both_families_share_a_port():
    with bind_listener("::1", 0) as six:
        port = six.getsockname()[1]
        with bind_listener("127.0.0.1", port) as four:
            assert four.getsockname()[1] == port
    with bind_listener("::", 0) as six, bind_listener("0.0.0.0", six.getsockname()[1]):
        assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_a_taken_port_is_an_error_that_leaves_nothing_open():
    with bind_listener("127.0.0.1", 0) as listener, pytest.raises(OSError) as caught:
        bind_listener("127.0.0.1", listener.getsockname()[1])
    assert caught.value.errno == errno.EADDRINUSE


def test_several_processes_may_share_a_port_when_told_to():
    with (
        bind_listener("127.0.0.1", 0, reuse_port=True) as one,
        bind_listener("127.0.0.1", one.getsockname()[1], reuse_port=True) as other,
    ):
        assert one.getsockname() == other.getsockname()


# ---------------------------------------------------------------- peers


@pytest.mark.parametrize(
    ("sockname", "peer"),
    [
        (("192.0.2.1", 1234), ("192.0.2.1", 1234)),
        (("::ffff:192.0.2.1", 1234, 0, 0), ("192.0.2.1", 1234)),
        (("::ffff:c000:201", 1234, 0, 0), ("192.0.2.1", 1234)),
        (("2001:db8::1", 1234, 0, 0), ("2001:db8::1", 1234)),
        (("fe80::1%eth0", 1234, 0, 2), ("fe80::1", 1234)),
        (("::ffff:0:1:2", 1, 0, 0), ("::ffff:0:1:2", 1)),
    ],
)
def test_one_spelling_per_peer(sockname, peer):
    assert peer_address(sockname) == peer


@given(st.ip_addresses(), st.integers(0, 65535))
def test_a_peer_is_named_without_zone_or_mapping(address, port):
    mapped = getattr(address, "ipv4_mapped", None)
    host, same_port = peer_address((str(address), port, 0, 0))
    assert (ipaddress.ip_address(host), same_port) == (mapped or address, port)


def test_a_dual_stack_socket_names_an_ipv4_client_as_ipv4():
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener,
        socket.create_connection(("127.0.0.1", listener.getsockname()[1])) as client,
    ):
        accepted, sockname = listener.accept()
        accepted.close()
        assert sockname[0] != "127.0.0.1"
        assert peer_address(sockname) == ("127.0.0.1", client.getsockname()[1])
