"""The client's side of a session, as the relay needs it: a socket and the codecs on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    import socket

    from telemt_trio.wire.obfuscated2 import OpenedNonce
    from telemt_trio.wire.tls_records import RecordReader, RecordWriter

__all__ = ["ClientEnd"]


@attrs.frozen(eq=False)
class ClientEnd:
    """``decoder`` and ``encoder`` are None without TLS. ``surplus`` is payload that came behind the nonce."""

    sock: socket.socket = attrs.field(repr=False)
    nonce: OpenedNonce = attrs.field(repr=False)
    decoder: RecordReader | None = None
    encoder: RecordWriter | None = None
    surplus: bytes = attrs.field(default=b"", repr=False)
