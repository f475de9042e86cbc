"""Find out whose connection this is, and answer it.

The handshake returns a verdict and lets the caller act: it never closes a socket, never masks, and its time limit is
the caller's. Every doubt is a :class:`Rejected`. What it sends is the answer to one authentic ClientHello, in exactly
one write, and nothing after it before the client's first record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import trio

from telemt_trio.config.values import UnknownSniAction
from telemt_trio.errors import RemoteProtocolError
from telemt_trio.events import Mode, RejectReason
from telemt_trio.shaping.timing import sample_delay
from telemt_trio.wire.client_hello import (
    SIGNED_SIZE,
    acceptable_time,
    first_match,
    parse_client_hello,
    timestamp,
    zeroed,
)
from telemt_trio.wire.need_data import NEED_DATA
from telemt_trio.wire.obfuscated2 import SECURE, open_nonce
from telemt_trio.wire.opening import Hello, Nonce, PlainNonce, Stranger
from telemt_trio.wire.server_hello import build_answer, choose_cipher, choose_group, server_key_share

if TYPE_CHECKING:
    import socket

    from telemt_trio.guard.users import User
    from telemt_trio.net.peer import Peer
    from telemt_trio.proxy.runtime import Runtime
    from telemt_trio.proxy.settings import HandshakeSettings
    from telemt_trio.wire.client_hello import ClientHello
    from telemt_trio.wire.obfuscated2 import OpenedNonce
    from telemt_trio.wire.opening import Opening

__all__ = ["READ_SIZE", "Accepted", "Handshake", "Rejected", "receive"]

READ_SIZE: Final = 16384
_CANDIDATES_A_TURN: Final = 256
_REPLAY_KEY: Final = slice(0, 16)  # of a hello's random: what its sender cannot choose twice
_UNRECOGNIZED_NAME: Final = bytes.fromhex("15030300020270")  # a fatal alert, RFC 6066 section 3


@attrs.frozen
class Accepted:
    """A client: whose, how it hides, what it asked for. ``surplus`` is payload that came behind the nonce."""

    user: User
    mode: Mode
    nonce: OpenedNonce = attrs.field(repr=False)
    surplus: bytes = attrs.field(repr=False)


@attrs.frozen
class Rejected:
    """No client. ``silent`` closes it without the front; ``skew`` (seconds) where only a clock was wrong."""

    reason: RejectReason
    user: str | None = None
    skew: int | None = None
    silent: bool = False


@attrs.define(eq=False)
class Handshake:
    """One connection's handshake. ``opening`` holds what a front must see when :meth:`run` rejects or is cancelled."""

    sock: socket.socket
    peer: Peer
    opening: Opening
    settings: HandshakeSettings
    runtime: Runtime

    async def run(self) -> Accepted | Rejected:
        """Read until the connection is somebody or nobody.

        Raises OSError when the connection breaks. Cancellation (the caller's time limit) leaves every byte read in
        ``opening``.
        """
        opening = self.opening
        while (event := opening.next_event()) is NEED_DATA:
            data = await receive(self.sock, READ_SIZE)
            if not data:
                # Who said nothing at all gets nothing; who stopped halfway is the front's business.
                return Rejected(RejectReason.END_OF_STREAM, silent=not opening.raw)
            opening.receive_data(data)
        if isinstance(event, Hello):
            user = await self._hello(event.record)
            return user if isinstance(user, Rejected) else await self._records(user)
        if isinstance(event, PlainNonce):
            return await self._plain_nonce(event)
        return Rejected(event.reason if isinstance(event, Stranger) else RejectReason.NOT_OURS)

    # ---- FakeTLS

    async def _hello(self, record: bytes) -> User | Rejected:
        """Authenticate a ClientHello and answer it; a rejection takes as long as an answer."""
        verdict = await self._authenticate(record)
        delay = sample_delay(self.settings.delay_min_ms, self.settings.delay_max_ms, self.runtime.rng)
        if isinstance(verdict, Rejected):
            if verdict.reason is RejectReason.UNKNOWN_SNI:
                return await self._unknown_name(verdict, delay)
            if delay:
                await trio.sleep(delay)
            return verdict
        user, answer = verdict
        if delay:
            await trio.sleep(delay)
        await send_all(self.sock, answer)
        return user

    async def _unknown_name(self, rejected: Rejected, delay: float) -> Rejected:
        if self.settings.unknown_sni is UnknownSniAction.REJECT_HANDSHAKE:
            await send_all(self.sock, _UNRECOGNIZED_NAME)
        elif delay:
            await trio.sleep(delay)
        return attrs.evolve(rejected, silent=self.settings.unknown_sni is not UnknownSniAction.MASK)

    async def _authenticate(self, record: bytes) -> tuple[User, bytes] | Rejected:
        """Whose hello this is, with the answer to it. A digest is claimed only once nothing else can refuse it."""
        try:
            hello = parse_client_hello(record)
        except RemoteProtocolError:
            return Rejected(RejectReason.BROKEN_HELLO)
        settings = self.settings
        if settings.alpn_enforce and hello.alpn and b"h2" not in hello.alpn and b"http/1.1" not in hello.alpn:
            return Rejected(RejectReason.ALPN)
        if self._name_is_unknown(hello.server_name):
            return Rejected(RejectReason.UNKNOWN_SNI)
        match = await self._find_user(hello)
        if isinstance(match, Rejected):
            return match
        found, made = match
        cipher, group = choose_cipher(hello), choose_group(hello)
        if cipher is None or group is None:
            return Rejected(RejectReason.KEY_SHARE, found.name)
        state = self.runtime.state
        timeless = settings.ignore_time_skew or made < settings.boot_cap
        if not (state.seen_timeless if timeless else state.seen_hellos).claim(hello.random[_REPLAY_KEY]):
            return Rejected(RejectReason.REPLAY, found.name)
        self._remember(found, hello.server_name)
        entropy = self.runtime.entropy
        answer = build_answer(
            secret=found.secret,
            hello=hello,
            cipher=cipher,
            group=group,
            key_share=server_key_share(group, entropy, self.runtime.x25519_public),
            app_data=self.runtime.noise(settings.filler_size),
        )
        return found, answer

    def _name_is_unknown(self, name: str | None) -> bool:
        """A hello without a usable name goes on to authentication; a user's own name is as good as a domain."""
        settings = self.settings
        if name is None or settings.unknown_sni is UnknownSniAction.ACCEPT or name.lower() in settings.domains:
            return False
        return self.runtime.state.users.get(name) is None

    async def _find_user(self, hello: ClientHello) -> tuple[User, int] | Rejected:
        """The user whose key made this hello, and when (unix seconds). Yields to others every 256 candidates."""
        state = self.runtime.state
        users = state.users
        hinted = state.candidates.hinted(
            users, peer=self.peer.host, network=self.peer.network, server_name=hello.server_name
        )
        message, signed = zeroed(hello.record), hello.random[:SIGNED_SIZE]
        verdict = Rejected(RejectReason.WRONG_SECRET)
        # Those who were here before, then everybody: a second look at the first few is cheaper than leaving them out.
        for likely in (hinted, state.candidates.recent(users), users.all):
            keys = users.keys if likely is users.all else [user.key for user in likely]
            for first in range(0, len(keys), _CANDIDATES_A_TURN):
                if first:
                    await trio.lowlevel.checkpoint()
                turn = keys[first : first + _CANDIDATES_A_TURN]
                match = first_match(turn, message, signed)
                while match is not None:
                    place, mac = match
                    made = timestamp(hello.random, mac)
                    skew = self._skew(made)
                    if skew is None:
                        return likely[first + place], made
                    verdict = Rejected(RejectReason.CLOCK, likely[first + place].name, skew)
                    match = first_match(turn, message, signed, place + 1)
        return verdict

    def _skew(self, made: int) -> int | None:
        """None when a hello made at that time is acceptable, else by how many seconds its clock is behind ours."""
        if self.settings.ignore_time_skew:
            return None
        now = self.runtime.clocks.unix()
        return None if acceptable_time(made, now, boot_cap=self.settings.boot_cap) else int(now) - made

    async def _records(self, user: User) -> Accepted | Rejected:
        """The answer is out: the nonce comes inside records. Who does not send one knows a secret, and is just
        closed.
        """
        opening = self.opening
        opening.hello_accepted()
        while (event := opening.next_event()) is NEED_DATA:
            data = await receive(self.sock, READ_SIZE)
            if not data:
                return Rejected(RejectReason.END_OF_STREAM, user.name, silent=True)
            opening.receive_data(data)
        if isinstance(event, Nonce):
            return self._nonce_inside_tls(event, user)
        return Rejected(RejectReason.BROKEN_RECORDS, user.name, silent=True)

    # ---- obfuscated2

    def _nonce_inside_tls(self, event: Nonce, user: User) -> Accepted | Rejected:
        """The nonce must be made with the same secret as the hello."""
        opened = open_nonce(event.nonce, user.secret)
        if opened is None:
            return Rejected(RejectReason.WRONG_SECRET)
        if not (self.settings.tls if opened.tag == SECURE else self.settings.classic):
            return Rejected(RejectReason.WRONG_MODE, user.name)
        return self._claim(event, user, Mode.TLS, opened)

    async def _plain_nonce(self, event: PlainNonce) -> Accepted | Rejected:
        """Try every secret: the tag they would decrypt is all there is to tell."""
        state = self.runtime.state
        hinted = state.candidates.hinted(state.users, peer=self.peer.host, network=self.peer.network, server_name=None)
        wrong_mode: Rejected | None = None
        for tried, user in enumerate(state.candidates.order(state.users, hinted), 1):
            opened = open_nonce(event.nonce, user.secret)
            if opened is not None:
                mode = Mode.SECURE if opened.tag == SECURE else Mode.CLASSIC
                if self.settings.secure if mode is Mode.SECURE else self.settings.classic:
                    verdict = self._claim(event, user, mode, opened)
                    if isinstance(verdict, Accepted):
                        self._remember(user, None)
                    return verdict
                wrong_mode = Rejected(RejectReason.WRONG_MODE, user.name)
            if tried % _CANDIDATES_A_TURN == 0:
                await trio.lowlevel.checkpoint()
        return wrong_mode or Rejected(RejectReason.WRONG_SECRET)

    def _claim(self, event: Nonce | PlainNonce, user: User, mode: Mode, opened: OpenedNonce) -> Accepted | Rejected:
        if not self.runtime.state.seen_nonces.claim(event.nonce[8:56]):
            return Rejected(RejectReason.REPLAY, user.name)
        return Accepted(user, mode, opened, event.surplus)

    def _remember(self, user: User, server_name: str | None) -> None:
        self.runtime.state.candidates.remember(
            user, peer=self.peer.host, network=self.peer.network, server_name=server_name
        )


async def receive(sock: socket.socket, size: int) -> bytes:
    """At most ``size`` bytes; b"" at the end of the stream. Tries first, waits only if there is nothing."""
    while True:
        try:
            return sock.recv(size)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(sock)


async def send_all(sock: socket.socket, data: bytes) -> None:
    """Send ``data`` in one write where the socket takes it, which a fresh one always does for an answer."""
    view = memoryview(data)
    while view:
        try:
            view = view[sock.send(view) :]
        except BlockingIOError:
            await trio.lowlevel.wait_writable(sock)
