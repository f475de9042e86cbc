"""Seeded fuzzing of every parser of bytes that come from outside.

    python -m tests.fuzz.run [--count N] [--seed S] [--parser PREFIX]...

The invariant: whatever arrives, cut wherever, a parser answers with a value, with NEED_DATA or with RemoteProtocolError
(secrets: ConfigError). Inputs are random bytes, valid samples and mutations of them. A violation is reported with
the seed, the number of the input and its pieces in hex, ends that parser's turn and makes the exit status 1. The same
seed always draws the same inputs for a parser, whichever others are fuzzed beside it. A parser that hangs for a minute
ends the run with its traceback.

A new parser gets a row in TABLE: a function that imports it, so that the table can be read without it, and returns
samples and a way to feed it.
"""

import argparse
import faulthandler
import json
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from telemt_trio.errors import ConfigError, RemoteProtocolError
from telemt_trio.wire.need_data import NEED_DATA

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
SECRET = bytes.fromhex("00112233445566778899aabbccddeeff")
HANG_SECONDS = 60
BLOCK = 1000  # inputs between two looks at the clock


class Target(NamedTuple):
    """One parser: valid inputs to start from, and ``feed(pieces)``, which says whether a value came out."""

    samples: list[bytes]
    feed: Callable[[list[bytes]], bool]
    refusal: type[Exception] = RemoteProtocolError


def recorded(name: str, key: str) -> list[bytes]:
    return [bytes.fromhex(entry[key]) for entry in json.loads((VECTORS / name).read_text())]


def every_event(make: Callable[[], Any], pieces: list[bytes]) -> bool:
    """Feed a parser that goes on for as long as its stream does."""
    parser = make()
    found = False
    for piece in pieces:
        parser.receive_data(piece)
        while parser.next_event() is not NEED_DATA:
            found = True
    return found


def first_event(make: Callable[[], Any], pieces: list[bytes]) -> bool:
    """Feed a parser that is done after one event."""
    parser = make()
    for piece in pieces:
        parser.receive_data(piece)
        if parser.next_event() is not NEED_DATA:
            return True
    return False


# The parsers


def client_hello() -> Target:
    from telemt_trio.wire.client_hello import parse_client_hello
    from telemt_trio.wire.fingerprints import ja3, ja4

    def feed(pieces: list[bytes]) -> bool:
        hello = parse_client_hello(b"".join(pieces))
        hello.version  # noqa: B018 - read on access, from bytes of the peer
        ja3(hello)
        ja4(hello)
        return True

    return Target(recorded("tdlib_client_hello.json", "hex"), feed)


def answers() -> list[bytes]:
    from telemt_trio.wire.client_hello import parse_client_hello
    from telemt_trio.wire.server_hello import X25519, X25519MLKEM768, build_answer

    hello = parse_client_hello(recorded("tdlib_client_hello.json", "hex")[0])
    return [
        build_answer(
            secret=SECRET, hello=hello, cipher=0x1301, group=group, key_share=bytes(size), app_data=bytes(app_data)
        )
        for group, size in ((X25519, 32), (X25519MLKEM768, 1120))
        for app_data in (1, 64, 2000)
    ]


def answer() -> Target:
    from telemt_trio.wire.server_hello import AnswerReader

    client_random = recorded("tdlib_client_hello.json", "hex")[0][11:43]
    return Target(answers(), partial(first_event, partial(AnswerReader, SECRET, client_random)))


def server_hello() -> Target:
    from telemt_trio.wire.server_hello import parse_server_hello

    def feed(pieces: list[bytes]) -> bool:
        parse_server_hello(b"".join(pieces)).group  # noqa: B018 - read on access, from bytes of the peer
        return True

    return Target([sample[: 5 + int.from_bytes(sample[3:5], "big")] for sample in answers()], feed)


def tls_records() -> Target:
    from telemt_trio.wire.tls_records import RecordReader

    def feed(pieces: list[bytes]) -> bool:
        reader = RecordReader()
        return bool(sum(len(reader.decode(piece)) for piece in pieces))

    return Target(recorded("faketls_first_flight.json", "first_flight"), feed)


def opening(*, tls: bool, plain: bool) -> Target:
    from telemt_trio.wire.opening import Hello, Opening

    def feed(pieces: list[bytes]) -> bool:
        parser = Opening(tls=tls, plain=plain)
        event: object = NEED_DATA
        for piece in pieces:
            parser.receive_data(piece)
            event = parser.next_event()
            if isinstance(event, Hello):
                parser.hello_accepted()
                event = parser.next_event()
            parser.raw  # noqa: B018 - what the front would be given now
            if event is not NEED_DATA:
                break
        return event is not NEED_DATA

    hellos = recorded("faketls_first_flight.json", "client_hello")
    flights = recorded("faketls_first_flight.json", "first_flight")
    whole = [hello + flight for hello, flight in zip(hellos, flights, strict=True)]
    return Target([*whole, *recorded("obfuscated2_first_bytes.json", "hex"), b"GET / HTTP/1.1\r\n\r\n"], feed)


def obfuscated2() -> Target:
    from telemt_trio.wire.obfuscated2 import NONCE_SIZE, open_nonce

    def feed(pieces: list[bytes]) -> bool:
        nonce = b"".join(pieces)[:NONCE_SIZE].ljust(NONCE_SIZE, b"\0")
        return open_nonce(nonce, SECRET) is not None

    return Target([sample[:NONCE_SIZE] for sample in recorded("obfuscated2_first_bytes.json", "hex")], feed)


def framing(tag_name: str, *, from_server: bool) -> Target:
    from telemt_trio.wire import obfuscated2
    from telemt_trio.wire.framing import FrameReader, frame, quick_ack_bytes

    tag = getattr(obfuscated2, tag_name)
    sizes = (0, 4, 8, 40, 504, 508, 512, 1024)
    noise = random.Random(1).randbytes  # not zeros: each of them would be an empty frame once a mutation shifts them
    samples = [
        frame(tag, noise(size), quick_ack=wanted, padding=lambda: b"pad") for size in sizes for wanted in (False, True)
    ]
    samples += [samples[2] + samples[3] + samples[5], samples[3] * 20, quick_ack_bytes(tag, 0x89ABCDEF) * 2]
    return Target(samples, partial(every_event, partial(FrameReader, tag, 4096, from_server=from_server)))


def proxy_header() -> Target:
    from telemt_trio.wire.proxy_header import ProxyHeaderReader, proxy_header_v1, proxy_header_v2

    pairs = [
        (("192.0.2.1", 12345), ("198.51.100.2", 443)),
        (("2001:db8::1", 12345), ("2001:db8::2", 443)),
        (None, None),
    ]
    samples = [write(*pair) + b"following" for pair in pairs for write in (proxy_header_v1, proxy_header_v2)]
    return Target(samples, partial(first_event, ProxyHeaderReader))


def as_text(parse: Callable[[str], object]) -> Callable[[list[bytes]], bool]:
    def feed(pieces: list[bytes]) -> bool:
        parse(b"".join(pieces).decode("utf-8", "replace"))
        return True

    return feed


def secret() -> Target:
    import base64

    from telemt_trio.wire.secrets import parse_secret

    raw = [SECRET, b"\xdd" + SECRET, b"\xee" + SECRET + b"example.com"]
    forms = (bytes.hex, base64.urlsafe_b64encode, base64.b64encode)
    samples = [form(one) for one in raw for form in forms]
    return Target(
        [one.encode() if isinstance(one, str) else one for one in samples], as_text(parse_secret), ConfigError
    )


def link() -> Target:
    from telemt_trio.wire.secrets import parse_link

    query = b"?server=192.0.2.1&port=443&secret=dd" + SECRET.hex().encode()
    return Target([b"tg://proxy" + query, b"https://t.me/proxy" + query], as_text(parse_link), ConfigError)


TABLE: dict[str, Callable[[], Target]] = {
    "client_hello": client_hello,
    "server_hello": server_hello,
    "answer": answer,
    "tls_records": tls_records,
    "opening-tls": partial(opening, tls=True, plain=False),
    "opening-plain": partial(opening, tls=False, plain=True),
    "opening-both": partial(opening, tls=True, plain=True),
    "obfuscated2": obfuscated2,
    "framing-abridged-client": partial(framing, "ABRIDGED", from_server=False),
    "framing-abridged-server": partial(framing, "ABRIDGED", from_server=True),
    "framing-intermediate-client": partial(framing, "INTERMEDIATE", from_server=False),
    "framing-intermediate-server": partial(framing, "INTERMEDIATE", from_server=True),
    "framing-secure-client": partial(framing, "SECURE", from_server=False),
    "framing-secure-server": partial(framing, "SECURE", from_server=True),
    "proxy_header": proxy_header,
    "secret": secret,
    "link": link,
}


# The inputs

EDGES = (0, 1, 2, 3, 4, 5, 0x0D, 0x0A, 0x16, 0x17, 0x20, 0x7E, 0x7F, 0x80, 0xEF, 0xFE, 0xFF)


def mutate(rng: random.Random, data: bytearray, other: bytes) -> None:
    """Change ``data`` in one way, more often near its start, where formats keep their headers."""
    size = len(data)
    at = int(size * rng.random() ** 2)
    span = int(rng.random() * 20)
    way = int(rng.random() * 8)
    if way == 0 and size:
        data[at] ^= 1 << int(rng.random() * 8)
    elif way == 1 and size:
        data[at] = EDGES[int(rng.random() * len(EDGES))]
    elif way == 2:  # a length that fits what follows, or misses it by a little
        width = 1 + int(rng.random() * 4)
        length = max(0, size - at - width + int(rng.random() * 5) - 2)
        data[at : at + width] = (length % 256**width).to_bytes(width, "little" if span & 1 else "big")
    elif way == 3:
        del data[at:]
    elif way == 4:
        del data[at : at + span]
    elif way == 5:
        data[at:at] = rng.randbytes(span)
    elif way == 6:
        data[at:at] = data[at : at + 4 * span]
    else:
        data[at:] = other[at:]


def draw(rng: random.Random, samples: list[bytes]) -> bytes:
    kind = rng.random()
    if kind < 0.1:
        return rng.randbytes(int(200 * rng.random() ** 2))
    data = bytearray(rng.choice(samples))
    if kind > 0.2:
        for _ in range(1 + int(rng.random() * 4)):
            mutate(rng, data, rng.choice(samples))
    return bytes(data)


def cut(rng: random.Random, data: bytes) -> list[bytes]:
    kind = rng.random()
    if kind < 0.4:
        return [data]
    if kind < 0.5 and len(data) < 100:
        return [data[at : at + 1] for at in range(len(data))]
    places = sorted(int(rng.random() * len(data)) for _ in range(1 + int(rng.random() * 4)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def inputs(rng: random.Random, samples: list[bytes], count: int) -> Iterator[list[bytes]]:
    for _ in range(count):
        yield cut(rng, draw(rng, samples))


# The run


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def fuzz(name: str, seed: int, count: int) -> bool:
    """Feed one parser. False, after a report, if it broke the invariant."""
    samples, feed, refusal = TABLE[name]()
    found: Counter[str] = Counter()
    started = time.perf_counter()
    for number, pieces in enumerate(inputs(random.Random(f"{seed}/{name}"), samples, count)):
        if number % BLOCK == 0:
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        try:
            found["value" if feed(pieces) else "need data"] += 1
        except refusal:
            found["refused"] += 1
        except Exception:  # noqa: BLE001 - this is what is looked for
            say(f"{name}: broken by input {number} of seed {seed}: {' '.join(piece.hex() for piece in pieces)}")
            say(traceback.format_exc())
            return False
    counts = "".join(f"{found[kind]:>12} {kind}" for kind in ("value", "need data", "refused"))
    say(f"{name:<28}{sum(found.values()):>10} inputs{counts}{time.perf_counter() - started:>8.1f} s")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz.run", description="Fuzz the parsers of telemt_trio.wire."
    )
    parser.add_argument("--count", type=int, default=10**6, help="inputs per parser (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="an integer; drawn and printed if left out")
    parser.add_argument("--parser", action="append", default=[], help=f"a name or its beginning: {', '.join(TABLE)}")
    options = parser.parse_args()
    names = [name for name in TABLE if not options.parser or name.startswith(tuple(options.parser))]
    if not names:
        parser.error("no parser is called so")
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    say(f"seed {seed}")
    broken = [name for name in names if not fuzz(name, seed, options.count)]
    faulthandler.cancel_dump_traceback_later()
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
