"""Telegram's datacenters: which address an index from a client's nonce stands for.

An index is a signed 16-bit number. 1 to 5 are the production datacenters, a negative number is the media cluster of the
same datacenter, 203 is a CDN, 10000 + n a test datacenter; 0 and random values come from clients that do not know.
Everything here is a pure function of the index and the operator's tables.

The addresses are those that every MTProxy server uses; clients know them too (``help.getConfig``).
"""

from __future__ import annotations

import ipaddress
from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemt_trio.net.dial import Address

__all__ = [
    "BUILT_IN_OVERRIDES",
    "DATACENTERS",
    "DC_PORT",
    "DcTarget",
    "endpoints_of",
    "groups",
    "parse_endpoint",
    "parse_overrides",
    "resolve_dc",
]

DC_PORT = 443

# index: (IPv4, IPv6)
DATACENTERS: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        1: ("149.154.175.50", "2001:b28:f23d:f001::a"),
        2: ("149.154.167.51", "2001:67c:4e8:f002::a"),
        3: ("149.154.175.100", "2001:b28:f23d:f003::a"),
        4: ("149.154.167.91", "2001:67c:4e8:f004::a"),
        5: ("149.154.171.5", "2001:b28:f23f:f005::a"),
    }
)

# The CDN has no row of its own: it is an override that the operator may replace. There is none for -203.
BUILT_IN_OVERRIDES: Mapping[int, tuple[Address, ...]] = MappingProxyType({203: (("91.105.192.100", DC_PORT),)})

_USUAL_DC = 2  # for an unknown index when the operator names none
_LAST_RESORT_DC = 1  # when the one that the operator names does not exist


@attrs.frozen
class DcTarget:
    """Where a connection goes.

    ``dc_idx`` is the signed index as the client sent it (the datacenter must see the same). ``cluster`` is the
    datacenter that is dialled, always positive: measurements are kept by it. ``known`` is False when the index stands
    in no table and the default datacenter takes its place.
    """

    dc_idx: int
    cluster: int
    address: Address
    known: bool


def parse_endpoint(text: str) -> Address:
    """``"203.0.113.1:443"`` or ``"[2001:db8::1]:443"`` as an address. Raises ValueError in one sentence."""
    host, colon, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if not (colon and port.isascii() and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65536):
        raise ValueError(f"expected ip:port, got {text!r}")
    if bracketed != (":" in host):
        raise ValueError(f"an IPv6 address needs brackets, an IPv4 address none: {text!r}")
    try:
        ip = ipaddress.IPv6Address(host) if bracketed else ipaddress.IPv4Address(host)
    except ValueError:
        raise ValueError(f"expected ip:port, got {text!r}") from None
    return str(ip), int(port)


def parse_overrides(
    raw: Mapping[str, str | Sequence[str]],
) -> tuple[dict[int, tuple[Address, ...]], tuple[str, ...]]:
    """The configuration's ``dc_overrides`` as (table, warnings).

    Keys are signed decimal indexes, values one ``ip:port`` or several; blank values count as absent and what cannot be
    read is skipped with a warning. The table always has 203.
    """
    table: dict[int, tuple[Address, ...]] = dict(BUILT_IN_OVERRIDES)
    warnings: list[str] = []
    for key, value in raw.items():
        if not _is_index(key):
            warnings.append(f"dc_overrides: {key!r} is not a datacenter index")
            continue
        addresses: list[Address] = []
        for text in [value] if isinstance(value, str) else value:
            if not text.strip():
                continue
            try:
                addresses.append(parse_endpoint(text))
            except ValueError as error:
                warnings.append(f"dc_overrides.{key}: {error}")
        if addresses:
            table[int(key)] = tuple(addresses)
    return table, tuple(warnings)


def _is_index(text: str) -> bool:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 5):
        return False
    return str(int(text)) == text and -32768 <= int(text) <= 32767


def resolve_dc(
    dc_idx: int,
    *,
    overrides: Mapping[int, Sequence[Address]] = BUILT_IN_OVERRIDES,
    default_dc: int | None = None,
    prefer_v6: bool = False,
) -> DcTarget:
    """Where a client with this index is connected. Never fails.

    First the override of exactly this signed index: -2 does not fall back to an override of 2, because media clusters
    have addresses of their own. An override's first address of the preferred family counts, else its first. Then the
    table by absolute value. Else ``default_dc`` (2 if None), or datacenter 1 if that is not in the table.
    """
    addresses = overrides.get(dc_idx)
    if addresses:
        address = next((a for a in addresses if (":" in a[0]) == prefer_v6), addresses[0])
        return DcTarget(dc_idx=dc_idx, cluster=abs(dc_idx), address=address, known=True)
    cluster = abs(dc_idx)
    known = cluster in DATACENTERS
    if not known:
        cluster = _USUAL_DC if default_dc is None else default_dc
        if cluster not in DATACENTERS:
            cluster = _LAST_RESORT_DC
    address = (DATACENTERS[cluster][prefer_v6], DC_PORT)
    return DcTarget(dc_idx=dc_idx, cluster=cluster, address=address, known=known)


def groups(overrides: Mapping[int, Sequence[Address]]) -> tuple[int, ...]:
    """The datacenters whose reachability is worth knowing: the table's, and every positive override."""
    return tuple(sorted({*DATACENTERS, *(dc for dc, addresses in overrides.items() if dc > 0 and addresses)}))


def endpoints_of(dc: int, overrides: Mapping[int, Sequence[Address]]) -> tuple[Address, ...]:
    """Every address that stands for the group ``dc``: the override's, else the table's."""
    return tuple(overrides.get(dc) or ((host, DC_PORT) for host in DATACENTERS[dc]))
