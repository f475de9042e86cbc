"""The handshake on the wire: what a client may send in which pieces, and what it gets back, to the segment."""

from __future__ import annotations

import socket
import struct

import pytest
import trio
import trio.testing

from telemt_trio import events as e
from telemt_trio.testing.client import ProxyClient, open_tls
from telemt_trio.wire.client_hello import parse_client_hello
from telemt_trio.wire.obfuscated2 import INTERMEDIATE, NONCE_SIZE, SECURE, make_nonce
from telemt_trio.wire.secrets import Mode
from telemt_trio.wire.server_hello import X25519

SHAPES = ["tdlib", "legacy", "minimal"]
CHANGE_CIPHER_SPEC = bytes.fromhex("140303000101")


def segments_received(stream):
    """How many TCP segments with data this end got, and how many bytes in them (linux/tcp.h, struct tcp_info)."""
    info = stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    (received,) = struct.unpack_from("Q", info, 128)
    (segments,) = struct.unpack_from("I", info, 152)
    return segments, received


async def dribble(stream, data):
    """One byte a segment, each read before the next one leaves."""
    for value in data:
        await stream.send_all(bytes([value]))
        await trio.testing.wait_all_tasks_blocked()


async def dial(proxy):
    return await trio.open_tcp_stream(*proxy.address)


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_answer_is_one_segment_and_nothing_follows_before_the_client_speaks(
    world, proxy, keys, shape, settled
):
    async def talkative(link):
        await link.send(b"a datacenter that speaks first")
        await link.receive()

    world.datacenter.behaviour = talkative
    async with await dial(proxy) as stream:
        hello = world.hello(shape=shape)
        answer = await open_tls(stream, keys[0], hello)
        await settled()
        segments, received = segments_received(stream)
        assert segments == 1
        assert received == answer.hello_size + 6 + 5 + answer.app_data_size
        assert not world.datacenter.connections
        nonce = make_nonce(SECURE, 2, world.entropy, secret=keys[0])
        client = ProxyClient(stream, nonce, SECURE, answer=answer)
        await client.send(b"")
        assert await client.receive_exactly(30) == b"a datacenter that speaks first"


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_answer_is_what_every_client_takes(world, proxy, keys, shape):
    hello = world.hello(shape=shape)
    async with await dial(proxy) as stream:
        answer = await open_tls(stream, keys[0], hello)
    assert answer.server_hello is not None
    assert (answer.hello_size, answer.cipher, answer.group) == (127, 0x1301, X25519)
    assert answer.session_id == parse_client_hello(hello).session_id
    assert 1024 <= answer.app_data_size <= 4095


async def test_answers_differ_where_real_ones_do(proxy):
    answers = []
    for _ in range(3):
        async with await proxy.client() as client:
            answers.append(client.answer)
    assert len({answer.server_hello.random for answer in answers}) == 3
    assert len({answer.server_hello.extension(0x33) for answer in answers}) == 3
    assert len({answer.app_data_size for answer in answers}) == 1  # a site's certificate does not change its size


async def test_the_size_of_the_filler_is_the_operators(world):
    proxy = await world.start(censorship={"fake_cert_len": 5000})
    async with await proxy.client() as client:
        assert client.answer.app_data_size == 5000


async def test_the_answer_waits_as_long_as_it_was_told(world, leaping_clock):
    proxy = await world.start(censorship={"server_hello_delay_min_ms": 700, "server_hello_delay_max_ms": 700})
    async with await proxy.client() as client:
        assert client.answer_seconds == pytest.approx(0.7)


@pytest.mark.parametrize("shape", ["tdlib", "legacy"])
async def test_a_flight_of_single_bytes(world, proxy, keys, shape):
    hello = world.hello(shape=shape)
    async with await dial(proxy) as stream:
        await dribble(stream, hello[:-1])
        assert segments_received(stream) == (0, 0)
        await stream.send_all(hello[-1:])
        client = await finish(world, stream, keys[0], hello)
        sealed = client.seal(b"one byte a segment")
        await dribble(stream, sealed)
        assert await client.receive_exactly(18) == b"one byte a segment"


async def finish(world, stream, key, hello, tag=SECURE, **options):
    """Read the answer to a hello that has been sent already, and go on as a client."""
    from telemt_trio.wire.server_hello import Answer, AnswerReader

    reader = AnswerReader(key, hello[11:43])
    while not isinstance(event := reader.next_event(), Answer):
        reader.receive_data(await stream.receive_some())
    assert not event.trailing
    nonce = make_nonce(tag, 2, world.entropy, secret=key)
    return ProxyClient(stream, nonce, tag, answer=event, **options)


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 6, 11, 43, 44, 500, 516])
async def test_a_hello_in_two_segments(world, proxy, keys, settled, cut):
    hello = world.hello(shape="legacy")
    async with await proxy.stranger(hello[:cut]) as stream:
        await settled()
        await stream.send_all(hello[cut:])
        client = await finish(world, stream, keys[0], hello)
        await client.send(b"pieces")
        assert await client.receive_exactly(6) == b"pieces"


@pytest.mark.parametrize("limit", [1, 7, 63, 64, 65, 100, 16384])
async def test_a_nonce_in_records_of_any_size(proxy, limit):
    message = bytes(range(256)) * 4
    async with await proxy.client(record_limit=limit) as client:
        await client.send(message)
        assert await client.receive_exactly(len(message)) == message


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_nonce_alone_and_data_later(world, proxy, settled, mode):
    async with await proxy.client(mode) as client:
        await client.send(b"")
        await settled()
        assert len(world.datacenter.connections) == 1
        await client.send(b"later")
        assert await client.receive_exactly(5) == b"later"


@pytest.mark.parametrize("mode", [Mode.SECURE, Mode.CLASSIC])
@pytest.mark.parametrize("cut", [1, 8, 63, 64, 65])
async def test_a_plain_nonce_in_two_segments(world, proxy, settled, mode, cut):
    async with await proxy.client(mode) as client:
        sealed = client.seal(b"behind the nonce")
        await client.stream.send_all(sealed[:cut])
        await settled()
        assert len(world.datacenter.connections) == (cut >= NONCE_SIZE)
        await client.stream.send_all(sealed[cut:])
        assert await client.receive_exactly(16) == b"behind the nonce"


async def test_data_behind_the_nonce_leaves_with_ours_in_one_write(world, proxy):
    """The datacenter gets nonce and first packet as real clients send them: together."""
    reads = []

    async def look(link):
        reads.append(await link.receive())

    world.datacenter.behaviour = look
    async with await proxy.client() as client:
        await client.send(b"first packet")
        await client.receive_to_end()
    assert reads == [b"first packet"]


@pytest.mark.parametrize("count", [0, 2, 5])
async def test_any_number_of_change_cipher_specs(proxy, count):
    async with await proxy.client() as client:
        sealed = client.seal(b"ccs").removeprefix(CHANGE_CIPHER_SPEC)
        await client.stream.send_all(CHANGE_CIPHER_SPEC * count + sealed)
        assert await client.receive_exactly(3) == b"ccs"
        await client.stream.send_all(CHANGE_CIPHER_SPEC + client.seal(b"more"))
        assert await client.receive_exactly(4) == b"more"


async def test_empty_records_are_skipped(proxy):
    empty = bytes.fromhex("1703030000")
    async with await proxy.client() as client:
        sealed = client.seal(b"nothing")
        await client.stream.send_all(empty + sealed[:6] + empty + sealed[6:] + empty)
        assert await client.receive_exactly(7) == b"nothing"


async def test_a_client_that_does_not_wait_for_the_answer(world, proxy, keys):
    """Hello, nonce and data in one write: whoever can guess that much gets the answer and the echo in order."""
    hello = world.hello()
    nonce = make_nonce(SECURE, 2, world.entropy, secret=keys[0])
    payload = nonce.wire + nonce.encrypt.update(b"eager")
    record = b"\x17\x03\x03" + len(payload).to_bytes(2, "big") + payload
    async with await proxy.stranger(hello + CHANGE_CIPHER_SPEC + record) as stream:
        got = b""
        while (tail := behind_answer(got)) is None or len(tail) < 10:
            got += await stream.receive_some()
        assert tail[:5] == bytes.fromhex("1703030005")
        assert nonce.decryptor().update(tail[5:]) == b"eager"
    assert (await proxy.event(e.RelayEnded)).bytes_up == 5


def behind_answer(got):
    """What follows the three records of an answer, once they are there."""
    position = 0
    for _ in range(3):
        if len(got) < position + 5:
            return None
        position += 5 + int.from_bytes(got[position + 3 : position + 5], "big")
    return got[position:] if len(got) >= position else None


@pytest.mark.parametrize(
    "prefix", [b"\xef", b"GET ", b"HEAD", bytes(8), bytes.fromhex("16030102"), b"\xee" * 4], ids=lambda p: p.hex()
)
async def test_inside_tls_a_nonce_may_begin_with_anything(world, proxy, keys, prefix):
    """Clients check their first bytes only where a censor could see them."""
    rest = world.entropy(64)
    drawn = prefix + rest[len(prefix) :]
    nonce = forced_nonce(drawn, keys[0])
    async with await proxy.client() as client:
        replaced = ProxyClient(client.stream, nonce, SECURE, answer=client.answer)
        await replaced.send(b"anything")
        assert await replaced.receive_exactly(8) == b"anything"


def forced_nonce(drawn, key):
    """A nonce of exactly these 64 random bytes: outside TLS no client would send it."""
    import hashlib

    from telemt_trio.wire.obfuscated2 import Nonce, aes_ctr

    def derive(seed):
        return hashlib.sha256(seed + key).digest()

    plain = drawn[:56] + SECURE + (2).to_bytes(2, "little") + drawn[62:]
    encrypt = aes_ctr(derive(plain[8:40]), plain[40:56])
    wire = plain[:56] + encrypt.update(plain)[56:]
    reverse = plain[8:56][::-1]
    return Nonce(wire, encrypt, derive(reverse[:32]), reverse[32:])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tag", [SECURE, INTERMEDIATE])
async def test_mode_switches(world, shape, tag):
    """ee with padding needs tls alone; without padding it is let in where plain secrets are."""
    proxy = await world.start(general={"modes": {"classic": False, "secure": False, "tls": True}})
    async with await proxy.client(shape=shape, tag=tag) as client:
        await client.send(b"mode")
        if tag == SECURE:
            assert await client.receive_exactly(4) == b"mode"
        else:
            assert (await proxy.event(e.HandshakeRejected)).reason is e.RejectReason.WRONG_MODE
