"""Who is at the other end of an accepted socket."""

from __future__ import annotations

import socket

import attrs

__all__ = ["Peer"]


@attrs.frozen
class Peer:
    """A client's address, normalised; its repr tells nothing."""

    host: str = attrs.field(repr=False)
    port: int = attrs.field(repr=False)

    @property
    def network(self) -> str | bytes:
        """The network the address lies in, an opaque key: /24 for IPv4, /56 for IPv6, what one subscriber has."""
        if ":" in self.host:
            return socket.inet_pton(socket.AF_INET6, self.host)[:7]
        return self.host.rpartition(".")[0]
