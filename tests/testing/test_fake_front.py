from __future__ import annotations

import socket
import struct

import pytest
import trio
import trio.testing

from telemt_trio.testing import fake_front
from telemt_trio.testing.fake_front import ALERT, open_fake_front


async def visit(front, *data, end=True):
    """Send ``data``, end the stream, and read to the end."""
    async with await trio.open_tcp_stream(*front.address) as stream:
        for piece in data:
            await stream.send_all(piece)
        if end:
            await stream.send_eof()
        return b"".join([piece async for piece in stream])


async def seen(front):
    visit = await front.wait_for(1)
    await visit.ended.wait()
    return bytes(visit.received), visit.sent_size, visit.end


@pytest.mark.parametrize(
    ("behaviour", "told", "end"),
    [
        (fake_front.echo, b"hello", "eof"),
        (fake_front.collect, b"", "eof"),
        (fake_front.answer(b"page"), b"page", "eof"),
        (fake_front.alert(), ALERT, "eof"),
        (fake_front.answer_at_end(b"late"), b"late", "eof"),
        (fake_front.half_close(b"first"), b"first", "eof"),
        (fake_front.half_close(), b"", "eof"),
        (fake_front.flood(100_000), bytes(100_000), "eof"),
        (fake_front.close_after(5), b"", "closed"),
    ],
)
async def test_what_a_visitor_gets_and_leaves(behaviour, told, end):
    async with open_fake_front(behaviour=behaviour) as front:
        assert await visit(front, b"hello") == told
        assert await seen(front) == (b"hello", len(told), end)


@pytest.mark.parametrize("behaviour", [fake_front.answer(b"x"), fake_front.alert(), fake_front.flood(5)])
async def test_who_says_nothing_gets_nothing(behaviour):
    async with open_fake_front(behaviour=behaviour) as front:
        assert await visit(front) == b""
        assert await seen(front) == (b"", 0, "eof")


async def test_a_reset_by_the_front():
    async with open_fake_front(behaviour=fake_front.reset_after(3)) as front:
        with pytest.raises(trio.BrokenResourceError):
            await visit(front, b"hello", end=False)
        assert await seen(front) == (b"hel", 0, "closed")


async def test_a_reset_by_the_visitor():
    async with open_fake_front() as front:
        stream = await trio.open_tcp_stream(*front.address)
        await stream.send_all(b"hello")
        assert await stream.receive_some() == b"hello"
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()
        assert await seen(front) == (b"hello", 5, "reset")


async def test_visits_are_in_order_and_end_with_the_front():
    async with open_fake_front(behaviour=fake_front.collect) as front:
        streams = []
        for number in range(3):
            stream = await trio.open_tcp_stream(*front.address)
            await stream.send_all(bytes([number]))
            arrived = await front.wait_for(number + 1)
            while not arrived.received:
                await trio.testing.wait_all_tasks_blocked()
            streams.append(stream)
        assert [bytes(visit.received) for visit in front.visits] == [b"\0", b"\1", b"\2"]
    for stream in streams:
        assert await stream.receive_some() == b""
        await stream.aclose()
