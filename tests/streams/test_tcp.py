import errno
import socket

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from telemt_trio.net.sockets import close_socket
from telemt_trio.streams.tcp import TCPStream

LINGER_ZERO = b"\x01\x00\x00\x00\x00\x00\x00\x00"


async def test_a_blocking_socket_becomes_non_blocking():
    near, far = socket.socketpair()
    near.setblocking(True)
    with far:
        async with TCPStream(near) as stream:
            assert not near.getblocking()
            assert stream.socket is near


async def test_bytes_arrive_in_order_however_large_the_send(socket_streams, nursery):
    near, far = socket_streams()
    sent = bytes(range(256)) * 8192  # 2 MiB: no socket buffer takes it at once
    got = bytearray()

    async def send():
        await near.send_all(sent)
        await near.send_eof()

    nursery.start_soon(send)
    while data := await far.receive_some(30_000):
        assert len(data) <= 30_000
        got += data
    assert got == sent
    await near.aclose()
    await far.aclose()


async def test_a_cancelled_send_breaks_the_sending_side_alone(full_streams):
    near, far = full_streams()
    with trio.move_on_after(0):
        await near.send_all(b"x")
    with pytest.raises(trio.BrokenResourceError, match="cut short"):
        await near.send_all(b"x")
    with pytest.raises(trio.BrokenResourceError):
        await near.send_eof()
    assert await near.receive_some(1) == b"\x00"
    await near.aclose()
    await far.aclose()


async def test_a_cancelled_send_of_nothing_breaks_nothing(socket_streams):
    near, far = socket_streams()
    with trio.CancelScope() as scope:
        scope.cancel()
        await near.send_all(b"")
    assert scope.cancelled_caught
    await near.send_all(b"x")
    assert await far.receive_some() == b"x"
    await near.aclose()
    await far.aclose()


async def test_a_cancelled_receive_loses_nothing(socket_streams, nursery):
    near, far = socket_streams()
    await far.send_all(b"waiting")
    with trio.CancelScope() as scope:
        scope.cancel()
        await near.receive_some()
    assert scope.cancelled_caught
    assert await near.receive_some() == b"waiting"
    await near.aclose()
    await far.aclose()


async def test_a_reset_is_a_broken_stream(autojump_clock):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    stream = TCPStream(near)
    close_socket(far, reset=True)
    with pytest.raises(trio.BrokenResourceError) as caught:
        await stream.receive_some()
    assert caught.value.__cause__.errno == errno.ECONNRESET
    for _ in range(2):
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"x")
    await stream.aclose()


async def test_the_end_cannot_be_sent_to_a_peer_that_is_gone():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    stream = TCPStream(near)
    close_socket(far, reset=True)
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_eof()
    await stream.aclose()


async def test_closing_from_elsewhere_wakes_who_waits(socket_streams, full_streams, nursery):
    near, far = socket_streams()
    clogged, other = full_streams()

    async def expect_closed(use, *args):
        with pytest.raises(trio.ClosedResourceError):
            await use(*args)

    nursery.start_soon(expect_closed, near.receive_some)
    nursery.start_soon(expect_closed, clogged.send_all, b"x")
    await wait_all_tasks_blocked()
    for stream in (near, clogged, far, other):
        await stream.aclose()


class Canceller:
    """A socket whose reader is cancelled while it reads."""

    def __init__(self, sock, scope):
        self.sock = sock
        self.scope = scope

    def recv(self, size):
        self.scope.cancel()
        return self.sock.recv(size)

    def __getattr__(self, name):
        return getattr(self.sock, name)


async def test_what_was_read_when_the_cancellation_came_is_not_lost():
    near, far = socket.socketpair()
    far.send(b"x")
    with far, trio.CancelScope() as scope:
        assert await TCPStream(Canceller(near, scope)).receive_some() == b"x"
    near.close()
    assert not scope.cancelled_caught


class Waker:
    """A socket that says it has nothing to read the first ``times`` times, though trio was told it has."""

    def __init__(self, sock, times):
        self.sock = sock
        self.times = times

    def recv(self, size):
        if self.times:
            self.times -= 1
            raise BlockingIOError
        return self.sock.recv(size)

    def __getattr__(self, name):
        return getattr(self.sock, name)


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_being_woken_for_nothing_is_no_harm(times):
    near, far = socket.socketpair()
    far.send(b"x")
    stream = TCPStream(Waker(near, times))
    with far:
        with trio.fail_after(5):
            assert await stream.receive_some() == b"x"
        near.close()


async def test_a_read_of_no_bytes_is_a_mistake(socket_streams):
    near, far = socket_streams()
    for size in (0, -1):
        with pytest.raises(ValueError):
            await near.receive_some(size)
    await near.aclose()
    await far.aclose()
