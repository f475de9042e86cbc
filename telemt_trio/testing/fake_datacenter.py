"""A Telegram datacenter on loopback, for tests, the demo and programs that embed the proxy.

It speaks the obfuscated transport of the real ones and then behaves as told::

    async with open_fake_datacenter(behaviour=echo) as dc:
        ...                        # point a proxy's dc_overrides at dc.address
        connection = await dc.wait_for(1)
        assert connection.dc == -2

A behaviour is an async callable that gets a :class:`Link`, a connection behind its nonce; those of
:mod:`telemt_trio.testing.datacenter_behaviours` can be imported from here too. Every connection leaves a
:class:`DatacenterConnection` behind.
"""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import time
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from telemt_trio.errors import RemoteProtocolError
from telemt_trio.testing.auth_key import AuthKeyring
from telemt_trio.testing.datacenter_behaviours import (
    Behaviour,
    close_after,
    echo,
    echo_frames,
    half_close_after,
    mtproto,
    never_answer,
    read_slowly,
    reset_after,
)
from telemt_trio.testing.mtproto_crypto import ServerKey
from telemt_trio.wire.obfuscated2 import ABRIDGED, NONCE_SIZE, RESERVED_PREFIXES, OpenedNonce, open_nonce

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from cryptography.hazmat.primitives.ciphers import CipherContext

__all__ = [
    "Behaviour",
    "DatacenterConnection",
    "FakeDatacenter",
    "Link",
    "close_after",
    "echo",
    "echo_frames",
    "half_close_after",
    "mtproto",
    "never_answer",
    "open_fake_datacenter",
    "read_slowly",
    "reset_after",
]

_READ = 65536
_LINGER_ZERO = struct.pack("ii", 1, 0)


@attrs.define(eq=False)
class DatacenterConnection:
    """What one connection looked like from the datacenter.

    ``reply_key`` and ``reply_iv`` are what the datacenter encrypts with: in fast mode they are the client's own.
    ``nonce_ok`` says whether the nonce kept clear of the first bytes of other protocols. ``received`` holds the first
    ``keep`` decrypted bytes behind the nonce, ``received_size`` counts them all. Once the connection ``ended``,
    ``received_digest`` is their SHA-256 and ``end`` is ``"eof"``, ``"closed"`` (by the datacenter), ``"reset"`` or, for
    a peer that broke the protocol, the reason.
    """

    dc: int
    tag: bytes
    nonce: bytes = attrs.field(repr=False)
    reply_key: bytes = attrs.field(repr=False)
    reply_iv: bytes = attrs.field(repr=False)
    received: bytearray = attrs.field(factory=bytearray, repr=False)
    received_size: int = 0
    sent_size: int = 0
    received_digest: bytes = attrs.field(default=b"", repr=False)
    quick_acks: int = 0  # frames that asked for a quick acknowledgement
    requests: dict[int, int] = attrs.field(factory=dict)  # MTProto requests answered, by constructor
    end: str = ""
    ended: trio.Event = attrs.field(factory=trio.Event, repr=False)

    @property
    def nonce_ok(self) -> bool:
        """True unless the nonce starts like another protocol."""
        nonce = self.nonce
        return nonce[0] != ABRIDGED[0] and nonce[:4] not in RESERVED_PREFIXES and nonce[4:8] != bytes(4)


class Link:
    """One connection as a behaviour sees it: plain bytes both ways, recorded as they pass.

    ``datacenter`` is the datacenter that accepted it, ``record`` what stays of it. One task may receive while another
    sends. Every method may raise ``trio.BrokenResourceError``; a behaviour lets it out.
    """

    def __init__(
        self, datacenter: FakeDatacenter, stream: trio.SocketStream, opened: OpenedNonce, nonce: bytes
    ) -> None:
        self.datacenter = datacenter
        self.stream = stream
        self.record = DatacenterConnection(opened.dc, opened.tag, nonce, opened.reply_key, opened.reply_iv)
        self._decrypt: CipherContext = opened.decrypt
        self._encrypt: CipherContext = opened.encryptor()
        self._digest = hashlib.sha256()
        self._early = b""

    def push_back(self, data: bytes) -> None:
        """Bytes that came in one read with the nonce; the next :meth:`receive` returns them."""
        self._early = data

    async def receive(self, limit: int = _READ) -> bytes:
        """The next decrypted bytes, ``limit`` at most; empty once the proxy has closed its sending side."""
        data, self._early = self._early[:limit], self._early[limit:]
        data = data or await self.stream.receive_some(limit)
        plain = self._decrypt.update(data)
        record = self.record
        record.received += plain[: max(0, self.datacenter.keep - len(record.received))]
        record.received_size += len(plain)
        self._digest.update(plain)
        if not plain:
            record.end = record.end or "eof"
        return plain

    async def send(self, data: bytes) -> None:
        """Encrypt and send everything. After a cancelled send the connection is good for nothing but closing."""
        await self.stream.send_all(self._encrypt.update(data))
        self.record.sent_size += len(data)

    async def send_eof(self) -> None:
        """Close the sending side; the proxy may go on sending."""
        await self.stream.send_eof()

    def reset(self) -> None:
        """Make the close that follows an RST, which throws away what the proxy has not read."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self.record.end = "reset"

    def finish(self) -> None:
        """Complete the record. The datacenter calls this when the behaviour has returned."""
        self.record.received_digest = self._digest.digest()
        self.record.end = self.record.end or "closed"
        self.record.ended.set()


class FakeDatacenter:
    """A datacenter and what it saw. :func:`open_fake_datacenter` makes one that listens.

    ``behaviour`` runs for every connection; ``entropy(n)`` is where padding, nonces and keys come from, ``unix()`` the
    time its clients are told; ``key`` is the RSA key of the MTProto behaviour, generated at first use if not given.
    ``keep`` bounds what a record stores, in bytes.

    ``connections`` lists the records in the order the nonces arrived, ``refused`` the openings that were no nonce;
    ``probes`` counts the connections that were closed without a byte, as health checks do.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        entropy: Callable[[int], bytes] = os.urandom,
        unix: Callable[[], float] = time.time,
        key: ServerKey | None = None,
        keep: int = 1 << 20,
    ) -> None:
        self.behaviour: Behaviour = echo if behaviour is None else behaviour
        self.entropy = entropy
        self.unix = unix
        self.keep = keep
        self.connections: list[DatacenterConnection] = []
        self.refused: list[bytes] = []
        self.probes = 0
        self._key = key
        self._keyring: AuthKeyring | None = None
        self._address: tuple[str, int] | None = None
        self._arrivals = trio.lowlevel.ParkingLot()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it listens on."""
        if self._address is None:
            raise RuntimeError("this datacenter does not listen")
        return self._address

    @property
    def keyring(self) -> AuthKeyring:
        """The RSA key and the keys made under it, for the MTProto behaviour; made at first use (about 0.2 s)."""
        if self._keyring is None:
            self._keyring = AuthKeyring(self._key or ServerKey.generate(), self.entropy, self.unix)
        return self._keyring

    async def wait_for(self, count: int) -> DatacenterConnection:
        """Wait until ``count`` connections have opened, and return the record of that one (1 is the first)."""
        while len(self.connections) < count:
            await self._arrivals.park()
        return self.connections[count - 1]

    async def serve(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        receive_buffer: int | None = None,
        task_status: trio.TaskStatus[FakeDatacenter] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen and serve until cancelled; for ``nursery.start``.

        ``receive_buffer`` (bytes) fixes SO_RCVBUF, so that a slow reader pushes back early.
        """
        listeners = await trio.open_tcp_listeners(port, host=host, backlog=4096)
        try:
            for listener in listeners:
                if receive_buffer is not None:
                    listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self._address = listeners[0].socket.getsockname()[:2]
            task_status.started(self)
            await trio.serve_listeners(self.serve_stream, listeners)
        finally:
            self._address = None

    async def serve_stream(self, stream: trio.SocketStream) -> None:
        """Serve one accepted connection and close it."""
        async with stream:
            link = await self._open(stream)
            if link is None:
                return
            record = link.record
            try:
                await self.behaviour(link)
            except trio.BrokenResourceError:
                record.end = "reset"
            except RemoteProtocolError as broken:
                record.end = str(broken)
            finally:
                link.finish()

    async def _open(self, stream: trio.SocketStream) -> Link | None:
        data = b""
        with suppress(trio.BrokenResourceError):
            while len(data) < NONCE_SIZE:
                more = await stream.receive_some(_READ)
                if not more:
                    break
                data += more
        nonce = data[:NONCE_SIZE]
        opened = open_nonce(nonce) if len(nonce) == NONCE_SIZE else None
        if not data:
            self.probes += 1
            return None
        if opened is None:
            self.refused.append(data)
            return None
        link = Link(self, stream, opened, nonce)
        link.push_back(data[NONCE_SIZE:])
        self.connections.append(link.record)
        self._arrivals.unpark_all()
        return link


@asynccontextmanager
async def open_fake_datacenter(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    behaviour: Behaviour | None = None,
    entropy: Callable[[int], bytes] = os.urandom,
    unix: Callable[[], float] = time.time,
    key: ServerKey | None = None,
    keep: int = 1 << 20,
    receive_buffer: int | None = None,
) -> AsyncIterator[FakeDatacenter]:
    """A :class:`FakeDatacenter` that listens while the block runs; leaving it closes every connection.

    Arguments as there; ``port`` 0 picks a free one, and ``behaviour`` is :func:`echo` unless given.
    """
    datacenter = FakeDatacenter(behaviour, entropy=entropy, unix=unix, key=key, keep=keep)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(datacenter.serve, host, port, receive_buffer=receive_buffer))
        yield datacenter
        nursery.cancel_scope.cancel()
