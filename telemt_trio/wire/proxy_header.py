r"""PROXY protocol: the line or block in which a load balancer names the client it speaks for.

::

    version 1   PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n        or   PROXY UNKNOWN ...\r\n

    version 2   0                                    12    13       14       16
                | 0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a | 2c | family | length | addresses, ports, TLVs

``c`` is the command: 0 (LOCAL) speaks for nobody, 1 (PROXY) for the addresses that follow.

Source: haproxy.org/download/2.9/doc/proxy-protocol.txt.
"""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

import attrs

from telemt_trio.errors import LocalProtocolError, RemoteProtocolError
from telemt_trio.wire.need_data import NEED_DATA, NeedData

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = ["Address", "ProxyHeader", "ProxyHeaderReader", "proxy_header_v1", "proxy_header_v2"]

Address: TypeAlias = "tuple[str, int]"  # a literal IP address, the short form; a port

_PREFIX_1: Final = b"PROXY "
_SIGNATURE_2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_MAX_LINE_1: Final = 256  # CRLF included; the protocol itself needs 107
_FIXED_2: Final = 16
_MAX_REST_2: Final = 216  # the largest address block (two unix paths)
_VERSION_2: Final = 2
_LOCAL: Final = 0
_PROXY: Final = 1
_UNSPEC: Final = 0
_INET: Final = 1
_INET6: Final = 2
_STREAM: Final = 1


@attrs.frozen
class ProxyHeader:
    """Whom a connection speaks for. None for both where the header says nothing: the peer of the socket stands then.

    Hosts are literal addresses; an IPv4 address written inside IPv6 is the IPv4 address.
    """

    source: Address | None = attrs.field(repr=False)
    destination: Address | None = attrs.field(repr=False)


_NOBODY: Final = ProxyHeader(None, None)


class ProxyHeaderReader:
    """The parser of the header that opens a connection: :meth:`receive_data`, then :meth:`next_event`.

    Nothing of the connection that follows is consumed: it is in :attr:`trailing`. An error is final.
    """

    __slots__ = ("_buffer", "_end", "_header")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._header: ProxyHeader | None = None
        self._end = 0

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes, cut anywhere."""
        self._buffer += data

    def next_event(self) -> ProxyHeader | NeedData:
        """The header once it is complete, the same one on every later call.

        Raises :class:`RemoteProtocolError` as soon as the bytes cannot become a header.
        """
        if self._header is None:
            head = bytes(self._buffer[:_FIXED_2])
            if head[:1] == _PREFIX_1[:1]:
                self._read_line(head)
            elif head:
                self._read_block(head)
        return NEED_DATA if self._header is None else self._header

    @property
    def trailing(self) -> bytes:
        """What came behind the header: the first bytes of the connection. Empty until the header is complete."""
        return bytes(self._buffer[self._end :]) if self._header is not None else b""

    def _read_line(self, head: bytes) -> None:
        if not _PREFIX_1.startswith(head[: len(_PREFIX_1)]):
            raise RemoteProtocolError("no PROXY header")
        end = self._buffer.find(b"\r\n", 0, _MAX_LINE_1)
        if end >= 0:
            self._header = _parse_line(bytes(self._buffer[:end]))
            self._end = end + 2
        elif len(self._buffer) >= _MAX_LINE_1:
            raise RemoteProtocolError("PROXY line without an end")

    def _read_block(self, head: bytes) -> None:
        if not _SIGNATURE_2.startswith(head[: len(_SIGNATURE_2)]):
            raise RemoteProtocolError("no PROXY header")
        if len(head) < _FIXED_2:
            return
        length = int.from_bytes(head[14:], "big")
        if head[12] >> 4 != _VERSION_2 or head[12] & 0xF > _PROXY or length > _MAX_REST_2:
            raise RemoteProtocolError("unknown PROXY version or command, or header too long")
        end = _FIXED_2 + length
        if len(self._buffer) >= end:
            self._header = _parse_block(head, bytes(self._buffer[_FIXED_2:end]))
            self._end = end


def _parse_line(line: bytes) -> ProxyHeader:
    """Version 1 without its CRLF. The family word is not held against the addresses, words behind them are ignored."""
    words = line.split()[1:]
    if words[:1] == [b"UNKNOWN"]:
        return _NOBODY
    if len(words) < 5 or words[0] not in {b"TCP4", b"TCP6"}:
        raise RemoteProtocolError("PROXY line names no addresses")
    source, destination, source_port, destination_port = words[1:5]
    return ProxyHeader(
        (_host_of_text(source), _port_of_text(source_port)),
        (_host_of_text(destination), _port_of_text(destination_port)),
    )


def _parse_block(head: bytes, rest: bytes) -> ProxyHeader:
    """Version 2: ``rest`` are the addresses and whatever follows them. The transport (stream, datagram) is ignored."""
    family = head[13] >> 4
    if head[12] & 0xF == _LOCAL or family == _UNSPEC:
        return _NOBODY
    if family not in {_INET, _INET6}:
        raise RemoteProtocolError("PROXY address family is not IP")
    size = 4 if family == _INET else 16
    ports = rest[2 * size : 2 * size + 4]
    if len(ports) < 4:
        raise RemoteProtocolError("PROXY addresses are cut short")
    hosts = [_host_of_bytes(rest[at : at + size]) for at in (0, size)]
    return ProxyHeader(
        (hosts[0], int.from_bytes(ports[:2], "big")),
        (hosts[1], int.from_bytes(ports[2:], "big")),
    )


def _unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def _ip(text: str) -> IPv4Address | IPv6Address:
    """Raises ``AddressValueError``. A link-local scope is dropped: only the host that wrote it can use it."""
    return _unmapped(IPv6Address(text.partition("%")[0])) if ":" in text else IPv4Address(text)


def _host_of_bytes(packed: bytes) -> str:
    return str(_unmapped(IPv6Address(packed) if len(packed) == 16 else IPv4Address(packed)))


def _host_of_text(word: bytes) -> str:
    try:
        return str(_ip(word.decode("ascii")))
    except (AddressValueError, UnicodeDecodeError):
        # The cause would quote the address.
        raise RemoteProtocolError("PROXY line with a bad address") from None


def _port_of_text(word: bytes) -> int:
    if not word.isdigit() or len(word) > 5 or int(word) > 0xFFFF:
        raise RemoteProtocolError("PROXY line with a bad port")
    return int(word)


def _endpoints(
    source: Address | None, destination: Address | None
) -> tuple[IPv4Address | IPv6Address, int, IPv4Address | IPv6Address, int] | None:
    """Both ends if a header can hold them: of one family. Raises :class:`LocalProtocolError` for what is no address."""
    if source is None or destination is None:
        return None
    try:
        from_ip, to_ip = _ip(source[0]), _ip(destination[0])
    except AddressValueError:
        raise LocalProtocolError("a PROXY header takes literal addresses") from None
    return (from_ip, source[1], to_ip, destination[1]) if from_ip.version == to_ip.version else None


def proxy_header_v1(source: Address | None, destination: Address | None) -> bytes:
    """The text form, from the client's address to the one it connected to; ``UNKNOWN`` for None or mixed families."""
    ends = _endpoints(source, destination)
    if ends is None:
        return b"PROXY UNKNOWN\r\n"
    from_ip, from_port, to_ip, to_port = ends
    family = "TCP4" if from_ip.version == 4 else "TCP6"
    return f"PROXY {family} {from_ip} {to_ip} {from_port} {to_port}\r\n".encode()


def proxy_header_v2(source: Address | None, destination: Address | None) -> bytes:
    """The binary form of the same; ``LOCAL`` for None or mixed families."""
    ends = _endpoints(source, destination)
    if ends is None:
        return _SIGNATURE_2 + bytes((_VERSION_2 << 4 | _LOCAL, 0, 0, 0))
    from_ip, from_port, to_ip, to_port = ends
    family = _INET if from_ip.version == 4 else _INET6
    addresses = from_ip.packed + to_ip.packed + from_port.to_bytes(2, "big") + to_port.to_bytes(2, "big")
    kind = bytes((_VERSION_2 << 4 | _PROXY, family << 4 | _STREAM))
    return _SIGNATURE_2 + kind + len(addresses).to_bytes(2, "big") + addresses
