import socket

import pytest
import trio

from telemt_trio.errors import ConfigError
from telemt_trio.net.sockets import close_socket
from telemt_trio.upstream.direct import DirectRoad
from telemt_trio.upstream.settings import UpstreamSettings

TARGET = ("192.0.2.50", 443)


async def test_the_plain_road_dials_and_nothing_else(fake_dial):
    sock = await DirectRoad(UpstreamSettings(), dial=fake_dial).connect(TARGET)
    close_socket(sock)
    assert [(address, options) for _, address, options in fake_dial.calls] == [
        (TARGET, {"source": None, "device": None})
    ]


async def test_the_source_and_the_device_are_the_settings(fake_dial):
    road = DirectRoad(UpstreamSettings(bind_addresses=("192.0.2.7", "192.0.2.8"), bindtodevice="wg0"), dial=fake_dial)
    for _ in range(2):
        close_socket(await road.connect(TARGET, scope="vip"))
    assert [options for *_, options in fake_dial.calls] == [
        {"source": "192.0.2.7", "device": "wg0"},
        {"source": "192.0.2.8", "device": "wg0"},
    ]


async def test_a_family_without_a_source_never_leaves_from_elsewhere(fake_dial):
    road = DirectRoad(UpstreamSettings(bind_addresses=("192.0.2.7",)), dial=fake_dial)
    with pytest.raises(ConfigError):
        await road.connect(("2001:db8::1", 443))
    assert fake_dial.calls == []


def test_a_device_name_that_cannot_exist_is_refused():
    with pytest.raises(ConfigError, match="15 bytes"):
        DirectRoad(UpstreamSettings(bindtodevice="a-device-name-16"))


async def test_over_loopback():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        road = DirectRoad(UpstreamSettings(interface="lo", bindtodevice="lo"))
        sock = await road.connect(listener.getsockname())
        far, peer = listener.accept()
        with far:
            assert peer[0] == "127.0.0.1"
            close_socket(sock)
            await trio.lowlevel.wait_readable(far)
            assert far.recv(1) == b""
