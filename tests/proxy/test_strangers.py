"""Who is no client gets the front: with every byte it sent, and not a byte of ours."""

from __future__ import annotations

import pytest
import trio

from telemt_trio import events as e
from telemt_trio.errors import RemoteProtocolError
from telemt_trio.events import RejectReason
from telemt_trio.testing.client import ProxyClient, open_tls
from telemt_trio.testing.fake_front import ALERT, alert, answer_at_end, collect, echo, half_close
from telemt_trio.wire.client_hello import HelloKey, zeroed
from telemt_trio.wire.obfuscated2 import SECURE, make_nonce
from telemt_trio.wire.secrets import Mode

TLS_ALONE = {"general": {"modes": {"classic": False, "secure": False, "tls": True}}}
PLAIN_ALONE = {"general": {"modes": {"classic": True, "secure": True, "tls": False}}}
PAGE = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
CHANGE_CIPHER_SPEC = bytes.fromhex("140303000101")


def signed(key, record, unix_time):
    """``record`` with the random that a holder of ``key`` would give it."""
    mac = HelloKey(key).mac(zeroed(record))
    stamp = int.from_bytes(mac[28:], "little") ^ int(unix_time)
    return record[:11] + mac[:28] + stamp.to_bytes(4, "little") + record[43:]


def with_extension(hello, kind, data):
    """``hello`` with another extension of this type at its end, or with a new content for the one it has."""
    suites_at = 44 + hello[43]
    at = suites_at + 2 + int.from_bytes(hello[suites_at : suites_at + 2], "big")
    at += 1 + hello[at]
    position, body = at + 2, b""
    while position < len(hello):
        size = int.from_bytes(hello[position + 2 : position + 4], "big")
        if int.from_bytes(hello[position : position + 2], "big") != kind:
            body += hello[position : position + 4 + size]
        position += 4 + size
    if data is not None:
        body += kind.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data
    message = hello[9:at] + len(body).to_bytes(2, "big") + body
    return b"\x16\x03\x01" + (len(message) + 4).to_bytes(2, "big") + b"\x01" + len(message).to_bytes(3, "big") + message


async def masked(world, proxy, *data, reason, got=None):
    """Send ``data`` as a stranger: the front sees exactly that, the stranger exactly what the front says."""
    told = await proxy.told(*data)
    visit = await world.front.wait_for(1)
    await visit.ended.wait()
    sent = b"".join(data)
    assert visit.received == sent
    assert told == (sent if got is None else got)
    await proxy.all_closed()
    assert [event.reason for event in proxy.of(e.HandshakeRejected)] == [reason]
    (fact,) = proxy.of(e.Masked)
    assert (fact.bytes_up, fact.bytes_down) == (len(sent), len(told))
    assert len(world.front.visits) == 1
    assert not world.datacenter.connections


@pytest.mark.parametrize("size", [1, 4, 5, 6, 63, 64, 65, 517, 70_000])
@pytest.mark.parametrize("sections", [{}, TLS_ALONE, PLAIN_ALONE], ids=["all", "tls", "plain"])
async def test_garbage_of_any_length(world, sections, size):
    proxy = await world.start(**sections)
    garbage = b"\x05" + world.entropy(size - 1)
    reason = RejectReason.END_OF_STREAM if size < 64 else RejectReason.WRONG_SECRET
    await masked(world, proxy, garbage, reason=RejectReason.PLAIN_OFF if sections is TLS_ALONE else reason)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 63, 64, 65, 517, 70_000])
async def test_what_starts_like_tls_and_is_not(world, proxy, size):
    garbage = (b"\x16\x03\x01\x10\x00\x05" + bytes(size))[:size]
    reason = RejectReason.END_OF_STREAM if size < 6 else RejectReason.NOT_A_HELLO
    await masked(world, proxy, garbage, reason=reason)


async def test_nothing_at_all_is_nobody(world, proxy):
    assert await proxy.told() == b""
    await proxy.all_closed()
    assert not world.front.visits
    assert [event.reason for event in proxy.of(e.HandshakeRejected)] == [RejectReason.END_OF_STREAM]


@pytest.mark.parametrize(
    "first",
    [b"GET / HTTP/1.1\r\n\r\n", b"HEAD", b"POST / HTTP/1.0\r\n", b"OPTIONS * HTTP/1.1", b"\xef" * 20, b"\xdd" * 4],
)
async def test_other_protocols_need_not_fill_a_nonce(world, proxy, first, settled):
    """They are told apart by their first bytes, so the front answers while they wait."""
    async with await proxy.stranger(first) as stream:
        assert await stream.receive_some() == first
    await proxy.all_closed()
    assert proxy.of(e.HandshakeRejected)[0].reason is RejectReason.NOT_OURS


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_wrong_secret_is_a_stranger(world, proxy, keys, mode):
    if mode is Mode.TLS:
        await masked(world, proxy, world.hello(keys[1]), reason=RejectReason.WRONG_SECRET)
    else:
        nonce = make_nonce(SECURE, 2, world.entropy, secret=keys[1])
        await masked(world, proxy, nonce.wire + b"more", reason=RejectReason.WRONG_SECRET)


async def test_a_client_with_a_wrong_secret_sees_that_this_is_no_proxy_of_its_own(world, proxy, keys):
    world.front.behaviour = alert()
    with pytest.raises(RemoteProtocolError):
        await proxy.client(key=keys[1])


@pytest.mark.parametrize(
    ("modes", "mode", "reason"),
    [
        ((True, True, False), Mode.TLS, RejectReason.TLS_OFF),
        ((False, False, True), Mode.SECURE, RejectReason.PLAIN_OFF),
        ((False, False, True), Mode.CLASSIC, RejectReason.PLAIN_OFF),
        ((True, False, True), Mode.SECURE, RejectReason.WRONG_MODE),
        ((False, True, True), Mode.CLASSIC, RejectReason.WRONG_MODE),
    ],
)
async def test_a_mode_that_is_off_is_a_stranger(world, modes, mode, reason, keys):
    proxy = await world.start(general={"modes": dict(zip(("classic", "secure", "tls"), modes, strict=True))})
    if mode is Mode.TLS:
        data = world.hello()
    else:
        tag = SECURE if mode is Mode.SECURE else b"\xee" * 4
        data = make_nonce(tag, 2, world.entropy, secret=keys[0]).wire + b"behind"
    await masked(world, proxy, data, reason=reason)


# ---------------------------------------------------------------- hellos


@pytest.mark.parametrize("shape", ["tdlib", "legacy", "minimal"])
@pytest.mark.parametrize("at", [11, 38, 43, 60, -1])
async def test_one_wrong_bit_is_a_stranger(world, proxy, shape, at):
    hello = bytearray(world.hello(shape=shape))
    hello[at] ^= 1
    told = await proxy.told(bytes(hello))
    assert told == hello
    await proxy.all_closed()
    assert not proxy.of(e.HandshakeAccepted)
    assert proxy.of(e.HandshakeRejected)[0].reason in {RejectReason.WRONG_SECRET, RejectReason.BROKEN_HELLO}


@pytest.mark.parametrize("cut", [1, 5, 6, 43, 516, 1600])
async def test_a_hello_cut_by_the_end_of_the_stream(world, proxy, cut):
    await masked(world, proxy, world.hello()[:cut], reason=RejectReason.END_OF_STREAM)


async def test_a_hello_that_is_too_long(world, proxy):
    record = b"\x16\x03\x01\x40\x01\x01" + bytes(16384)
    await masked(world, proxy, record, reason=RejectReason.HELLO_SIZE)


async def test_a_hello_that_is_too_short(world, proxy):
    await masked(world, proxy, b"\x16\x03\x01\x00\x63\x01" + bytes(98), reason=RejectReason.HELLO_SIZE)


async def test_the_longest_hello_there_can_be_gets_in(world, proxy, keys):
    hello = world.hello(shape="minimal")
    padding = bytes(16384 + 5 - len(hello) - 4)
    hello = signed(keys[0], with_extension(hello, 21, padding), world.unix())
    assert len(hello) == 16389
    async with await proxy.stranger() as stream:
        answer = await open_tls(stream, keys[0], hello)
        client = ProxyClient(stream, make_nonce(SECURE, 2, world.entropy, secret=keys[0]), SECURE, answer=answer)
        await client.send(b"long")
        assert await client.receive_exactly(4) == b"long"


async def test_a_hello_that_does_not_parse(world, proxy, keys):
    hello = bytearray(world.hello())
    hello[43] = 33  # a session id of more than 32 bytes
    await masked(world, proxy, signed(keys[0], bytes(hello), world.unix()), reason=RejectReason.BROKEN_HELLO)


async def test_bytes_behind_a_refused_hello_reach_the_front_too(world, proxy, keys):
    await masked(world, proxy, world.hello(keys[1]) + b"and more" * 100, reason=RejectReason.WRONG_SECRET)


@pytest.mark.parametrize(
    "share", [b"", b"\0\0", bytes.fromhex("0024001d0020") + bytes(31), bytes.fromhex("000500170001aa")]
)
async def test_an_authentic_hello_without_a_usable_key_share(world, proxy, keys, share):
    hello = signed(keys[0], with_extension(world.hello(shape="minimal"), 51, share or None), world.unix())
    await masked(world, proxy, hello, reason=RejectReason.KEY_SHARE)


async def test_a_hello_that_could_not_be_answered_is_not_spent(world, proxy, keys):
    """Only what was answered is remembered as a recording."""
    assert len(proxy.proxy.runtime.state.seen_hellos) == 0
    hello = signed(keys[0], with_extension(world.hello(shape="minimal"), 51, None), world.unix())
    await proxy.told(hello)
    await proxy.told(world.hello(keys[1]))
    assert len(proxy.proxy.runtime.state.seen_hellos) == 0


@pytest.mark.parametrize("protocols", [b"\x00\x09\x08spdy/3.1", b"\x00\x03\x02h3"])
@pytest.mark.parametrize("enforce", [True, False])
async def test_protocols_that_no_site_of_ours_speaks(world, keys, protocols, enforce):
    proxy = await world.start(censorship={"alpn_enforce": enforce})
    hello = signed(keys[0], with_extension(world.hello(), 16, protocols), world.unix())
    if enforce:
        await masked(world, proxy, hello, reason=RejectReason.ALPN)
    else:
        async with await proxy.stranger() as stream:
            await open_tls(stream, keys[0], hello)


@pytest.mark.parametrize("protocols", [None, b"\x00\x03\x02h2", b"\x00\x0c\x02h2\x08http/1.1", b"\x00\x09\x08http/1.1"])
async def test_protocols_that_are_fine(world, proxy, keys, protocols):
    hello = signed(keys[0], with_extension(world.hello(), 16, protocols), world.unix())
    async with await proxy.stranger() as stream:
        await open_tls(stream, keys[0], hello)


# ---------------------------------------------------------------- names


async def test_an_unknown_name_goes_to_the_front_by_default(world, proxy):
    await masked(world, proxy, world.hello(domain="other.example"), reason=RejectReason.UNKNOWN_SNI)


async def test_an_unknown_name_may_meet_silence(world, leaping_clock):
    proxy = await world.start(
        censorship={
            "unknown_sni_action": "drop",
            "server_hello_delay_min_ms": 300,
            "server_hello_delay_max_ms": 300,
        }
    )
    started = trio.current_time()
    async with await proxy.stranger(world.hello(domain="other.example")) as stream:
        assert await stream.receive_some() == b""
    assert trio.current_time() - started == pytest.approx(0.3)
    assert not world.front.visits
    assert not proxy.of(e.Masked, e.MaskFailed)


async def test_an_unknown_name_may_be_refused_as_servers_do(world):
    proxy = await world.start(
        censorship={
            "unknown_sni_action": "reject_handshake",
            "server_hello_delay_min_ms": 9000,
            "server_hello_delay_max_ms": 9000,
        }
    )
    async with await proxy.stranger(world.hello(domain="other.example")) as stream:
        assert await stream.receive_some() == bytes.fromhex("15030300020270")
        assert await stream.receive_some() == b""
    assert not world.front.visits


async def test_an_unknown_name_may_be_let_in(world):
    proxy = await world.start(censorship={"unknown_sni_action": "accept"})
    async with await proxy.client(domain="other.example") as client:
        await client.send(b"in")
        assert await client.receive_exactly(2) == b"in"


@pytest.mark.parametrize("action", ["mask", "drop", "reject_handshake"])
@pytest.mark.parametrize("name", ["front.example.net", "FRONT.Example.Net", "second.example.net", "alice"])
async def test_known_names(world, action, name):
    """A domain in any case, and a user's own name."""
    proxy = await world.start(
        censorship={"unknown_sni_action": action, "tls_domains": ["second.example.net"]},
    )
    async with await proxy.client(domain=name) as client:
        assert client.answer is not None


@pytest.mark.parametrize("action", ["mask", "drop", "reject_handshake"])
@pytest.mark.parametrize(
    "name",
    [None, b"\x00\x0c\x00\x00\x09127.0.0.1", b"\x00\x08\x00\x00\x05a b.c", b"\x00"],
    ids=["none", "ip", "blank", "broken"],
)
async def test_a_hello_without_a_usable_name_is_judged_by_its_secret(world, keys, action, name):
    proxy = await world.start(censorship={"unknown_sni_action": action})
    hello = signed(keys[0], with_extension(world.hello(), 0, name), world.unix())
    async with await proxy.stranger() as stream:
        await open_tls(stream, keys[0], hello)
    stranger = signed(keys[1], with_extension(world.hello(), 0, name), world.unix())
    assert await proxy.told(stranger) == stranger
    assert world.front.visits[0].received == stranger


# ---------------------------------------------------------------- clocks


@pytest.mark.parametrize("skew", [-120, -119, 0, 119, 120])
async def test_a_clock_within_two_minutes(world, proxy, skew):
    async with await proxy.client(unix_time=world.unix() + skew) as client:
        assert client.answer is not None


@pytest.mark.parametrize("skew", [-121, 121, 86_400, -1_000_000_000])
async def test_a_clock_beyond_two_minutes(world, proxy, skew):
    hello = world.hello(unix_time=int(world.unix() + skew))
    await masked(world, proxy, hello, reason=RejectReason.CLOCK)
    (rejected,) = proxy.of(e.HandshakeRejected)
    assert (rejected.user, rejected.skew) == ("alice", -skew)


async def test_the_clock_is_the_one_that_was_passed_in(world, proxy):
    world.unix.advance(1000)
    async with await proxy.client(unix_time=world.unix()) as client:
        assert client.answer is not None


@pytest.mark.parametrize(("uptime", "good"), [(0, True), (119, True), (120, False), (7200, False)])
async def test_a_clock_that_counts_from_boot(world, proxy, uptime, good):
    hello = world.hello(unix_time=uptime)
    if good:
        async with await proxy.client(unix_time=uptime) as client:
            assert client.answer is not None
    else:
        await masked(world, proxy, hello, reason=RejectReason.CLOCK)


async def test_clocks_may_be_ignored(world):
    proxy = await world.start(access={"ignore_time_skew": True})
    async with await proxy.client(unix_time=4_000_000_000) as client:
        assert client.answer is not None


# ---------------------------------------------------------------- replays


@pytest.mark.parametrize("shape", ["tdlib", "legacy", "minimal"])
async def test_a_recorded_hello_goes_to_the_front(world, proxy, keys, shape):
    hello = world.hello(shape=shape)
    async with await proxy.stranger() as stream:
        await open_tls(stream, keys[0], hello)
    await proxy.all_closed()
    assert await proxy.told(hello) == hello
    assert [visit.received for visit in world.front.visits] == [hello]
    assert [event.reason for event in proxy.of(e.HandshakeRejected)][-1] is RejectReason.REPLAY


@pytest.mark.parametrize("delay", [0, 20], ids=["at-once", "delayed"])
async def test_of_two_identical_hellos_at_once_exactly_one_is_answered(world, keys, delay):
    world.front.behaviour = alert()
    proxy = await world.start(censorship={"server_hello_delay_min_ms": delay, "server_hello_delay_max_ms": delay})
    hello = world.hello()
    outcomes = []

    async def knock(gate):
        async with await proxy.stranger() as stream:
            await gate.wait()
            try:
                outcomes.append(await open_tls(stream, keys[0], hello))
            except RemoteProtocolError as refused:
                outcomes.append(refused)

    gate = trio.Event()
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(knock, gate)
        gate.set()
    assert sum(not isinstance(outcome, RemoteProtocolError) for outcome in outcomes) == 1
    assert len(world.front.visits) == 7


async def test_a_replay_stays_one_for_as_long_as_its_time_is_good(world, keys, leaping_clock):
    """A hello stamped two minutes ahead is acceptable for four."""
    world.front.behaviour = alert()
    proxy = await world.start()
    hello = world.hello(unix_time=int(world.unix()) + 120)
    async with await proxy.stranger() as stream:
        await open_tls(stream, keys[0], hello)
    await trio.sleep(239)
    world.unix.advance(239)
    assert await proxy.told(hello) == ALERT
    assert proxy.of(e.HandshakeRejected)[-1].reason is RejectReason.REPLAY


@pytest.mark.parametrize("mode", [Mode.SECURE, Mode.CLASSIC])
async def test_a_recorded_nonce_goes_to_the_front(world, proxy, mode):
    async with await proxy.client(mode) as client:
        recorded = client.seal(b"first packet")
        await client.stream.send_all(recorded)
        assert await client.receive_exactly(12) == b"first packet"
    assert await proxy.told(recorded) == recorded
    assert world.front.visits[0].received == recorded
    await proxy.all_closed()
    assert proxy.of(e.HandshakeRejected)[0].reason is RejectReason.REPLAY


async def test_a_recorded_nonce_inside_another_hello(world, proxy, keys):
    async with await proxy.client() as client:
        recorded = client.seal(b"first packet")
        await client.stream.send_all(recorded)
        assert await client.receive_exactly(12) == b"first packet"
    async with await proxy.stranger() as stream:
        await open_tls(stream, keys[0], world.hello())
        await stream.send_all(recorded)
        await stream.send_eof()
        got = b"".join([data async for data in stream])
    # The front sees what stood behind the nonce in its record, wrapped again.
    assert got == b"\x17\x03\x03\x00\x0c" + recorded[-12:]
    assert world.front.visits[0].received == got
    await proxy.all_closed()
    assert proxy.of(e.HandshakeRejected)[0].reason is RejectReason.REPLAY


# ---------------------------------------------------------------- behind an accepted hello


@pytest.mark.parametrize("tail", [b"", b"x", bytes(1000)])
async def test_a_good_hello_with_a_garbage_nonce(world, proxy, keys, tail):
    """The front gets the rest of that record and everything after it, and the stranger what the front says."""
    garbage = b"\x05" + world.entropy(63) + tail
    later = b"\x17\x03\x03\x00\x03abc"
    async with await proxy.stranger() as stream:
        await open_tls(stream, keys[0], world.hello())
        record = b"\x17\x03\x03" + len(garbage).to_bytes(2, "big") + garbage
        await stream.send_all(CHANGE_CIPHER_SPEC + record)
        await proxy.event(e.HandshakeRejected)
        await stream.send_all(later)
        await stream.send_eof()
        got = b"".join([data async for data in stream])
    rewrapped = b"\x17\x03\x03" + len(tail).to_bytes(2, "big") + tail if tail else b""
    assert world.front.visits[0].received == rewrapped + later
    assert got == rewrapped + later
    assert proxy.of(e.HandshakeRejected)[0].reason is RejectReason.WRONG_SECRET


async def test_a_garbage_nonce_whose_record_is_still_arriving(world, proxy, keys, settled):
    garbage = b"\x05" + world.entropy(199)
    record = b"\x17\x03\x03\x00\xc8" + garbage
    async with await proxy.stranger() as stream:
        await open_tls(stream, keys[0], world.hello())
        await stream.send_all(record[:100])
        await settled()
        await stream.send_all(record[100:])
        await stream.send_eof()
        got = b"".join([data async for data in stream])
    assert got == b"\x17\x03\x03\x00\x88" + garbage[64:]


@pytest.mark.parametrize(
    "behind", ["474554202f20485454502f312e31", "1603010005aabbccddee", "15030300020100"], ids=["http", "hello", "alert"]
)
async def test_broken_records_behind_a_good_hello_meet_silence(world, proxy, keys, behind):
    """Who got this far holds the secret or a recording of somebody's stream: there is no front to show any more."""
    async with await proxy.stranger() as stream:
        await open_tls(stream, keys[0], world.hello())
        await stream.send_all(bytes.fromhex(behind))
        assert await stream.receive_some() == b""
    await proxy.all_closed()
    assert proxy.of(e.HandshakeRejected)[0].reason is RejectReason.BROKEN_RECORDS
    assert not world.front.visits


async def test_the_end_of_the_stream_behind_a_good_hello(world, proxy, keys):
    async with await proxy.stranger() as stream:
        await open_tls(stream, keys[0], world.hello())
        await stream.send_eof()
        assert await stream.receive_some() == b""
    await proxy.all_closed()
    assert proxy.of(e.HandshakeRejected)[0].reason is RejectReason.END_OF_STREAM
    assert not world.front.visits


async def test_a_nonce_of_another_user_than_the_hello(world, keys):
    proxy = await world.start(access={"users": {"alice": keys[0].hex(), "bob": keys[1].hex()}})
    async with await proxy.stranger() as stream:
        await open_tls(stream, keys[0], world.hello())
        nonce = make_nonce(SECURE, 2, world.entropy, secret=keys[1]).wire
        await stream.send_all(b"\x17\x03\x03\x00\x40" + nonce)
        await stream.send_eof()
        assert await stream.receive_some() == b""
    await proxy.all_closed()
    assert not proxy.of(e.HandshakeAccepted)


# ---------------------------------------------------------------- the front's side


async def test_the_front_may_close_first(world):
    world.front.behaviour = half_close(PAGE)
    proxy = await world.start()
    async with await proxy.stranger(b"GET / HTTP/1.1\r\n") as stream:
        got = b"".join([data async for data in stream])
        assert got == PAGE
        await stream.send_all(b"more")
    visit = world.front.visits[0]
    await visit.ended.wait()
    assert visit.received == b"GET / HTTP/1.1\r\nmore"


async def test_the_stranger_may_close_first(world):
    world.front.behaviour = answer_at_end(PAGE)
    proxy = await world.start()
    assert await proxy.told(b"GET / HTTP/1.1\r\n", b"\r\n") == PAGE


async def test_a_front_that_says_nothing(world, proxy, settled):
    world.front.behaviour = collect
    async with await proxy.stranger(b"GET / HTTP/1.1\r\n") as stream:
        await settled()
        await stream.send_eof()
        assert await stream.receive_some() == b""
    await proxy.all_closed()
    assert proxy.of(e.Masked)[0].bytes_down == 0


async def test_a_conversation_with_the_front(world, proxy):
    world.front.behaviour = echo
    async with await proxy.stranger(b"GET / HTTP/1.1\r\n") as stream:
        assert await stream.receive_some() == b"GET / HTTP/1.1\r\n"
        for size in (1, 1000, 10_000):
            data = world.entropy(size)
            await stream.send_all(data)
            got = b""
            while len(got) < size:
                got += await stream.receive_some()
            assert got == data


async def test_a_megabyte_each_way(world, proxy):
    data = b"GET " + world.entropy(1 << 20)
    async with await proxy.stranger() as stream, trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, data)
        got = b""
        while len(got) < len(data):
            got += await stream.receive_some()
        assert got == data


async def test_a_replay_of_a_clock_from_boot_stays_one(world, keys, leaping_clock):
    """A hello stamped with an uptime does not age, so it must not be forgotten."""
    world.front.behaviour = alert()
    proxy = await world.start()
    hello = world.hello(unix_time=50)
    async with await proxy.stranger() as stream:
        await open_tls(stream, keys[0], hello)
    await trio.sleep(3600)
    world.unix.advance(3600)
    assert await proxy.told(hello) == ALERT
