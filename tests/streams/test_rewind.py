import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.streams.rewind import RewindStream


@given(
    first=st.binary(max_size=40),
    later=st.lists(st.binary(min_size=1, max_size=20)),
    sizes=st.lists(st.none() | st.integers(1, 30)),
)
async def test_the_first_bytes_come_first(scripted, first, later, sizes):
    stream = RewindStream(scripted(*later), first)
    got = b""
    for size in [*sizes, *[None] * (len(later) + len(sizes) + 2)]:
        data = await stream.receive_some(size)
        assert size is None or len(data) <= size
        got += data
    assert got == first + b"".join(later)


async def test_first_bytes_are_there_while_the_inner_stream_is_silent(autojump_clock):
    near, _far = trio.testing.memory_stream_pair()
    stream = RewindStream(near, bytearray(b"hello"))
    with trio.fail_after(1):
        assert await stream.receive_some(2) == b"he"
        assert await stream.receive_some() == b"llo"
    with pytest.raises(trio.TooSlowError), trio.fail_after(1):
        await stream.receive_some()


async def test_a_cancelled_receive_keeps_the_first_bytes(scripted):
    stream = RewindStream(scripted(), b"hello")
    with trio.CancelScope() as scope:
        scope.cancel()
        await stream.receive_some()
    assert scope.cancelled_caught
    assert await stream.receive_some() == b"hello"


@pytest.mark.parametrize("size", [0, -1])
async def test_a_read_of_no_bytes_is_a_mistake(scripted, size):
    stream = RewindStream(scripted(), b"hello")
    with pytest.raises(ValueError):
        await stream.receive_some(size)
    assert await stream.receive_some() == b"hello"


async def test_closing_wins_over_bytes_that_wait(scripted, nursery):
    async def expect_closed(stream):
        with pytest.raises(trio.ClosedResourceError):
            await stream.receive_some()

    for _ in range(20):  # in either order: trio shuffles
        stream = RewindStream(scripted(), b"hello")
        async with trio.open_nursery() as both:
            both.start_soon(expect_closed, stream)
            both.start_soon(stream.aclose)


async def test_sending_passes_through(scripted):
    inner = scripted()
    stream = RewindStream(inner, b"hello")
    await stream.send_all(b"out")
    await stream.send_eof()
    assert inner.sent == [b"out"]
    assert inner.finished
