from hypothesis import given
from hypothesis import strategies as st

from telemt_trio.streams.obfuscated import ObfuscatedStream
from telemt_trio.wire.obfuscated2 import aes_ctr, make_nonce, open_nonce

KEY = b"k" * 32, b"\xff" * 16

chunks = st.lists(st.binary(min_size=1, max_size=40), max_size=8)


@given(chunks=chunks)
async def test_the_keystream_runs_on_over_all_sends(scripted, chunks):
    inner = scripted()
    stream = ObfuscatedStream(inner, None, aes_ctr(*KEY))
    for chunk in chunks:
        await stream.send_all(memoryview(chunk))
    assert b"".join(inner.sent) == aes_ctr(*KEY).update(b"".join(chunks))


@given(chunks=chunks, size=st.integers(1, 50))
async def test_the_keystream_runs_on_over_all_reads(scripted, chunks, size):
    stream = ObfuscatedStream(scripted(*chunks), aes_ctr(*KEY), None)
    got = b""
    while data := await stream.receive_some(size):
        got += data
    assert got == aes_ctr(*KEY).update(b"".join(chunks))


async def test_a_missing_cipher_changes_nothing(scripted):
    inner = scripted(b"in")
    stream = ObfuscatedStream(inner, None, None)
    await stream.send_all(b"out")
    assert inner.sent == [b"out"]
    assert await stream.receive_some() == b"in"


async def test_both_ends_of_a_nonce_understand_each_other(inner_pair):
    secret = b"s" * 16
    made = make_nonce(b"\xdd" * 4, 2, lambda size: bytes(range(1, size + 1)), secret=secret)
    opened = open_nonce(made.wire, secret)
    near, far = inner_pair()
    client = ObfuscatedStream(near, made.decryptor(), made.encrypt)
    proxy = ObfuscatedStream(far, opened.decrypt, opened.encryptor())
    for sender, receiver in ((client, proxy), (proxy, client)):
        await sender.send_all(b"ping")
        got = b""
        while len(got) < 4:
            got += await receiver.receive_some()
        assert got == b"ping"
    await client.aclose()
    await proxy.aclose()
