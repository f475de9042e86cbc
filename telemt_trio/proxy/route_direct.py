"""The direct route: straight to a datacenter, the client's framing kept end to end.

Up, payload is decrypted with the client's key and encrypted with the datacenter's. Down, in fast mode, the datacenter
was asked to encrypt with the client's own key, so its stream goes to the client as it is, only cut into records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from telemt_trio.events import EndReason
from telemt_trio.relay.ends import SCRATCH_SIZE, scratch
from telemt_trio.relay.pipe import Pipe
from telemt_trio.wire.obfuscated2 import make_nonce

if TYPE_CHECKING:
    import socket

    from telemt_trio.proxy.client_end import ClientEnd
    from telemt_trio.proxy.runtime import Runtime
    from telemt_trio.proxy.settings import RelaySettings

__all__ = ["DirectRoute", "open_direct"]


@attrs.frozen(eq=False)
class DirectRoute:
    """A connection to a datacenter and the two pipes over it. The caller closes ``sock``."""

    sock: socket.socket = attrs.field(repr=False)
    up: Pipe
    down: Pipe


async def open_direct(
    end: ClientEnd, dc: int, scope: str | None, settings: RelaySettings, runtime: Runtime
) -> DirectRoute:
    """Connect to datacenter ``dc`` and lay the pipes; nonce and what the client sent behind its own leave as one write.

    Raises :class:`telemt_trio.errors.UpstreamError`; nothing stays open then.
    """
    connected = await runtime.upstreams.connect(dc, scope=scope)
    theirs = end.nonce
    reply = (theirs.reply_key, theirs.reply_iv) if settings.fast_mode else None
    nonce = make_nonce(theirs.tag, dc, runtime.entropy, reply=reply)
    buffers = scratch()
    up = Pipe(
        end.sock,
        connected.socket,
        buffers,
        decoder=end.decoder,
        ciphers=(theirs.decrypt.update_into, nonce.encrypt.update_into),
        read_size=min(settings.read_up, SCRATCH_SIZE),
        source_lost=EndReason.CLIENT_LOST,
        sink_lost=EndReason.UPSTREAM_LOST,
    )
    down = Pipe(
        connected.socket,
        end.sock,
        buffers,
        ciphers=() if settings.fast_mode else (nonce.decryptor().update_into, theirs.encryptor().update_into),
        encoder=end.encoder,
        read_size=min(settings.read_down, SCRATCH_SIZE),
        source_lost=EndReason.UPSTREAM_LOST,
        sink_lost=EndReason.CLIENT_LOST,
    )
    first = nonce.encrypt.update(theirs.decrypt.update(end.surplus)) if end.surplus else b""
    up.preload(nonce.wire + first, len(first))
    return DirectRoute(connected.socket, up, down)
