"""A Telegram client's side of the wire, for tests, the demo and programs that embed the proxy.

It opens a connection as the real clients do, in each of the three modes, and refuses what they refuse::

    async with await connect(proxy.addresses[0], secret, dc=2) as client:
        await client.send_frame(payload)
        frame = await client.receive_frame()

In TLS mode :func:`connect` sends a ClientHello and checks the answer; the nonce then leaves in the first record,
together with the first packet. Without TLS nothing is ever answered: nonce and first packet are the first write.

What a real client would not take is a :class:`telemt_trio.errors.RemoteProtocolError`; a connection that breaks is
``trio.BrokenResourceError``. There are no time limits here: callers use cancel scopes.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Final

import attrs
import trio

from telemt_trio.errors import RemoteProtocolError
from telemt_trio.wire.client_hello import RANDOM_END, RANDOM_START, build_client_hello
from telemt_trio.wire.framing import Frame, FrameReader, QuickAck, frame, padding_to_server
from telemt_trio.wire.need_data import NEED_DATA
from telemt_trio.wire.obfuscated2 import INTERMEDIATE, SECURE, make_nonce
from telemt_trio.wire.secrets import Mode
from telemt_trio.wire.server_hello import Answer, AnswerReader
from telemt_trio.wire.tls_records import HEADER_SIZE, MAX_PAYLOAD_READ, RecordWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from telemt_trio.wire.client_hello import Shape
    from telemt_trio.wire.obfuscated2 import Nonce
    from telemt_trio.wire.secrets import ProxySecret

__all__ = ["CLIENT_RECORD", "ProxyClient", "ReceivedRecord", "connect", "open_tls"]

CLIENT_RECORD: Final = 2878  # bytes of payload, the most that TDLib puts into one record
_CHANGE_CIPHER_SPEC: Final = b"\x14\x03\x03\x00\x01\x01"
_APPLICATION: Final = b"\x17\x03\x03"
_READ: Final = 65536
_MAX_FRAME: Final = (1 << 22) + 1024  # what clients take: 4 MiB and 1 KiB


@attrs.frozen
class ReceivedRecord:
    """One TLS record from the proxy: when its header came (seconds since the connection stood) and its payload size."""

    at: float
    size: int


class _Records:
    """Payload out of records, as strict as the strictest client: application data alone, never empty."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.received: list[ReceivedRecord] = []
        self._clock = clock
        self._header = b""
        self._left = 0

    @property
    def between(self) -> bool:
        return not self._left and not self._header

    def decode(self, data: bytes) -> bytes:
        payload: list[bytes] = []
        position = 0
        while position < len(data):
            if self._left:
                taken = data[position : position + self._left]
                payload.append(taken)
                position += len(taken)
                self._left -= len(taken)
                continue
            missing = HEADER_SIZE - len(self._header)
            self._header += data[position : position + missing]
            position += missing
            if len(self._header) == HEADER_SIZE:
                self._begin(self._header)
                self._header = b""
        return b"".join(payload)

    def _begin(self, header: bytes) -> None:
        size = int.from_bytes(header[3:], "big")
        if header[:3] != _APPLICATION:
            raise RemoteProtocolError("the proxy sent a record that is not application data, which stalls clients")
        if not 0 < size <= MAX_PAYLOAD_READ:
            raise RemoteProtocolError("the proxy sent an empty or oversized record, which some client does not take")
        self._left = size
        self.received.append(ReceivedRecord(self._clock(), size))


class ProxyClient:
    """One connection through a proxy. :func:`connect` makes it; use it as an async context manager, or ``aclose`` it.

    One task may send while another receives. ``answer`` is the proxy's answer to the ClientHello, None without TLS.
    ``connect_seconds`` is how long TCP took, ``answer_seconds`` the time from the ClientHello to the whole answer.
    ``bytes_sent`` and ``bytes_received`` count payload: neither records nor the nonce.
    """

    def __init__(
        self,
        stream: trio.SocketStream,
        nonce: Nonce,
        tag: bytes,
        *,
        answer: Answer | None = None,
        record_limit: int = CLIENT_RECORD,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.stream = stream
        self.tag = tag
        self.answer = answer
        self.connect_seconds = 0.0
        self.answer_seconds = 0.0
        self.bytes_sent = 0
        self.bytes_received = 0
        opened = trio.current_time()
        self._unsent_nonce = nonce.wire
        self._encrypt = nonce.encrypt
        self._decrypt = nonce.decryptor()
        self._writer = RecordWriter(record_limit)
        self._records = _Records(lambda: trio.current_time() - opened) if answer is not None else None
        self._frames = FrameReader(tag, _MAX_FRAME, from_server=True)
        self._padding = partial(padding_to_server, entropy)

    @property
    def records(self) -> list[ReceivedRecord]:
        """The TLS records received so far; empty without TLS."""
        return [] if self._records is None else self._records.received

    def seal(self, payload: bytes) -> bytes:
        """The bytes that :meth:`send` would put on the wire for ``payload``, for callers who cut the stream themselves.

        They have to be sent, once, in order.
        """
        first, self._unsent_nonce = self._unsent_nonce, b""
        sealed = first + self._encrypt.update(payload)
        self.bytes_sent += len(payload)
        if self._records is None:
            return sealed
        records = b"".join(self._writer.encode(sealed))
        return _CHANGE_CIPHER_SPEC + records if first else records

    async def send(self, payload: bytes) -> None:
        """Send payload. The nonce leaves with the first call; an empty one sends the nonce alone.

        After a cancelled send the connection is good for nothing but closing.
        """
        await self.stream.send_all(self.seal(payload))

    async def receive(self, limit: int = _READ) -> bytes:
        """The next payload bytes, from at most ``limit`` bytes of the wire; empty at the end of the stream."""
        while True:
            data = await self.stream.receive_some(limit)
            if not data:
                if self._records is not None and not self._records.between:
                    raise RemoteProtocolError("the stream ended inside a record")
                return b""
            payload = data if self._records is None else self._records.decode(data)
            if payload:
                self.bytes_received += len(payload)
                return self._decrypt.update(payload)

    async def receive_exactly(self, size: int) -> bytes:
        """``size`` payload bytes; fewer only at the end of the stream. Not to be mixed with frames."""
        parts: list[bytes] = []
        while size:
            # A read of the wire never holds more payload than it has bytes.
            data = await self.receive(min(size, _READ))
            if not data:
                break
            parts.append(data)
            size -= len(data)
        return b"".join(parts)

    async def receive_to_end(self) -> bytes:
        """All payload until the proxy ends the stream."""
        parts: list[bytes] = []
        while data := await self.receive():
            parts.append(data)
        return b"".join(parts)

    async def send_frame(self, payload: bytes, *, quick_ack: bool = False) -> None:
        """Send one packet (whole words) in the framing of the nonce's tag, padded where that framing pads."""
        await self.send(frame(self.tag, payload, quick_ack=quick_ack, padding=self._padding))

    async def receive_frame(self) -> Frame | QuickAck | None:
        """The next packet or quick acknowledgement; None where the stream ended between two."""
        while (event := self._frames.next_event()) is NEED_DATA:
            data = await self.receive()
            if not data:
                if not self._frames.between_frames:
                    raise RemoteProtocolError("the stream ended inside a packet")
                return None
            self._frames.receive_data(data)
        return event

    async def send_eof(self) -> None:
        """Nothing more will be sent; receiving goes on."""
        await self.stream.send_eof()

    async def aclose(self) -> None:
        """Close the connection."""
        await self.stream.aclose()

    async def __aenter__(self) -> Self:
        """Return this client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection."""
        await self.aclose()


async def connect(
    address: tuple[str, int],
    secret: ProxySecret,
    *,
    dc: int = 2,
    tag: bytes | None = None,
    domain: str | None = None,
    unix_time: float | None = None,
    entropy: Callable[[int], bytes] = os.urandom,
    shape: Shape = "tdlib",
    record_limit: int = CLIENT_RECORD,
) -> ProxyClient:
    """Connect to the proxy at ``address`` (IP, port) as a client that holds ``secret`` and wants datacenter ``dc``.

    ``tag`` is the framing, by default what real clients use: padded intermediate, or intermediate for a secret without
    a prefix. In TLS mode ``domain`` replaces the one in the secret, ``unix_time`` (seconds) the system's clock, and
    ``shape`` says whose ClientHello it is. ``record_limit`` bounds what is sent in one record.

    Raises RemoteProtocolError when the answer is not one for this client (a front's, or none), OSError when nobody
    listens, ``trio.BrokenResourceError`` when the connection breaks. Nothing stays open then.
    """
    if tag is None:
        tag = INTERMEDIATE if secret.mode is Mode.CLASSIC else SECURE
    nonce = make_nonce(tag, dc, entropy, secret=secret.key)
    hello = b""
    if secret.mode is Mode.TLS:
        hello = build_client_hello(
            secret=secret.key,
            domain=domain or secret.domain or "",
            unix_time=int(time.time() if unix_time is None else unix_time),
            entropy=entropy,
            shape=shape,
        )
    started = trio.current_time()
    stream = await trio.open_tcp_stream(*address)
    connected = trio.current_time()
    try:
        answer = await open_tls(stream, secret.key, hello) if hello else None
        client = ProxyClient(stream, nonce, tag, answer=answer, record_limit=record_limit, entropy=entropy)
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    client.connect_seconds = connected - started
    if answer is not None:
        client.answer_seconds = trio.current_time() - connected
    return client


async def open_tls(stream: trio.SocketStream, secret: bytes, hello: bytes) -> Answer:
    """Send ``hello`` in one write and read the answer to it, as exactly as TDLib does: nothing may follow it.

    Raises RemoteProtocolError and leaves the stream open.
    """
    await stream.send_all(hello)
    reader = AnswerReader(secret, hello[RANDOM_START:RANDOM_END])
    while True:
        reader.receive_data(await stream.receive_some(_READ))
        event = reader.next_event()
        if isinstance(event, Answer):
            if event.trailing:
                raise RemoteProtocolError("the proxy sent more than an answer before the client spoke")
            return event
