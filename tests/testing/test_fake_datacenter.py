"""The fake datacenter against a client on its own doorstep: what it records, and every behaviour."""

from __future__ import annotations

import hashlib
import random
from contextlib import asynccontextmanager

import pytest
import trio

from telemt_trio.testing.fake_datacenter import (
    FakeDatacenter,
    close_after,
    echo,
    echo_frames,
    half_close_after,
    mtproto,
    never_answer,
    open_fake_datacenter,
    read_slowly,
    reset_after,
)
from telemt_trio.testing.mtproto_crypto import ServerKey
from telemt_trio.wire.framing import Frame, FrameReader, frame
from telemt_trio.wire.obfuscated2 import ABRIDGED, INTERMEDIATE, SECURE, make_nonce


def seeded(seed):
    return random.Random(seed).randbytes


class Peer:
    """A proxy's side of one connection."""

    def __init__(self, stream, nonce):
        self.stream = stream
        self.nonce = nonce
        self.encrypt = nonce.encrypt.update
        self.decrypt = nonce.decryptor().update

    async def send(self, data):
        await self.stream.send_all(self.encrypt(data))

    async def receive_some(self):
        return self.decrypt(await self.stream.receive_some(65536))

    async def receive(self, size):
        data = b""
        while len(data) < size:
            more = await self.stream.receive_some(size - len(data))
            if not more:
                break
            data += self.decrypt(more)
        return data


@asynccontextmanager
async def connect(dc, *, tag=INTERMEDIATE, index=2, reply=None, first=b""):
    nonce = make_nonce(tag, index, seeded(index), reply=reply)
    async with await trio.open_tcp_stream(*dc.address) as stream:
        peer = Peer(stream, nonce)
        await stream.send_all(nonce.wire + peer.encrypt(first))
        yield peer


async def test_it_records_what_the_nonce_said():
    key, iv = bytes(range(32)), bytes(range(16))
    async with open_fake_datacenter(entropy=seeded(1)) as dc:
        async with connect(dc, tag=SECURE, index=-3, reply=(key, iv)) as peer:
            record = await dc.wait_for(1)
        await record.ended.wait()
    assert (record.dc, record.tag, record.nonce, record.nonce_ok) == (-3, SECURE, peer.nonce.wire, True)
    assert (record.reply_key, record.reply_iv) == (key, iv)
    assert key.hex() not in repr(record)
    assert dc.connections == [record]
    with pytest.raises(RuntimeError):
        _ = dc.address


async def test_it_echoes_what_comes_with_the_nonce_and_after_it():
    sent = b"early" + b"late" * 50_000
    async with open_fake_datacenter(keep=1000) as dc, connect(dc, first=b"early") as peer:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.send, sent[5:])
            assert await peer.receive(len(sent)) == sent
        await peer.stream.send_eof()
        assert await peer.receive(1) == b""
        record = await dc.wait_for(1)
        await record.ended.wait()
        assert bytes(record.received) == sent[:1000]
        assert record.received_size == record.sent_size == len(sent)
        assert record.received_digest == hashlib.sha256(sent).digest()
        assert record.end == "eof"


async def test_wait_for_waits():
    async with open_fake_datacenter() as dc, trio.open_nursery() as nursery:
        found = []

        async def wait():
            found.append(await dc.wait_for(2))

        nursery.start_soon(wait)
        async with connect(dc, index=1), connect(dc, index=5):
            await dc.wait_for(2)
            await trio.testing.wait_all_tasks_blocked()
            assert found == [dc.connections[1]]
            assert sorted(one.dc for one in dc.connections) == [1, 5]


@pytest.mark.parametrize("opening", [b"short", bytes(64), b"GET / HTTP/1.1\r\n" * 8])
async def test_openings_that_are_no_nonce_are_kept_apart(opening):
    async with open_fake_datacenter() as dc, await trio.open_tcp_stream(*dc.address) as stream:
        await stream.send_all(opening)
        await stream.send_eof()
        assert await stream.receive_some() == b""
        assert dc.refused == [opening]
        assert dc.connections == []


async def test_a_connection_without_a_byte_is_a_probe():
    async with open_fake_datacenter() as dc:
        async with await trio.open_tcp_stream(*dc.address) as stream:
            await stream.send_eof()
            assert await stream.receive_some() == b""
        assert (dc.probes, dc.refused, dc.connections) == (1, [], [])


@pytest.mark.parametrize(
    "start", [b"\xef", b"HEAD", b"POST", b"GET ", b"OPTI", INTERMEDIATE, SECURE, b"\x16\x03\x01\x02"]
)
async def test_a_nonce_like_another_protocol_is_noticed(start):
    async with open_fake_datacenter() as dc, await trio.open_tcp_stream(*dc.address) as stream:
        wire = make_nonce(INTERMEDIATE, 2, seeded(1)).wire
        await stream.send_all(start + wire[len(start) :])
        assert not (await dc.wait_for(1)).nonce_ok


@pytest.mark.parametrize("tag", [ABRIDGED, INTERMEDIATE, SECURE])
async def test_frames_come_back_with_at_most_three_bytes_of_padding(tag):
    payloads = [b"", b"four", b"quick ack", bytes(600), random.Random(7).randbytes(70_000)]
    payloads = [payload[: len(payload) & ~3] for payload in payloads] * 4
    async with open_fake_datacenter(behaviour=echo_frames, entropy=seeded(2)) as dc, connect(dc, tag=tag) as peer:
        reader = FrameReader(tag, 1 << 20)
        for payload in payloads:
            await peer.send(frame(tag, payload, quick_ack=len(payload) == 8, padding=lambda: bytes(15)))
            while not isinstance(event := reader.next_event(), Frame):
                reader.receive_data(await peer.receive_some())
            # behind a client's padding only the last bytes that make no word can be told from the payload
            assert event.payload[: len(payload)] == payload
            extra = len(event.payload) - len(payload)
            assert extra == (12 if tag == SECURE and payload else 0)
            header = 4 if tag != ABRIDGED or len(payload) >= 127 * 4 else 1
            assert 0 <= event.wire_size - header - len(event.payload) <= (3 if tag == SECURE else 0)
        assert dc.connections[0].quick_acks == 4


async def test_mtproto_answers_req_pq_and_closes_on_nonsense():
    async with open_fake_datacenter(behaviour=mtproto(), key=ServerKey.generate()) as dc, connect(dc) as peer:
        nonce = bytes(range(16))
        request = bytes(8) + bytes(8) + (20).to_bytes(4, "little") + (0xBE7E8EF1).to_bytes(4, "little") + nonce
        await peer.send(frame(INTERMEDIATE, request))
        reader = FrameReader(INTERMEDIATE, 1 << 20)
        while not isinstance(event := reader.next_event(), Frame):
            reader.receive_data(await peer.receive_some())
        assert event.payload[20:40] == (0x05162463).to_bytes(4, "little") + nonce
        assert dc.keyring.server_key.fingerprint.to_bytes(8, "little") in event.payload
        await peer.send(frame(INTERMEDIATE, bytes(20)))
        assert await peer.receive(1) == b""
        await dc.connections[0].ended.wait()
        assert dc.connections[0].end not in {"eof", "closed", "reset", ""}


async def test_never_answer_reads_and_says_nothing():
    async with open_fake_datacenter(behaviour=never_answer) as dc, connect(dc, first=bytes(5000)) as peer:
        await peer.stream.send_eof()
        assert await peer.receive(1) == b""
        assert dc.connections[0].received_size == 5000


async def test_close_after_sends_that_much_and_closes():
    async with open_fake_datacenter(behaviour=close_after(1000)) as dc, connect(dc, first=b"x" * 1000) as peer:
        assert await peer.receive(2000) == b"x" * 1000
        await dc.connections[0].ended.wait()
        assert dc.connections[0].end == "closed"


async def test_half_close_after_still_reads():
    async with open_fake_datacenter(behaviour=half_close_after(10)) as dc, connect(dc, first=b"y" * 10) as peer:
        assert await peer.receive(20) == b"y" * 10
        await peer.send(b"still heard")
        await peer.stream.send_eof()
        record = await dc.wait_for(1)
        await record.ended.wait()
        assert bytes(record.received) == b"y" * 10 + b"still heard"
        assert record.end == "eof"


async def test_reset_after_resets():
    async with open_fake_datacenter(behaviour=reset_after(4)) as dc, connect(dc, first=b"zzzz") as peer:
        assert await peer.receive(4) == b"zzzz"
        with pytest.raises(trio.BrokenResourceError):
            await peer.receive(1)
        assert dc.connections[0].end == "reset"


async def test_a_peer_that_resets_is_recorded():
    async with open_fake_datacenter() as dc, connect(dc) as peer:
        record = await dc.wait_for(1)
        peer.stream.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SOL_SOCKET, SO_LINGER: close with RST
        await peer.stream.aclose()
        await record.ended.wait()
        assert record.end == "reset"


async def test_read_slowly_takes_its_time(autojump_clock):
    async with open_fake_datacenter(behaviour=read_slowly(100, 2.0), receive_buffer=4096) as dc:
        async with connect(dc, first=bytes(1000)) as peer:
            record = await dc.wait_for(1)
            await trio.sleep(9.0)
            assert record.received_size == 400
            await peer.stream.send_eof()
            await record.ended.wait()
            assert record.received_size == 1000
        assert trio.current_time() >= 22.0


async def test_leaving_closes_every_connection():
    async with open_fake_datacenter() as dc:
        stream = await trio.open_tcp_stream(*dc.address)
        nonce = make_nonce(INTERMEDIATE, 2, seeded(4))
        await stream.send_all(nonce.wire)
        await dc.wait_for(1)
    async with stream:
        assert await stream.receive_some() == b""
    assert dc.connections[0].ended.is_set()


async def test_it_starts_in_a_nursery_and_has_an_own_key_for_each():
    async with trio.open_nursery() as nursery:
        one, other = FakeDatacenter(echo), FakeDatacenter(echo)
        assert await nursery.start(one.serve) is one
        assert await nursery.start(other.serve) is other
        assert one.address != other.address
        assert one.keyring is one.keyring
        assert one.keyring.server_key.modulus != other.keyring.server_key.modulus
        nursery.cancel_scope.cancel()
