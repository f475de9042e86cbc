import pytest
import trio

from telemt_trio.errors import RemoteProtocolError
from telemt_trio.streams.faketls import FakeTLSStream
from telemt_trio.wire.tls_records import MAX_PAYLOAD, RecordReader, RecordWriter, application_header

CCS = bytes.fromhex("140303000101")
ALERT = bytes.fromhex("15030300020100")


def record(payload):
    return application_header(len(payload)) + payload


async def everything(stream, size=None):
    got = b""
    while data := await stream.receive_some(size):
        got += data
    return got


async def test_a_send_is_a_record_and_an_empty_one_is_none(scripted):
    inner = scripted()
    stream = FakeTLSStream(inner)
    await stream.send_all(b"abc")
    await stream.send_all(b"")
    await stream.send_all(memoryview(b"de"))
    assert inner.sent == [record(b"abc"), b"", record(b"de")]


@pytest.mark.parametrize("size", [MAX_PAYLOAD, MAX_PAYLOAD + 1, 100_000])
async def test_a_large_send_is_several_records_in_one_inner_send(scripted, size):
    inner = scripted()
    payload = bytes(range(256)) * (size // 256 + 1)
    await FakeTLSStream(inner).send_all(payload[:size])
    (wire,) = inner.sent
    lengths = []
    while wire:
        length = int.from_bytes(wire[3:5], "big")
        lengths.append(length)
        wire = wire[5 + length :]
    assert lengths == [MAX_PAYLOAD] * (size // MAX_PAYLOAD) + [rest for rest in [size % MAX_PAYLOAD] if rest]


async def test_the_writer_decides_how_large_records_are(scripted):
    inner = scripted()
    await FakeTLSStream(inner, writer=RecordWriter(3)).send_all(b"abcdefgh")
    assert b"".join(inner.sent) == record(b"abc") + record(b"def") + record(b"gh")


@pytest.mark.parametrize("size", [None, 1, 2, 5, 6, 1000])
async def test_what_is_no_payload_is_never_an_empty_read(scripted, size):
    wire = CCS + record(b"") + record(b"ab") + CCS + CCS + record(b"c")
    for step in (1, 4, len(wire)):
        inner = scripted(*(wire[at : at + step] for at in range(0, len(wire), step)))
        assert await everything(FakeTLSStream(inner), size) == b"abc"


async def test_a_reader_that_has_begun_goes_on(scripted):
    reader = RecordReader()
    reader.decode(application_header(4) + b"ab")
    assert await everything(FakeTLSStream(scripted(b"cd" + record(b"ef")), reader)) == b"cdef"


@pytest.mark.parametrize("cut", range(len(record(b"ab") + ALERT) + 1))
async def test_an_alert_is_the_end(scripted, cut):
    wire = record(b"ab") + ALERT
    inner = scripted(wire[:cut] or CCS, wire[cut:] + record(b"never seen"), record(b"nor this"))
    stream = FakeTLSStream(inner)
    assert await everything(stream) == b"ab"
    assert await stream.receive_some() == b""


@pytest.mark.parametrize("cut", range(8))
async def test_a_broken_record_is_an_error_behind_the_payload_before_it(scripted, cut):
    wire = record(b"ab") + bytes.fromhex("1603030001") + b"x"
    stream = FakeTLSStream(scripted(wire[:cut] or CCS, wire[cut:]))
    assert await stream.receive_some(1) + await stream.receive_some() == b"ab"
    with pytest.raises(trio.BrokenResourceError) as caught:
        await stream.receive_some()
    assert isinstance(caught.value.__cause__, RemoteProtocolError)
    with pytest.raises(trio.BrokenResourceError):  # and it stays one
        await stream.receive_some()


async def test_waiting_at_the_end_can_be_cancelled(scripted):
    stream = FakeTLSStream(scripted(ALERT))
    assert await stream.receive_some() == b""
    with trio.CancelScope() as scope:
        scope.cancel()
        await stream.receive_some()
    assert scope.cancelled_caught
    assert await stream.receive_some() == b""


async def test_a_stream_may_end_inside_a_record(scripted):
    assert await everything(FakeTLSStream(scripted(application_header(10) + b"abc"))) == b"abc"
