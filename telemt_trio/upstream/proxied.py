"""The roads through another proxy: SOCKS5 (RFC 1928, RFC 1929), SOCKS4 and HTTP CONNECT (RFC 9110, 9.3.6).

The messages come from python-socks' sans-IO part (``python_socks._protocols``), the sockets from our own dialler. Its
ready-made connector would hand back a wrapped socket, drops what an HTTP proxy sends behind its header, and takes half
a header for the whole. Answers are read to the byte, so the first byte behind them stays in the socket.

Nothing that is raised here holds a credential: the library's own words about HTTP answers quote what the proxy sent,
and a proxy may send back what it was told.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import attrs
import trio

from telemt_trio.errors import ConfigError, UpstreamError
from telemt_trio.net.dial import dial
from telemt_trio.net.sockets import close_socket
from telemt_trio.upstream.failures import reason_of
from telemt_trio.upstream.source import SourceAddress

if TYPE_CHECKING:
    from telemt_trio.net.dial import Address
    from telemt_trio.net.resolve import Resolves
    from telemt_trio.upstream.direct import Dial
    from telemt_trio.upstream.settings import UpstreamSettings

__all__ = ["Credentials", "ProxiedRoad", "ask_http", "ask_socks4", "ask_socks5"]

HTTP_HEADER_MOST = 16384
_HEADER_END = b"\r\n\r\n"


@attrs.frozen
class Credentials:
    """Who we are to the proxy. For SOCKS4 ``name`` is the user id and there is no password."""

    name: str | None = attrs.field(default=None, repr=False)
    password: str | None = attrs.field(default=None, repr=False)


class ProxiedRoad:
    """Reaches a datacenter through the proxy that the settings name. Raises ConfigError if they cannot work.

    A scope takes the place of the credentials: a proxy that sorts its users into lanes sees the scope as the user.
    """

    def __init__(self, settings: UpstreamSettings, *, resolver: Resolves, dial: Dial = dial) -> None:
        if settings.address is None:
            raise ConfigError(f"upstream {settings.kind}: address (host:port) is missing")
        self._ask = _ASK[settings.kind]
        self._kind = settings.kind
        self._proxy = settings.address
        self._credentials = _credentials(settings)
        self._source = SourceAddress(settings)
        self._resolver = resolver
        self._dial = dial

    def begin(self, address: Address) -> None:  # noqa: ARG002 - see Road
        """See :class:`Road`: there is a proxy to talk to first."""
        return

    async def connect(self, address: Address, *, scope: str | None = None) -> socket.socket:
        """See :class:`telemt_trio.upstream.direct.Road`."""
        if self._kind == "socks4" and ":" in address[0]:
            raise UpstreamError("SOCKS4 cannot reach an IPv6 address")
        credentials = self._credentials if scope is None else Credentials(scope, scope)
        sock = await self._dial_proxy()
        try:
            await self._ask(sock, address, credentials)
        except OSError as error:
            close_socket(sock)
            raise UpstreamError(f"the proxy broke off: {reason_of(error)}") from error
        except BaseException:
            close_socket(sock)
            raise
        return sock

    async def _dial_proxy(self) -> socket.socket:
        """The first address of the proxy that answers, IPv4 first."""
        failure: OSError | None = None
        try:
            for address in await self._resolver.resolve(*self._proxy):
                source = self._source.pick(v6=":" in address[0])
                try:
                    return await self._dial(address, source=source)
                except OSError as error:
                    failure = error
        except OSError as error:
            failure = error
        raise UpstreamError(f"the proxy cannot be reached: {reason_of(failure)}") from failure


def _credentials(settings: UpstreamSettings) -> Credentials:
    """The settings' credentials, refused here if the protocol cannot carry them: later it would be at each connect."""
    if settings.kind == "socks4":
        _check(settings, "user_id", settings.user_id, encoding="ascii", forbidden="\0")
        return Credentials(settings.user_id)
    encoding = "ascii" if settings.kind == "socks5" else "latin-1"
    _check(settings, "username", settings.username, encoding=encoding, forbidden=":" if settings.kind == "http" else "")
    _check(settings, "password", settings.password, encoding=encoding)
    return Credentials(settings.username, settings.password)


def _check(settings: UpstreamSettings, key: str, value: str | None, *, encoding: str, forbidden: str = "") -> None:
    if value is None:
        return
    try:
        fits = len(value.encode(encoding)) <= 255
    except UnicodeEncodeError:
        fits = False
    if not fits or any(character in value for character in forbidden):
        raise ConfigError(f"upstream {settings.label}: {key}: {settings.kind} cannot carry this value")


async def ask_socks5(sock: socket.socket, target: Address, credentials: Credentials) -> Address:
    """Have a SOCKS5 proxy connect ``sock`` to ``target``. Returns the address that the proxy connects from (BND)."""
    from python_socks._protocols import socks5
    from python_socks._protocols.errors import ReplyError

    try:
        offer = socks5.AuthMethodsRequest(username=credentials.name, password=credentials.password)
        await _send(sock, offer.dumps())
        answer = socks5.AuthMethodReply.loads(await _receive(sock, socks5.AuthMethodReply.SIZE))
        answer.validate(offer)
        if answer.method == socks5.AuthMethod.USERNAME_PASSWORD:
            login = socks5.AuthRequest(username=credentials.name or "", password=credentials.password or "")
            await _send(sock, login.dumps())
            socks5.AuthReply.loads(await _receive(sock, socks5.AuthReply.SIZE))
        await _send(sock, socks5.ConnectRequest(host=target[0], port=target[1]).dumps())
        reply = socks5.ConnectReply.loads(await _receive_socks5_reply(sock))
    except ReplyError as error:
        raise UpstreamError(f"the SOCKS5 proxy answered: {error}") from None
    except (ValueError, IndexError):
        raise UpstreamError("the SOCKS5 proxy sent an answer that cannot be read") from None
    return reply.bound_host, reply.bound_port


async def _receive_socks5_reply(sock: socket.socket) -> bytes:
    """A reply's length depends on its address type; a refusal may end after three bytes."""
    data = await _receive(sock, 3)
    if data != b"\x05\x00\x00":
        return data
    data += await _receive(sock, 1)
    if data[3] == 1:
        return data + await _receive(sock, 4 + 2)
    if data[3] == 4:
        return data + await _receive(sock, 16 + 2)
    if data[3] != 3:
        return data
    length = await _receive(sock, 1)
    return data + length + await _receive(sock, length[0] + 2)


async def ask_socks4(sock: socket.socket, target: Address, credentials: Credentials) -> Address:
    """Have a SOCKS4 proxy connect ``sock`` to ``target``, an IPv4 address. Returns the address in its reply."""
    from python_socks._protocols import socks4
    from python_socks._protocols.errors import ReplyError

    try:
        request = socks4.ConnectRequest(host=target[0], port=target[1], user_id=credentials.name)
        await _send(sock, request.dumps())
        reply = socks4.ConnectReply.loads(await _receive(sock, socks4.ConnectReply.SIZE))
    except ReplyError as error:
        raise UpstreamError(f"the SOCKS4 proxy answered: {error}") from None
    return reply.host, reply.port


async def ask_http(sock: socket.socket, target: Address, credentials: Credentials) -> None:
    """Have an HTTP proxy connect ``sock`` to ``target``."""
    from python_socks._protocols import http
    from python_socks._protocols.errors import ReplyError

    request = http.ConnectRequest(
        host=target[0], port=target[1], username=credentials.name, password=credentials.password
    )
    await _send(sock, request.dumps())
    header = await _receive_header(sock)
    if not header.startswith(b"HTTP/1."):
        raise UpstreamError("the HTTP proxy sent an answer that is not HTTP")
    try:
        http.ConnectReply.loads(header)
    except ReplyError as error:
        answer = "cannot be read" if error.error_code is None else f"is {error.error_code}"
        raise UpstreamError(f"the HTTP proxy refused: its answer {answer}") from None


async def _receive_header(sock: socket.socket) -> bytes:
    """Everything up to and with the empty line, and not a byte more.

    Looks before it takes; what it has looked at it takes, so that it never spins on a header that is still incomplete.
    """
    header = b""
    while len(header) < HTTP_HEADER_MOST:
        try:
            seen = sock.recv(4096, socket.MSG_PEEK)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(sock)
            continue
        if not seen:
            raise UpstreamError("the proxy closed the connection before its answer was complete")
        end = (header + seen).find(_HEADER_END)
        if end >= 0:
            return header + await _receive(sock, end + len(_HEADER_END) - len(header))
        header += await _receive(sock, len(seen))
    raise UpstreamError("the HTTP proxy's answer has no end")


async def _send(sock: socket.socket, data: bytes) -> None:
    while data:
        try:
            data = data[sock.send(data) :]
        except BlockingIOError:
            await trio.lowlevel.wait_writable(sock)


async def _receive(sock: socket.socket, size: int) -> bytes:
    """Exactly ``size`` bytes."""
    data = b""
    while len(data) < size:
        try:
            more = sock.recv(size - len(data))
        except BlockingIOError:
            await trio.lowlevel.wait_readable(sock)
            continue
        if not more:
            raise UpstreamError("the proxy closed the connection before its answer was complete")
        data += more
    return data


_ASK = {"socks5": ask_socks5, "socks4": ask_socks4, "http": ask_http}
