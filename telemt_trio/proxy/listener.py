"""The door: accept, keep the peer's address, shed load, survive a full descriptor table.

``trio.SocketListener.accept`` drops the peer's address and ``serve_listeners`` logs a traceback every 100 ms when
descriptors run out, so the loop is ours. When ``accept`` finds no descriptor, a spare one is given up to take the
waiting connection and close it at once: its peer learns now, instead of when the kernel's queue has timed out.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

import attrs
import trio

from telemt_trio.events import AcceptPaused, ConnectionShed
from telemt_trio.net.peer import Peer
from telemt_trio.net.sockets import peer_address
from telemt_trio.proxy.connection import serve

if TYPE_CHECKING:
    import socket

    from telemt_trio.proxy.runtime import Runtime

__all__ = ["Door", "accept_loop"]

_BATCH: Final = 64
_PAUSE: Final = 0.1
_QUIET: Final = 5.0
_NO_DESCRIPTOR: Final = frozenset((errno.EMFILE, errno.ENFILE))
# The connection broke while it waited in the queue, accept(2): nobody's fault, and no reason to pause.
_GONE: Final = frozenset((errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ENETDOWN, errno.EHOSTUNREACH))


@attrs.define(eq=False)
class Door:
    """What the listeners of one proxy share: the count of open connections, its limit, and the warnings' rate."""

    runtime: Runtime
    max_connections: int
    open: int = 0
    accepted: int = 0
    shed: int = 0
    failures: int = 0
    _quiet_until: dict[str, float] = attrs.field(factory=dict)
    _spare: int = -1

    def hold_spare(self) -> None:
        """Keep one descriptor back, if there is one."""
        if self._spare < 0:
            try:
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                self._spare = -1

    def drop_spare(self) -> None:
        """Give that descriptor up."""
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    def may_speak(self, topic: str) -> bool:
        """Whether ``topic`` has been quiet for 5 s; asking starts the next 5."""
        now = self.runtime.clocks.mono()
        if now < self._quiet_until.get(topic, 0.0):
            return False
        self._quiet_until[topic] = now + _QUIET
        return True

    def full(self) -> bool:
        """Whether one more connection would be too many; if so it is counted as shed."""
        if not self.max_connections or self.open < self.max_connections:
            return False
        self.shed += 1
        if self.may_speak("shed"):
            self.runtime.emit(ConnectionShed(self.max_connections, self.shed))
        return True

    async def serve(self, sock: socket.socket, peer: Peer, number: int) -> None:
        """One connection. Whoever starts this has counted it: a batch is accepted before its first task runs."""
        try:
            await serve(sock, peer, number, self.runtime)
        finally:
            self.open -= 1


async def accept_loop(listener: socket.socket, door: Door, connections: trio.Nursery) -> None:
    """Accept on ``listener`` until cancelled, each connection as a task of ``connections``. Never raises OSError."""
    while True:
        await trio.lowlevel.wait_readable(listener)
        for _ in range(_BATCH):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _GONE:
                    continue
                await _pause(listener, door, error)
                break
            sock.setblocking(False)
            if door.full():
                sock.close()
                continue
            door.accepted += 1
            door.open += 1
            connections.start_soon(door.serve, sock, Peer(*peer_address(address)), door.accepted)


async def _pause(listener: socket.socket, door: Door, error: OSError) -> None:
    """Out of descriptors or memory: turn one peer away, say so now and then, and wait for others to finish."""
    door.failures += 1
    if error.errno in _NO_DESCRIPTOR:
        door.drop_spare()
        try:
            refused, _ = listener.accept()
        except OSError:
            pass
        else:
            refused.close()
        door.hold_spare()
    if door.may_speak("accept"):
        door.runtime.emit(AcceptPaused(os.strerror(error.errno or 0), door.failures))
    await trio.sleep(_PAUSE)
