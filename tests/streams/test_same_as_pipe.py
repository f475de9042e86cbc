"""One codec, two drivers: for the same input a pipe and the adapters send the same, byte for byte."""

from itertools import pairwise

import trio
from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.events import EndReason
from telemt_trio.relay.copy import StreamPipe, copy
from telemt_trio.relay.drive import drive
from telemt_trio.relay.ends import scratch
from telemt_trio.relay.pipe import Pipe
from telemt_trio.streams.faketls import FakeTLSStream
from telemt_trio.streams.obfuscated import ObfuscatedStream
from telemt_trio.streams.rewind import RewindStream
from telemt_trio.testing.ends import RecordingEnd, ScriptedSource
from telemt_trio.wire.obfuscated2 import aes_ctr
from telemt_trio.wire.tls_records import RecordReader, RecordWriter, application_header

CCS = bytes.fromhex("140303000101")
ALERT = bytes.fromhex("15030300020100")
BROKEN = bytes.fromhex("1603030010") + bytes(16)


def cipher(n):
    return None if n is None else aes_ctr(bytes([n]) * 32, b"\xff" * 16)


def pieces(wire, cuts):
    places = sorted({min(cut, len(wire)) for cut in cuts} | {0, len(wire)})
    return [wire[start:end] for start, end in pairwise(places)]


def record(payload):
    return application_header(len(payload)) + payload


def through_a_pipe(chunks, *, records_in, key_in, key_out, limit):
    """(wire bytes, why it ended, payload bytes, messages)."""

    async def run():
        keys = [context.update_into for context in (cipher(key_in), cipher(key_out)) if context is not None]
        with ScriptedSource(*chunks) as source, RecordingEnd() as sink:
            pipe = Pipe(
                source,
                sink,
                scratch(),
                decoder=RecordReader() if records_in else None,
                ciphers=keys,
                encoder=None if limit is None else RecordWriter(limit),
                read_size=65536,
            )
            why = await drive(pipe)
            return sink.data, why, pipe.bytes, pipe.messages

    return trio.run(run)


def through_adapters(scripted, chunks, *, records_in, key_in, key_out, limit, first=0):
    """The same; the ``first`` bytes are rewound, as if they had been read to find out who is talking."""

    async def run():
        wire = b"".join(chunks)
        source = scripted(*chunks)
        if first:
            source = RewindStream(scripted(*pieces(wire[first:], [])), wire[:first])
        if records_in:
            source = FakeTLSStream(source)
        sent = scripted()
        sink = sent if limit is None else FakeTLSStream(sent, writer=RecordWriter(limit))
        pipe = StreamPipe(ObfuscatedStream(source, cipher(key_in), None), ObfuscatedStream(sink, None, cipher(key_out)))
        why = await copy(pipe)
        return b"".join(sent.sent), why, pipe.bytes, pipe.messages

    return trio.run(run)


payloads = st.binary(max_size=60) | st.integers(1, 40_000).map(lambda size: bytes(range(200)) * (size // 200 + 1))
cuts = st.lists(st.integers(0, 500) | st.integers(0, 50_000), max_size=12)
keys = st.none() | st.integers(0, 3)


@given(
    payloads=st.lists(payloads, max_size=6),
    between=st.lists(st.sampled_from([b"", CCS, record(b"")]), min_size=7, max_size=7),
    ending=st.sampled_from([b"", ALERT, BROKEN, BROKEN[:3], record(b"cut off")[:-2], ALERT + record(b"never")]),
    records_in=st.booleans(),
    key_in=keys,
    key_out=keys,
    limit=st.none() | st.sampled_from([1000, 4096, 16384]),
    cuts=cuts,
)
def test_both_send_the_same(scripted, payloads, between, ending, records_in, key_in, key_out, limit, cuts):
    """From a client (records in, none out), to one (records out), or any other way, whatever the cuts of the source."""
    if records_in:
        parts = [noise + record(payload[:16384]) for noise, payload in zip(between, payloads, strict=False)]
        wire = b"".join(parts) + ending
    else:
        wire = b"".join(payloads)
    chunks = pieces(wire, [*cuts, *range(0, len(wire), 60_000)])
    how = {"records_in": records_in, "key_in": key_in, "key_out": key_out, "limit": limit}

    piped = through_a_pipe(chunks, **how)
    assert through_adapters(scripted, chunks, **how) == piped
    if records_in:
        assert piped[1] is (EndReason.PROTOCOL if ending == BROKEN else EndReason.FINISHED)


@given(
    payloads=st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=6),
    cuts=cuts,
    first=st.integers(1, 200),
    key_in=keys,
    key_out=keys,
)
def test_bytes_that_were_read_before_make_no_difference_to_what_arrives(
    scripted, payloads, cuts, first, key_in, key_out
):
    wire = b"".join(map(record, payloads))
    first = min(first, len(wire) - 1)
    how = {"records_in": True, "key_in": key_in, "key_out": key_out, "limit": None}
    piped = through_a_pipe(pieces(wire, cuts), **how)
    rewound = through_adapters(scripted, pieces(wire, cuts), first=first, **how)
    assert rewound[:3] == piped[:3]
