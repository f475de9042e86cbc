"""trio's own contract of a half-closeable stream, for every adapter and for their stack."""

import socket

import pytest
from trio.testing import check_half_closeable_stream, check_two_way_stream, lockstep_stream_pair

from telemt_trio.streams.faketls import FakeTLSStream
from telemt_trio.streams.obfuscated import ObfuscatedStream
from telemt_trio.streams.rewind import RewindStream
from telemt_trio.streams.tcp import TCPStream
from telemt_trio.wire.obfuscated2 import aes_ctr

KEYS = (b"\x11" * 32, bytes(16)), (b"\x22" * 32, b"\xff" * 16)  # the second counter wraps around at once


def obfuscated(near, far):
    there, back = KEYS
    return (
        ObfuscatedStream(near, aes_ctr(*back), aes_ctr(*there)),
        ObfuscatedStream(far, aes_ctr(*there), aes_ctr(*back)),
    )


def one_way_obfuscated(near, far):
    there, _ = KEYS
    return ObfuscatedStream(near, None, aes_ctr(*there)), ObfuscatedStream(far, aes_ctr(*there), None)


def fake_tls(near, far):
    return FakeTLSStream(near), FakeTLSStream(far)


def rewound(near, far):
    return RewindStream(near, b""), RewindStream(far, b"")


def a_client_and_its_proxy(near, far):
    return rewound(*obfuscated(*fake_tls(near, far)))


ADAPTERS = [obfuscated, one_way_obfuscated, fake_tls, rewound, a_client_and_its_proxy]


@pytest.fixture(params=ADAPTERS, ids=lambda adapt: adapt.__name__)
def adapt(request):
    return request.param


async def test_a_socket_is_a_half_closeable_stream(socket_streams):
    async def make():
        return socket_streams()

    await check_half_closeable_stream(make, None)


async def test_a_full_socket_waits_for_its_peer(full_streams):
    async def make():
        return tuple(map(TCPStream, socket.socketpair()))

    async def make_full():
        return full_streams()

    await check_half_closeable_stream(make, make_full)


async def test_an_adapter_is_a_half_closeable_stream(adapt, inner_pair):
    async def make():
        return adapt(*inner_pair())

    await check_half_closeable_stream(make, None)


async def test_an_adapter_waits_with_its_inner_stream(adapt):
    async def make():
        return adapt(*lockstep_stream_pair())

    await check_two_way_stream(make, make)
    await check_half_closeable_stream(make, make)
