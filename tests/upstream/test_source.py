import pytest
import trio

from telemt_trio.errors import ConfigError
from telemt_trio.upstream.settings import UpstreamSettings
from telemt_trio.upstream.source import SourceAddress

DEVICES = {"eth0": ("fe80::1", "192.0.2.1", "192.0.2.2", "2001:db8::1"), "wg0": ("fe80::2",)}


def source(**settings):
    return SourceAddress(UpstreamSettings(**settings), lambda: DEVICES)


def test_without_a_wish_the_kernel_chooses():
    plain = source()
    assert not plain
    assert plain.pick(v6=False) is None


def test_addresses_of_the_targets_family_take_turns():
    turns = source(bind_addresses=("192.0.2.7", "2001:db8::7", "192.0.2.8"))
    assert turns
    assert [turns.pick(v6=False) for _ in range(3)] == ["192.0.2.7", "192.0.2.8", "192.0.2.7"]
    assert [turns.pick(v6=True) for _ in range(2)] == ["2001:db8::7"] * 2


def test_an_interface_may_be_an_address():
    assert source(interface="192.0.2.7").pick(v6=False) == "192.0.2.7"


async def test_an_interface_may_be_a_device_whose_first_address_of_the_family_counts():
    assert source(interface="eth0").pick(v6=False) == "192.0.2.1"
    assert source(interface="eth0").pick(v6=True) == "2001:db8::1"


async def test_only_addresses_that_the_device_has_are_used():
    turns = source(interface="eth0", bind_addresses=("192.0.2.9", "192.0.2.2", "2001:DB8:0::1"))
    assert [turns.pick(v6=False) for _ in range(2)] == ["192.0.2.2"] * 2
    assert turns.pick(v6=True) == "2001:db8::1"


@pytest.mark.parametrize(
    ("settings", "v6"),
    [
        ({"bind_addresses": ("192.0.2.7",)}, True),
        ({"bind_addresses": ("2001:db8::7",)}, False),
        ({"bind_addresses": ("192.0.2.9",), "interface": "eth0"}, False),
        ({"interface": "192.0.2.7"}, True),
        ({"interface": "2001:db8::7"}, False),
        ({"interface": "wg0"}, True),
        ({"interface": "no-such"}, False),
    ],
)
async def test_a_source_that_does_not_fit_is_an_error_and_never_ignored(settings, v6):
    with pytest.raises(ConfigError, match=f"no source address: .* IPv{6 if v6 else 4}"):
        source(**settings).pick(v6=v6)


def test_what_is_no_address_is_refused_at_once():
    with pytest.raises(ConfigError, match="'eth0' is not an IP address"):
        source(bind_addresses=("192.0.2.1", "eth0"))


async def test_a_device_is_looked_at_again_after_a_while(mock_clock):
    devices = {"eth0": ("192.0.2.1",)}
    asked = []

    def look():
        asked.append(trio.current_time())
        return dict(devices)

    moving = SourceAddress(UpstreamSettings(interface="eth0"), look)
    assert moving.pick(v6=False) == "192.0.2.1"
    devices["eth0"] = ("192.0.2.2",)
    mock_clock.jump(29)
    assert moving.pick(v6=False) == "192.0.2.1"
    mock_clock.jump(1)
    assert moving.pick(v6=False) == "192.0.2.2"
    assert len(asked) == 2
