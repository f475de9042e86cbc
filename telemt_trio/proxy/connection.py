"""One connection: socket -> opening -> stranger or session. The story of the proxy in one function."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import trio

from telemt_trio.config.values import RstOnClose
from telemt_trio.events import (
    ConnectionClosed,
    ConnectionOpened,
    HandshakeAccepted,
    HandshakeRejected,
    Mode,
    RejectReason,
    UnexpectedError,
)
from telemt_trio.net.sockets import close_socket
from telemt_trio.proxy.client_end import ClientEnd
from telemt_trio.proxy.handshake import READ_SIZE, Accepted, Handshake, Rejected, receive
from telemt_trio.proxy.masking import mask
from telemt_trio.proxy.session import Identity, Session
from telemt_trio.upstream.choice import scope_of
from telemt_trio.wire.opening import Opening
from telemt_trio.wire.tls_records import RecordWriter

if TYPE_CHECKING:
    from telemt_trio.net.peer import Peer
    from telemt_trio.proxy.runtime import Runtime
    from telemt_trio.proxy.settings import Settings

__all__ = ["serve"]


async def serve(sock: socket.socket, peer: Peer, number: int, runtime: Runtime) -> None:
    """Serve one accepted socket to its end and close it.

    Nothing but ``Cancelled`` comes out: what neither a limit nor a peer explains is an :class:`UnexpectedError` event,
    and the proxy goes on without this connection.
    """
    settings = runtime.settings
    reset = settings.rst_on_close is not RstOnClose.OFF
    try:
        runtime.emit(ConnectionOpened(number, peer.host))
        accepted = await _open(sock, peer, number, settings, runtime)
        if accepted is not None:
            reset = settings.rst_on_close is RstOnClose.ALWAYS
            await _relay(sock, accepted, number, settings, runtime)
    except* Exception as bugs:  # noqa: BLE001  # the boundary of a connection; a cancellation beside them passes on
        runtime.emit(UnexpectedError(number, bugs.exceptions[0] if len(bugs.exceptions) == 1 else bugs))
    finally:
        close_socket(sock, reset=reset)
        runtime.emit(ConnectionClosed(number))


async def _open(
    sock: socket.socket, peer: Peer, number: int, settings: Settings, runtime: Runtime
) -> tuple[Accepted, Opening] | None:
    """Find out who it is; a stranger has been served to its end when None comes back."""
    limits = settings.handshake
    opening = Opening(tls=limits.tls, plain=limits.plain)
    verdict: Accepted | Rejected
    started = trio.current_time()
    with trio.CancelScope(deadline=started + limits.first_byte_limit) as scope:
        try:
            opening.receive_data(await receive(sock, READ_SIZE))
            started = trio.current_time()
            scope.deadline = started + limits.limit
            verdict = await Handshake(sock, peer, opening, limits, runtime).run()
        except OSError:
            verdict = Rejected(RejectReason.BROKEN, silent=True)
    if scope.cancelled_caught:
        heard = bool(opening.raw) or opening.answered
        # Who said nothing, and who was answered by us, is nobody that the front could serve.
        silent = opening.answered or not heard
        verdict = Rejected(RejectReason.TIMEOUT if heard else RejectReason.SILENT, silent=silent)
    if isinstance(verdict, Accepted):
        user, dc = verdict.user.name, verdict.nonce.dc
        runtime.emit(HandshakeAccepted(number, user, verdict.mode, dc, trio.current_time() - started))
        return verdict, opening
    runtime.emit(HandshakeRejected(number, verdict.reason, verdict.user, verdict.skew))
    if not verdict.silent:
        await mask(sock, opening.raw, number, settings.mask, runtime)
    return None


async def _relay(
    sock: socket.socket, opened: tuple[Accepted, Opening], number: int, settings: Settings, runtime: Runtime
) -> None:
    """Be the session of an authenticated client."""
    accepted, opening = opened
    in_records = accepted.mode is Mode.TLS
    if settings.relay.bulk_mss:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, settings.relay.bulk_mss)
    end = ClientEnd(
        sock,
        accepted.nonce,
        decoder=opening.reader if in_records else None,
        encoder=RecordWriter() if in_records else None,
        surplus=accepted.surplus,
    )
    name = accepted.user.name
    await Session(Identity(name, scope_of(name)), end, accepted.nonce.dc, number, settings.relay, runtime).run()
