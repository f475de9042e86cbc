"""What a fake datacenter does with a connection once its nonce is read.

A behaviour is an async callable that gets a :class:`~telemt_trio.testing.fake_datacenter.Link`; when it returns, the
connection is closed. Those with a parameter are made by a function.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import trio

from telemt_trio.testing.mtproto_api import DatacenterApi
from telemt_trio.testing.mtproto_session import MTProtoServer
from telemt_trio.wire.framing import Frame, FrameReader, frame, padding_to_client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from telemt_trio.testing.fake_datacenter import Link
    from telemt_trio.testing.mtproto_session import Api

__all__ = [
    "Behaviour",
    "close_after",
    "echo",
    "echo_frames",
    "half_close_after",
    "mtproto",
    "never_answer",
    "read_slowly",
    "reset_after",
]

_READ = 65536
_MAX_FRAME = 1 << 24  # bytes, what the official servers take
_TEST_DC = 10000  # added to the index of a test datacenter

Behaviour: TypeAlias = "Callable[[Link], Awaitable[None]]"


async def echo(link: Link) -> None:
    """Send back every byte as it comes, framing or not, until the proxy closes its sending side."""
    while data := await link.receive():
        await link.send(data)


async def echo_frames(link: Link) -> None:
    """Send back every frame's payload in a frame of its own, padded anew where the framing pads."""
    await _frames(link, lambda payload: [payload])


def mtproto(api: Api | None = None) -> Behaviour:
    """A behaviour that creates keys and answers requests; ``api`` is a fresh ``DatacenterApi`` unless given."""
    answers = api

    async def behave(link: Link) -> None:
        nonlocal answers
        datacenter = link.datacenter
        if answers is None:
            answers = DatacenterApi(datacenter.unix)
        server = MTProtoServer(datacenter.keyring, answers, abs(link.record.dc) % _TEST_DC)
        link.record.requests = server.requests
        await _frames(link, server.receive)

    return behave


async def _frames(link: Link, answer: Callable[[bytes], list[bytes]]) -> None:
    """Answer every frame; 0 to 3 bytes of padding, because some clients strip no more."""
    tag = link.record.tag
    reader = FrameReader(tag, _MAX_FRAME)
    padding = partial(padding_to_client, link.datacenter.entropy)
    while data := await link.receive():
        reader.receive_data(data)
        while isinstance(event := reader.next_event(), Frame):
            link.record.quick_acks += event.quick_ack
            for payload in answer(event.payload):
                await link.send(frame(tag, payload, padding=padding))


async def never_answer(link: Link) -> None:
    """Read everything and say nothing, until the proxy closes its sending side."""
    while await link.receive():
        pass


def close_after(size: int) -> Behaviour:
    """Echo ``size`` bytes, then close; what comes later is lost."""

    async def behave(link: Link) -> None:
        await _echo_up_to(link, size)

    return behave


def half_close_after(size: int) -> Behaviour:
    """Echo ``size`` bytes, close the sending side, and read until the proxy closes its own."""

    async def behave(link: Link) -> None:
        await _echo_up_to(link, size)
        await link.send_eof()
        while await link.receive():
            pass

    return behave


def reset_after(size: int) -> Behaviour:
    """Echo ``size`` bytes, then reset the connection."""

    async def behave(link: Link) -> None:
        await _echo_up_to(link, size)
        link.reset()

    return behave


def read_slowly(size: int, pause: float) -> Behaviour:
    """Read ``size`` bytes at a time with ``pause`` seconds (of trio's clock) before each, and say nothing.

    Together with ``receive_buffer`` this is a datacenter that pushes back.
    """

    async def behave(link: Link) -> None:
        data = b"more"
        while data:
            await trio.sleep(pause)
            data = await link.receive(size)

    return behave


async def _echo_up_to(link: Link, size: int) -> None:
    while (left := size - link.record.sent_size) > 0 and (data := await link.receive(min(left, _READ))):
        await link.send(data)
