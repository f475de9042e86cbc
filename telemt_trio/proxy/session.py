"""An authenticated client, from its route to its release: everything an entry reuses, whatever it authenticated.

A session is told who (:class:`Identity`), between what (:class:`ClientEnd`) and where to (a datacenter index). It knows
neither FakeTLS nor secrets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from telemt_trio.errors import UpstreamError
from telemt_trio.events import RelayEnded, RouteFailed
from telemt_trio.net.sockets import close_socket
from telemt_trio.proxy.route_direct import open_direct
from telemt_trio.relay.end import Ending

if TYPE_CHECKING:
    from telemt_trio.proxy.client_end import ClientEnd
    from telemt_trio.proxy.runtime import Runtime
    from telemt_trio.proxy.settings import RelaySettings

__all__ = ["Identity", "Session"]


@attrs.frozen
class Identity:
    """Who a session belongs to: the name that counts and limits go by, and the upstream scope it selects, if any."""

    name: str
    scope: str | None = None


@attrs.define(eq=False)
class Session:
    """One relay between a client and a datacenter."""

    identity: Identity
    end: ClientEnd
    dc: int
    number: int
    settings: RelaySettings
    runtime: Runtime

    async def run(self) -> None:
        """Route, relay, release; one event when it is over. The caller closes the client's socket.

        Expected failures are events, not exceptions. Cancellation closes the datacenter's side.
        """
        runtime, name = self.runtime, self.identity.name
        try:
            route = await open_direct(self.end, self.dc, self.identity.scope, self.settings, runtime)
        except UpstreamError as error:
            runtime.emit(RouteFailed(self.number, name, self.dc, str(error)))
            return
        ending = Ending()
        live = runtime.watch.watch(ending, route.up, route.down)
        runtime.state.sessions.add(name, live)
        try:
            outcome = await runtime.relay(route.up, route.down, ending)
        finally:
            close_socket(route.sock)
            runtime.watch.forget(live)
            runtime.state.sessions.remove(name, live)
        runtime.emit(
            RelayEnded(
                self.number,
                name,
                outcome.why,
                outcome.bytes_up,
                outcome.bytes_down,
                outcome.messages_up,
                outcome.messages_down,
                runtime.clocks.mono() - live.started,
            )
        )
