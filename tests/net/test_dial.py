import errno
import socket

import pytest
import trio
import trio.testing

from telemt_trio.net.dial import dial, dial_any
from telemt_trio.net.sockets import close_socket


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def refusing():
    """An address where nobody listens: bound, so that nobody else takes it."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()


@pytest.fixture
def black_hole():
    """An address that drops what arrives: a listener whose queue is full."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        with socket.create_connection(sock.getsockname()):
            yield sock.getsockname()


async def test_the_socket_is_plain_connected_and_never_blocks(listener):
    sock = await dial(listener.getsockname())
    far, _ = listener.accept()
    try:
        assert type(sock) is socket.socket
        assert sock.getpeername() == listener.getsockname()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        with pytest.raises(BlockingIOError):
            sock.recv(1)
        far.send(b"hello")
        await trio.lowlevel.wait_readable(sock)
        assert sock.recv(100) == b"hello"
    finally:
        far.close()
        close_socket(sock)


async def test_ipv6():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        sock = await dial(("::1", listener.getsockname()[1]))
        assert sock.family is socket.AF_INET6
        close_socket(sock)


async def test_a_refused_connection_is_an_error_that_leaves_nothing_open(refusing):
    with pytest.raises(ConnectionRefusedError):
        await dial(refusing)


@pytest.mark.parametrize("host", ["localhost", "proxy.example", "", "127.1", "1:2", "::1::", "[::1]", "\0"])
async def test_only_ip_literals_are_dialled_because_a_name_would_block(host):
    with pytest.raises((OSError, ValueError)):
        await dial((host, 80))


async def test_the_source_address_is_what_the_peer_sees(listener):
    sock = await dial(listener.getsockname(), source="127.0.0.7")
    far, peer = listener.accept()
    far.close()
    close_socket(sock)
    assert peer[0] == "127.0.0.7"


async def test_a_source_of_another_host_or_family_is_an_error(listener):
    with pytest.raises(OSError) as caught:
        await dial(listener.getsockname(), source="192.0.2.77")
    assert caught.value.errno == errno.EADDRNOTAVAIL
    with pytest.raises(OSError):
        await dial(listener.getsockname(), source="::1")


async def test_a_device(listener):
    close_socket(await dial(listener.getsockname(), device="lo"))
    with pytest.raises(OSError) as caught:
        await dial(listener.getsockname(), device="no-such-dev")
    assert caught.value.errno == errno.ENODEV


async def test_a_cancelled_dial_leaves_nothing_open(black_hole, nursery):
    with trio.CancelScope() as scope:
        nursery.start_soon(cancel_when_blocked, scope)
        await dial(black_hole)
    assert scope.cancelled_caught


async def cancel_when_blocked(scope):
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()


async def test_a_dial_that_is_cancelled_before_it_starts_leaves_nothing_open(listener):
    with trio.CancelScope() as scope:
        scope.cancel()
        await dial(listener.getsockname())
    assert scope.cancelled_caught


async def test_a_connect_that_needs_no_waiting_is_still_a_checkpoint(listener, monkeypatch):
    class Instant(socket.socket):
        def connect(self, address):
            self.setblocking(True)
            super().connect(address)
            self.setblocking(False)

    monkeypatch.setattr(socket, "socket", Instant)
    with trio.CancelScope() as scope:
        scope.cancel()
        await dial(listener.getsockname())
    assert scope.cancelled_caught


async def test_the_first_address_that_answers(refusing, listener):
    sock = await dial_any([refusing, listener.getsockname(), refusing])
    assert sock.getpeername() == listener.getsockname()
    close_socket(sock)


async def test_no_address_answers(refusing):
    with pytest.raises(ConnectionRefusedError):
        await dial_any([("not an address", 1), refusing])
    with pytest.raises(OSError, match="no address"):
        await dial_any([])
