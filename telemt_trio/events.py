"""What happens to connections, one type per fact.

Observers (logs, metrics, an embedder's own) receive these objects; the proxy itself never writes a log line. Events are
made per connection, never per chunk. They hold the names of users and counts, no secrets and no addresses:
``connection`` is a number that ties the events of one connection together, and :class:`ConnectionOpened` alone carries
``peer``, which its repr leaves out, for observers whose operator asked for addresses.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "AcceptPaused",
    "ConnectFailed",
    "ConnectionClosed",
    "ConnectionOpened",
    "ConnectionShed",
    "DatacenterUnknown",
    "EndReason",
    "Event",
    "HandshakeAccepted",
    "HandshakeRejected",
    "Listening",
    "MaskFailed",
    "Masked",
    "Mode",
    "NotListening",
    "Observer",
    "RejectReason",
    "RelayEnded",
    "RouteFailed",
    "Stopping",
    "UnexpectedError",
    "UpstreamFailed",
    "UpstreamRecovered",
]


class Mode(enum.Enum):
    """How a client hides its stream."""

    CLASSIC = "classic"
    SECURE = "dd"
    TLS = "ee"


class RejectReason(enum.Enum):
    """Why a connection is a stranger, in an operator's words."""

    NOT_OURS = "first bytes of another protocol"
    PLAIN_OFF = "not TLS, and the modes without TLS are off"
    TLS_OFF = "TLS, and its mode is off"
    HELLO_SIZE = "a TLS record too short or too long for a ClientHello"
    NOT_A_HELLO = "a TLS handshake that does not start with a ClientHello"
    BROKEN_HELLO = "a ClientHello that does not parse"
    ALPN = "a ClientHello that offers neither h2 nor http/1.1"
    UNKNOWN_SNI = "a ClientHello for a server name that is not configured"
    WRONG_SECRET = "no user's secret fits"  # noqa: S105  # a reason, not a secret
    CLOCK = "a user's secret fits, but the client's clock does not"
    REPLAY = "the same handshake was seen before"
    KEY_SHARE = "an authentic hello without a usable key share or cipher"
    WRONG_MODE = "a user's secret fits, but its mode is off"
    BROKEN_RECORDS = "broken records behind an accepted hello"
    BROKEN = "the connection broke inside the handshake"
    END_OF_STREAM = "the stream ended inside the handshake"
    TIMEOUT = "the handshake took too long"
    SILENT = "nothing was sent"


class EndReason(enum.Enum):
    """Expected ends are values. The text is what an operator reads."""

    FINISHED = "both sides finished"
    CLIENT_LOST = "the client's connection broke"
    UPSTREAM_LOST = "the datacenter's connection broke"
    PROTOCOL = "the client broke the record layer"
    IDLE = "nothing moved for the activity timeout"
    QUOTA = "the user's data quota is used up"
    DISABLED = "the user was disabled"
    EVICTED = "evicted under pressure"
    ROUTE_CHANGED = "the route to Telegram changed"
    STOPPED = "the proxy stopped"


@attrs.frozen
class Listening:
    """A listening socket is open. ``address`` is our own."""

    address: str
    port: int


@attrs.frozen
class NotListening:
    """A default address cannot be listened on, because the host lacks its family; the others serve."""

    address: str
    port: int
    error: str


@attrs.frozen
class Stopping:
    """The listeners are closed; ``relays`` still run and have ``drain`` seconds."""

    relays: int
    drain: float


@attrs.frozen
class AcceptPaused:
    """``accept`` failed, for want of descriptors usually; ``failures`` so far. At most one such event per 5 s."""

    error: str
    failures: int


@attrs.frozen
class ConnectionShed:
    """Connections were dropped at the door because ``limit`` were open; ``total`` so far. At most one event per 5 s."""

    limit: int
    total: int


@attrs.frozen
class ConnectionOpened:
    """A client connected."""

    connection: int
    peer: str = attrs.field(repr=False)


@attrs.frozen
class HandshakeAccepted:
    """A client proved that it knows the secret of ``user``. ``seconds`` since its first byte."""

    connection: int
    user: str
    mode: Mode
    dc: int
    seconds: float


@attrs.frozen
class HandshakeRejected:
    """A connection turned out to be no client. ``skew`` (seconds) is given where a clock was the reason."""

    connection: int
    reason: RejectReason
    user: str | None = None
    skew: int | None = None


@attrs.frozen
class Masked:
    """A stranger was relayed to the front: bytes it sent and got."""

    connection: int
    bytes_up: int
    bytes_down: int
    seconds: float


@attrs.frozen
class MaskFailed:
    """A stranger could not be handed to the front and met silence."""

    connection: int
    error: str


@attrs.frozen
class RouteFailed:
    """An authenticated client could not be connected to its datacenter."""

    connection: int
    user: str
    dc: int
    error: str


@attrs.frozen
class RelayEnded:
    """A session is over: payload bytes and chunks both ways, why, and how long it lasted."""

    connection: int
    user: str
    why: EndReason
    bytes_up: int
    bytes_down: int
    messages_up: int
    messages_down: int
    seconds: float


@attrs.frozen
class ConnectFailed:
    """No attempt of a cycle reached the datacenter. Reported at most every five seconds.

    ``upstream`` is the upstream's position in the configuration, from 0, and ``label`` its name for people;
    ``suppressed`` counts the failures since the last report that were not reported.
    """

    upstream: int
    label: str
    dc_idx: int
    reason: str
    suppressed: int


@attrs.frozen
class UpstreamFailed:
    """An upstream became unhealthy: others are preferred until it recovers."""

    upstream: int
    label: str
    reason: str


@attrs.frozen
class UpstreamRecovered:
    """An unhealthy upstream works again."""

    upstream: int
    label: str


@attrs.frozen
class DatacenterUnknown:
    """A client asked for an index that stands in no table; ``cluster`` took its place. Once per index.

    ``not_written`` says why the file of unknown datacenters, if there is one, does not have it.
    """

    dc_idx: int
    cluster: int
    not_written: str | None = None


@attrs.frozen
class ConnectionClosed:
    """A connection is over, whatever it was."""

    connection: int


@attrs.frozen
class UnexpectedError:
    """A bug: an exception nobody expected ended one connection. The proxy goes on."""

    connection: int
    error: BaseException


Event: TypeAlias = (
    Listening
    | NotListening
    | Stopping
    | AcceptPaused
    | ConnectionShed
    | ConnectionOpened
    | HandshakeAccepted
    | HandshakeRejected
    | Masked
    | MaskFailed
    | RouteFailed
    | RelayEnded
    | ConnectFailed
    | UpstreamFailed
    | UpstreamRecovered
    | DatacenterUnknown
    | ConnectionClosed
    | UnexpectedError
)

Observer: TypeAlias = "Callable[[Event], None]"
