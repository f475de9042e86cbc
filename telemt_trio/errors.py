"""What can go wrong, sorted by whose fault it is, because that decides what follows.

* :class:`RemoteProtocolError`: the peer broke its protocol. The peer becomes a stranger or is closed; nobody is warned.
* :class:`LocalProtocolError`: our own code used a codec wrongly. A bug: it is never caught, only logged at a boundary.
* :class:`UpstreamError`: the road to Telegram failed. The client is closed, the operator sees one line.
* :class:`ConfigError`: the operator's file or command is wrong. One message that says what to do, exit status 2.

Messages never hold a secret, a key or an address of a client.
"""

from __future__ import annotations

__all__ = ["ConfigError", "LocalProtocolError", "ProxyError", "RemoteProtocolError", "UpstreamError"]


class ProxyError(Exception):
    """Base of every exception that telemt_trio raises on purpose."""


class RemoteProtocolError(ProxyError):
    """The peer sent what its protocol does not allow. The only exception a parser of peer bytes lets out."""


class LocalProtocolError(ProxyError):
    """A codec was asked for something its protocol cannot express: a bug on this side."""


class UpstreamError(ProxyError):
    """No connection to a datacenter could be made.

    The message names the datacenter index and the kind of failure, never the client.
    """


class ConfigError(ProxyError):
    """The configuration or a command line is wrong; ``problems`` holds one sentence for each mistake."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
