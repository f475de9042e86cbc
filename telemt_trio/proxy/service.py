"""A running proxy: what has tasks, what starts first, what stops last.

::

    background nursery        switchboard, sweeps, upstream health
      connections nursery     one task per connection
        listeners nursery     one accept loop per listening address

A stop goes outwards: the listeners close, the connections get a bounded time, then the background ends.
"""

from __future__ import annotations

import errno
import math
import os
import random
from functools import partial
from typing import TYPE_CHECKING, Self

import trio

from telemt_trio.clocks import Clocks, system_clocks
from telemt_trio.errors import ConfigError
from telemt_trio.events import EndReason, Listening, NotListening, Stopping
from telemt_trio.guard.candidates import Candidates
from telemt_trio.guard.replay import HELLO_RETENTION, ReplayGuard
from telemt_trio.guard.users import Users
from telemt_trio.net.resolve import Resolver
from telemt_trio.net.sockets import bind_listener, close_socket
from telemt_trio.proxy.listener import Door, accept_loop
from telemt_trio.proxy.roads import upstreams_of
from telemt_trio.proxy.runtime import Runtime
from telemt_trio.proxy.sessions import Sessions
from telemt_trio.proxy.settings import Settings
from telemt_trio.proxy.state import ProxySharedState
from telemt_trio.relay.both import relay
from telemt_trio.relay.drive import drive
from telemt_trio.relay.sweep import SWEEP_INTERVAL, Sweep
from telemt_trio.relay.switchboard import Switchboard
from telemt_trio.wire.obfuscated2 import noise_source
from telemt_trio.wire.server_hello import x25519_source

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from telemt_trio.config.model import ProxyConfig
    from telemt_trio.events import Event, Observer
    from telemt_trio.proxy.sessions import UserTotals
    from telemt_trio.upstream.upstreams import Upstreams

__all__ = ["Proxy", "serve"]

_NO_FAMILY = frozenset((errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL))
_GRACE = 0.5  # seconds after the drain in which ended relays say goodbye


class Proxy:
    """One MTProxy server inside a trio program. Two of them share nothing.

    Use it as an async context manager, which serves inside the block and drains when it is left::

        async with Proxy(config) as proxy:
            print(proxy.addresses)
            await trio.sleep_forever()

    or hand :func:`serve` to a nursery of yours. ``observers`` receive every :class:`telemt_trio.events.Event`,
    synchronously and in order: they must not block. What one raises is a bug: it ends the connection the event is of,
    or the proxy where the event is of none.
    ``clocks``, ``entropy`` and ``rng`` are for tests.
    """

    def __init__(
        self,
        config: ProxyConfig,
        *observers: Observer,
        clocks: Clocks | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
        rng: random.Random | None = None,
    ) -> None:
        self.config = config
        self._emit = observers[0] if len(observers) == 1 else partial(_tell, observers)
        self._clocks = clocks or system_clocks()
        self._entropy = entropy
        self._rng = rng or random.Random()  # noqa: S311  # shapes delays; keys come from entropy
        self._listeners: list[socket.socket] = []
        self._stop = trio.Event()
        self._manager: AbstractAsyncContextManager[trio.Nursery, bool | None] | None = None
        self._nursery: trio.Nursery | None = None
        self.runtime = self._make_runtime()
        self._door = Door(self.runtime, config.server.max_connections)

    # ---- what an embedder asks

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where the proxy listens, as (IP, port); empty before it started and after it stopped."""
        return [listener.getsockname()[:2] for listener in self._listeners]

    @property
    def upstreams(self) -> Upstreams:
        """The roads to Telegram, with their health."""
        return self.runtime.upstreams

    @property
    def open_connections(self) -> int:
        """Connections of all kinds, strangers included."""
        return self._door.open

    def totals(self, user: str) -> UserTotals:
        """What a user moved since the start, exact, live sessions included."""
        return self.runtime.state.sessions.totals(user)

    def stop(self) -> None:
        """Close the listeners and drain; :meth:`run` returns when that is done. Idempotent."""
        self._stop.set()

    # ---- life

    async def run(self, *, task_status: trio.TaskStatus[Proxy] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until :meth:`stop` is called or the caller cancels. Reports started once every listener is open.

        Raises :class:`ConfigError` when an address cannot be listened on; then nothing was started. Cancellation ends
        everything at once, :meth:`stop` gives relays ``timeouts.drain_secs``.
        """
        drain = float(self.config.timeouts.drain_secs)
        try:
            self._bind()
            self._door.hold_spare()
            with Switchboard() as switchboard:
                self.runtime.relay = switchboard.relay
                async with trio.open_nursery() as background:
                    background.start_soon(switchboard.run)
                    background.start_soon(self.runtime.watch.run)
                    background.start_soon(self.runtime.mask_watch.run)
                    background.start_soon(self.runtime.upstreams.run_health)
                    async with trio.open_nursery() as connections:
                        async with trio.open_nursery() as listeners:
                            for listener in self._listeners:
                                listeners.start_soon(accept_loop, listener, self._door, connections)
                            task_status.started(self)
                            await self._stop.wait()
                            listeners.cancel_scope.cancel()
                        self._close_listeners()
                        self._emit(Stopping(len(self.runtime.state.sessions), drain))
                        connections.cancel_scope.deadline = trio.current_time() + drain + _GRACE
                        background.start_soon(self._end_relays, drain)
                    background.cancel_scope.cancel()
        finally:
            self._close_listeners()
            self._door.drop_spare()

    async def __aenter__(self) -> Self:
        """Start, and return once every listener is open."""
        self._manager = manager = trio.open_nursery()
        self._nursery = nursery = await manager.__aenter__()
        try:
            await nursery.start(self.run)
        except BaseException:
            nursery.cancel_scope.cancel()
            await manager.__aexit__(None, None, None)  # noqa: ASYNC102  # a nursery's own exit: all in it is cancelled
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drain, or stop at once when the block failed; the block's own exception passes through unwrapped."""
        if self._manager is None or self._nursery is None:
            raise RuntimeError("the proxy was not entered")
        if error is None:
            self.stop()
        else:
            self._nursery.cancel_scope.cancel()
        await self._manager.__aexit__(None, None, None)  # noqa: ASYNC102  # a nursery's own exit, bounded by the drain

    # ---- parts

    async def _end_relays(self, after: float) -> None:
        await trio.sleep(after)
        self.runtime.state.sessions.end_all(EndReason.STOPPED)

    def _make_runtime(self) -> Runtime:
        config, clocks = self.config, self._clocks
        access = config.access
        settings = Settings.of(config, self._rng)
        users = Users((name, key.key) for name, key in access.users.items() if access.user_enabled.get(name, True))
        idle = settings.mask.idle_limit
        window, capacity = float(access.replay_window_secs), access.replay_check_len
        state = ProxySharedState(
            users=users,
            candidates=Candidates(),
            seen_hellos=ReplayGuard(clocks.mono, capacity=capacity, retention=max(window, HELLO_RETENTION)),
            seen_timeless=ReplayGuard(clocks.mono, capacity=capacity, retention=math.inf),
            seen_nonces=ReplayGuard(clocks.mono, capacity=capacity, retention=window),
            sessions=Sessions(),
        )
        overrides = {(str(o.host), int(o.port)): str(o.ip) for o in config.network.dns_overrides}
        resolver = Resolver(overrides)
        return Runtime(
            settings=settings,
            state=state,
            clocks=clocks,
            entropy=self._entropy,
            rng=self._rng,
            noise=noise_source(self._entropy),
            x25519_public=x25519_source(self._entropy),
            emit=self._emit,
            upstreams=upstreams_of(config, resolver, rng=self._rng, emit=self._emit),
            resolver=resolver,
            watch=Sweep(clocks.mono),
            mask_watch=Sweep(clocks.mono, timeout=idle, interval=min(SWEEP_INTERVAL, idle)),
            relay=partial(relay, drive),
        )

    def _bind(self) -> None:
        """Open every listener or none."""
        server, timeouts = self.config.server, self.config.timeouts
        for listener in server.addresses():
            host, port = str(listener.ip), listener.port or 0
            try:
                sock = bind_listener(
                    host,
                    port,
                    backlog=server.listen_backlog,
                    reuse_port=listener.reuse_allow,
                    keepalive=timeouts.client_keepalive,
                    user_timeout=timeouts.client_ack,
                    mss=listener.client_mss or None,
                )
            except OSError as error:
                if error.errno in _NO_FAMILY and self._listeners and not server.listeners:
                    self._emit(NotListening(host, port, error.strerror or str(error)))
                    continue  # a host without IPv6 serves IPv4
                self._close_listeners()
                raise ConfigError(_bind_advice(host, port, error)) from error
            self._listeners.append(sock)
        for host, port in self.addresses:
            self._emit(Listening(host, port))

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            close_socket(listener)
        self._listeners.clear()


def _tell(observers: Sequence[Observer], event: Event) -> None:
    for observer in observers:
        observer(event)


def _bind_advice(host: str, port: int, error: OSError) -> str:
    """One sentence: what failed and what to do."""
    where = f"cannot listen on {host} port {port}"
    if isinstance(error, PermissionError):
        return (
            f"{where}: ports below 1024 need root or CAP_NET_BIND_SERVICE; "
            f"set server.port to 8443, or run `setcap cap_net_bind_service=+ep` on the Python that runs this"
        )
    if error.errno == errno.EADDRINUSE:
        return f"{where}: another program has it; stop that program or set server.port"
    return f"{where}: {error.strerror or error}"


async def serve(
    config: ProxyConfig,
    *observers: Observer,
    task_status: trio.TaskStatus[Proxy] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve ``config`` until cancelled. ``await nursery.start(serve, config)`` returns the :class:`Proxy`,
    listening.
    """
    await Proxy(config, *observers).run(task_status=task_status)
