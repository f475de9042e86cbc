"""The kit's client is as strict as the strictest real one: what it takes, they all take."""

from __future__ import annotations

import random
from functools import partial

import pytest
import trio
import trio.testing

from telemt_trio.errors import RemoteProtocolError
from telemt_trio.testing.client import connect
from telemt_trio.wire.client_hello import parse_client_hello
from telemt_trio.wire.framing import Frame, QuickAck, frame, quick_ack_bytes
from telemt_trio.wire.obfuscated2 import ABRIDGED, INTERMEDIATE, SECURE, open_nonce
from telemt_trio.wire.secrets import Mode, ProxySecret
from telemt_trio.wire.server_hello import X25519, build_answer
from telemt_trio.wire.tls_records import RecordReader, RecordWriter

KEY = bytes(range(1, 17))
SECRETS = {
    Mode.TLS: ProxySecret(KEY, Mode.TLS, "front.example"),
    Mode.SECURE: ProxySecret(KEY, Mode.SECURE),
    Mode.CLASSIC: ProxySecret(KEY, Mode.CLASSIC),
}
CHANGE_CIPHER_SPEC = bytes.fromhex("140303000101")


class Server:
    """The other end, written down by hand. ``hello`` is what came first in TLS mode; ``opened`` the nonce."""

    def __init__(self, stream, tls):
        self.stream = stream
        self.tls = tls
        self.reader = RecordReader()
        self.records = b""
        self.hello = b""
        self.opened = None
        self._payload = b""

    async def receive_hello(self):
        while len(self.hello) < 5 or len(self.hello) < 5 + int.from_bytes(self.hello[3:5], "big"):
            self.hello += await self.stream.receive_some()
        return parse_client_hello(self.hello)

    def answer(self, hello, key=KEY):
        return build_answer(
            secret=key, hello=hello, cipher=0x1301, group=X25519, key_share=bytes(range(32)), app_data=bytes(500)
        )

    async def receive(self):
        """Payload behind the nonce; empty at the end."""
        while True:
            data = await self.stream.receive_some()
            self.records += data if self.tls else b""
            self._payload += bytes(self.reader.decode(data)) if self.tls else data
            if self.opened is None and len(self._payload) >= 64:
                self.opened = open_nonce(self._payload[:64], KEY)
                self.encrypt = self.opened.encryptor()
                self._payload = self._payload[64:]
            if not data or (self.opened is not None and self._payload):
                plain, self._payload = self._payload, b""
                return self.opened.decrypt.update(plain) if self.opened else b""

    def seal(self, payload):
        sealed = self.encrypt.update(payload)
        return b"".join(RecordWriter().encode(sealed)) if self.tls else sealed


@pytest.fixture
async def serve(nursery):
    """``await serve(conversation, mode)``: an address where ``conversation(server)`` is held with whoever comes."""

    async def start(conversation, mode=Mode.TLS):
        async def hold(stream):
            async with stream:
                server = Server(stream, mode is Mode.TLS)
                if mode is Mode.TLS:
                    server.parsed = await server.receive_hello()
                await conversation(server)

        (listener,) = await nursery.start(partial(trio.serve_tcp, hold, 0, host="127.0.0.1"))
        return listener.socket.getsockname()[:2]

    return start


def knock(address, mode=Mode.TLS, **options):
    return connect(address, SECRETS[mode], entropy=random.Random(5).randbytes, unix_time=1_700_000_000, **options)


async def answered(server):
    await server.stream.send_all(server.answer(server.parsed))


async def echo(server):
    if server.tls:
        await answered(server)
    while data := await server.receive():
        await server.stream.send_all(server.seal(data))


@pytest.mark.parametrize("mode", list(Mode))
async def test_bytes_go_and_come(serve, mode):
    async with await knock(await serve(echo, mode), mode) as client:
        for size in (1, 64, 100_000):
            message = random.Random(size).randbytes(size)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.send, message)
                assert await client.receive_exactly(size) == message
        assert (client.bytes_sent, client.bytes_received) == (100_065, 100_065)
        await client.send_eof()
        assert await client.receive_to_end() == b""


@pytest.mark.parametrize(
    ("mode", "tag"), [(Mode.TLS, SECURE), (Mode.SECURE, SECURE), (Mode.CLASSIC, INTERMEDIATE), (Mode.CLASSIC, ABRIDGED)]
)
async def test_packets_go_and_come(serve, mode, tag):
    async with await knock(await serve(echo, mode), mode, tag=tag, dc=-3) as client:
        await client.send_frame(b"packet!!")
        got = await client.receive_frame()
        assert isinstance(got, Frame)
        assert got.payload.startswith(b"packet!!")
        await client.send_eof()
        assert await client.receive_frame() is None


async def test_a_quick_acknowledgement(serve):
    async def acknowledge(server):
        await server.receive()
        token = quick_ack_bytes(INTERMEDIATE, 0x80001234)
        await server.stream.send_all(server.seal(token + frame(INTERMEDIATE, b"then")))

    async with await knock(await serve(acknowledge, Mode.CLASSIC), Mode.CLASSIC) as client:
        await client.send_frame(b"ack?", quick_ack=True)
        assert await client.receive_frame() == QuickAck(0x80001234)
        assert (await client.receive_frame()).payload == b"then"


@pytest.mark.parametrize(("mode", "tag"), [(Mode.TLS, SECURE), (Mode.SECURE, SECURE), (Mode.CLASSIC, INTERMEDIATE)])
async def test_the_framing_is_the_real_clients(serve, mode, tag):
    async with await knock(await serve(echo, mode), mode) as client:
        assert client.tag == tag


async def test_the_first_record_holds_nonce_and_first_packet(serve):
    flights = []

    async def look(server):
        await answered(server)
        flights.append(await server.receive())
        flights.append(server.records)

    async with await knock(await serve(look)) as client:
        await client.send(b"first")
        await client.receive_to_end()
    assert flights[0] == b"first"
    assert flights[1][:11] == CHANGE_CIPHER_SPEC + b"\x17\x03\x03\x00\x45"


@pytest.mark.parametrize("limit", [100, 2878])
async def test_no_record_is_longer_than_a_real_clients(serve, limit):
    seen = bytearray()

    async def look(server):
        await answered(server)
        while await server.receive():
            pass
        seen.extend(server.records)

    options = {} if limit == 2878 else {"record_limit": limit}
    async with await knock(await serve(look), **options) as client:
        await client.send(bytes(10_000))
        await client.send_eof()
        await client.receive_to_end()
    sizes, position = [], len(CHANGE_CIPHER_SPEC)
    while position < len(seen):
        sizes.append(int.from_bytes(seen[position + 3 : position + 5], "big"))
        position += 5 + sizes[-1]
    assert sum(sizes) == 10_064
    assert set(sizes[:-1]) == {limit}


async def test_record_sizes_are_kept(serve):
    async def two(server):
        await answered(server)
        await server.receive()
        await server.stream.send_all(server.seal(bytes(20_000)) + server.seal(b"x"))

    async with await knock(await serve(two)) as client:
        await client.send(b"go")
        await client.receive_to_end()
        assert [record.size for record in client.records] == [16384, 3616, 1]
        assert all(record.at >= 0 for record in client.records)
        assert client.connect_seconds >= 0
        assert client.answer_seconds > 0


async def test_without_tls_there_are_no_records_and_no_answer(serve):
    async with await knock(await serve(echo, Mode.SECURE), Mode.SECURE) as client:
        assert (client.records, client.answer, client.answer_seconds) == ([], None, 0)


async def test_a_hello_is_made_as_asked(serve):
    hellos = []

    async def look(server):
        hellos.append(server.parsed)
        await answered(server)

    address = await serve(look)
    for shape in ("tdlib", "legacy"):
        async with await knock(address, domain="other.example", shape=shape):
            pass
    assert [hello.server_name for hello in hellos] == ["other.example"] * 2
    assert len(hellos[0].record) > len(hellos[1].record) == 517


# ---------------------------------------------------------------- what is refused


async def wrong_key(server):
    await server.stream.send_all(server.answer(server.parsed, bytes(16)))


async def too_much(server):
    await server.stream.send_all(server.answer(server.parsed) + b"\x17\x03\x03\x00\x01x")


async def alert(server):
    await server.stream.send_all(bytes.fromhex("15030300020228"))


async def page(server):
    await server.stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def nothing(server):
    await trio.lowlevel.checkpoint()


async def half(server):
    await server.stream.send_all(server.answer(server.parsed)[:200])


@pytest.mark.parametrize("conversation", [wrong_key, too_much, alert, page, nothing, half])
async def test_an_answer_that_is_none(serve, conversation):
    with pytest.raises(RemoteProtocolError):
        await knock(await serve(conversation))


async def test_nobody_listens():
    with pytest.raises(OSError, match="connect"):
        await knock(("127.0.0.1", 9))


@pytest.mark.parametrize(
    "record",
    ["140303000101", "15030300020100", "1603030001aa", "1703010001aa", "1703030000", "17030341010000", "474554202f"],
    ids=["ccs", "alert", "handshake", "version", "empty", "16641", "http"],
)
@pytest.mark.parametrize("cut", [False, True])
async def test_a_record_that_some_client_does_not_take(serve, record, cut):
    async def send(server):
        await answered(server)
        await server.receive()
        wire = server.seal(b"fine") + bytes.fromhex(record)
        for piece in [wire[:10], wire[10:]] if cut else [wire]:
            await server.stream.send_all(piece)
            await trio.testing.wait_all_tasks_blocked()

    async with await knock(await serve(send)) as client:
        await client.send(b"go")
        with pytest.raises(RemoteProtocolError):
            await client.receive_to_end()


@pytest.mark.parametrize("size", [3, 5, 8])
async def test_a_stream_that_ends_inside_a_record(serve, size):
    async def send(server):
        await answered(server)
        await server.receive()
        await server.stream.send_all(server.seal(b"whole")[:size])

    async with await knock(await serve(send)) as client:
        await client.send(b"go")
        with pytest.raises(RemoteProtocolError, match="inside a record"):
            await client.receive_to_end()


async def test_a_stream_that_ends_inside_a_packet(serve):
    async def send(server):
        await server.receive()
        await server.stream.send_all(server.seal(frame(INTERMEDIATE, bytes(8))[:7]))

    async with await knock(await serve(send, Mode.CLASSIC), Mode.CLASSIC) as client:
        await client.send(b"go")
        with pytest.raises(RemoteProtocolError, match="inside a packet"):
            await client.receive_frame()


async def test_a_cancelled_handshake_leaves_nothing_open(serve):
    async def silent(_):
        await trio.sleep_forever()

    address = await serve(silent)
    with trio.move_on_after(0.01):
        await knock(address)
        pytest.fail("it was answered")


async def test_a_client_tells_nothing_secret(serve):
    async with await knock(await serve(echo)) as client:
        assert KEY.hex() not in repr(client)
