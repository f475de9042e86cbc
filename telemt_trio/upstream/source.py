"""The local address a connection to Telegram leaves from."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import attrs
import trio

from telemt_trio.errors import ConfigError
from telemt_trio.net.interfaces import interface_addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from telemt_trio.upstream.settings import UpstreamSettings

__all__ = ["SourceAddress"]

LOOK_AGAIN = 30.0  # seconds for which the addresses of a device are believed


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@attrs.define
class SourceAddress:
    """Chooses the source address for each connection of one upstream.

    ``bind_addresses`` of the target's family take turns; if ``interface`` names a device too, only those that the
    device has. Without them ``interface`` itself is the address, or a device whose first address of the family counts.
    An operator who names a source means it: where none fits, the connection fails rather than leave from elsewhere.
    """

    _settings: UpstreamSettings
    _list_addresses: Callable[[], Mapping[str, tuple[str, ...]]] = interface_addresses
    _turn: int = 0
    _sources: tuple[str, ...] = ()
    _device_addresses: tuple[str, ...] = ()
    _look_again_at: float = float("-inf")

    def __attrs_post_init__(self) -> None:
        for text in self._settings.bind_addresses:
            if not _is_ip(text):
                raise ConfigError(f"upstream {self._settings.label}: bind_addresses: {text!r} is not an IP address")
        # In the kernel's spelling, to be compared with what the device has.
        self._sources = tuple(str(ipaddress.ip_address(text)) for text in self._settings.bind_addresses)

    def __bool__(self) -> bool:
        """Does the operator name a source at all?"""
        return bool(self._sources or self._settings.interface)

    def pick(self, *, v6: bool) -> str | None:
        """The source for a target of this family, or None for the kernel's choice. Raises ConfigError if none fits."""
        interface = self._settings.interface
        device = None if interface is None or _is_ip(interface) else self._addresses_of(interface)
        if self._sources:
            usable = [ip for ip in self._sources if device is None or ip in device]
        elif interface is None:
            return None
        else:
            # A link-local address reaches nobody beyond the next router.
            usable = [interface] if device is None else [ip for ip in device if not ip.startswith("fe80:")]
        fitting = [ip for ip in usable if (":" in ip) == v6]
        if not fitting:
            key = "bind_addresses" if self._sources else f"interface {interface}"
            raise ConfigError(f"no source address: {key} gives no IPv{6 if v6 else 4} address of this host")
        if not self._sources:
            return fitting[0]
        self._turn += 1
        return fitting[(self._turn - 1) % len(fitting)]

    def _addresses_of(self, device: str) -> tuple[str, ...]:
        now = trio.current_time()
        if now >= self._look_again_at:
            self._device_addresses = tuple(self._list_addresses().get(device, ()))
            self._look_again_at = now + LOOK_AGAIN
        return self._device_addresses
