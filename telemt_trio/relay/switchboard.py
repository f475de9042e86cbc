"""The driver of a proxy with many relays: one task moves all of them, and each relay's own task is parked.

With a driver task per direction, a message costs two epoll calls to arm the wait and a task switch on top of its read
and its write. Here the sockets of all relays stay registered with an epoll of our own, inside the one trio waits on;
one task asks it who is ready and moves their pipes in turn. What is registered changes only when a pipe changes what
it waits for, so a conversation of small messages costs no epoll call at all. The relay's task sleeps in
:meth:`Switchboard.relay` until its end: it owns the relay, is cancelled like any other, and receives whatever goes
wrong inside it.

Linux only; elsewhere :func:`telemt_trio.relay.both.relay` with ``drive`` does the same, dearer.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Final, Self

import outcome
import trio

from telemt_trio.events import EndReason
from telemt_trio.relay.end import Ending, Outcome
from telemt_trio.relay.pipe import Verdict

if TYPE_CHECKING:
    from telemt_trio.relay.pipe import Pipe

__all__ = ["Switchboard"]

_BATCH: Final = 64
_TURN: Final = 262144  # bytes a pipe may move before the others have their turn
_READABLE: Final = select.EPOLLIN
_WRITABLE: Final = select.EPOLLOUT
_BROKEN: Final = select.EPOLLHUP | select.EPOLLERR


class _Socket:
    """One descriptor of a relay: the flow that reads from it, the flow that writes to it, what is registered for it."""

    __slots__ = ("descriptor", "interest", "reader", "registered", "writer")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.interest = 0
        self.registered = 0
        self.reader: _Flow
        self.writer: _Flow


class _Flow:
    """One direction: its pipe, and the sockets it reads from and writes to."""

    __slots__ = ("ended", "line", "pipe", "sink", "source")

    def __init__(self, line: _Line, pipe: Pipe, source: _Socket, sink: _Socket) -> None:
        self.line = line
        self.pipe = pipe
        self.source = source
        self.sink = sink
        self.ended = False
        source.reader = self
        sink.writer = self


class _Line:
    """One relay on the board. ``task`` sleeps until :meth:`Switchboard._hang_up`."""

    __slots__ = ("down", "ending", "sockets", "task", "up")

    def __init__(self, up: Pipe, down: Pipe, ending: Ending) -> None:
        client, upstream = _Socket(up.source.fileno()), _Socket(up.sink.fileno())
        self.sockets = (client, upstream)
        self.ending = ending
        self.up = _Flow(self, up, client, upstream)
        self.down = _Flow(self, down, upstream, client)
        self.task: trio.lowlevel.Task | None = None


class Switchboard:
    """All relays of one proxy. A context manager that holds one descriptor; :meth:`run` belongs in a nursery inside
    it.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._sockets: dict[int, _Socket] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Give the descriptor back. The relays are over by now."""
        self._epoll.close()

    async def run(self) -> None:
        """Move every relay until cancelled."""
        descriptor = self._epoll.fileno()
        wait_readable = trio.lowlevel.wait_readable
        while True:
            await wait_readable(descriptor)
            self._turn()

    async def relay(self, up: Pipe, down: Pipe, ending: Ending) -> Outcome:
        """Run both directions until they are finished or one has a reason, as :func:`telemt_trio.relay.both.relay`
        does.

        Needs :meth:`run` to be running. Pipes with a meter are not for the board.
        """
        line = _Line(up, down, ending)
        for socket in line.sockets:
            self._sockets[socket.descriptor] = socket

        def hang_up() -> None:
            self._hang_up(line)

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            line.task = None
            return trio.lowlevel.Abort.SUCCEEDED

        try:
            ending.bind(hang_up)
            await trio.lowlevel.checkpoint_if_cancelled()
            self._settle(line.up, up.start())
            self._settle(line.down, down.start())
            if not self._over(line):
                line.task = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(abort)
        finally:
            ending.release()
            for socket in line.sockets:
                socket.interest = 0
                self._register(socket)
                del self._sockets[socket.descriptor]
                del socket.reader, socket.writer  # no cycles: a relay's memory goes when the relay goes
            up.settle()
            down.settle()
        return Outcome(ending.why or EndReason.FINISHED, up.bytes, down.bytes, up.messages, down.messages)

    def _turn(self) -> None:
        """Move whoever is ready, each once."""
        sockets = self._sockets
        for descriptor, ready in self._epoll.poll(0, _BATCH):
            socket = sockets.get(descriptor)
            if socket is None:
                continue
            waiting = socket.interest
            if waiting & _READABLE and ready & (_READABLE | _BROKEN):
                self._move(socket.reader)
            if waiting & _WRITABLE and ready & (_WRITABLE | _BROKEN):
                self._move(socket.writer)

    def _move(self, flow: _Flow) -> None:
        """Advance a flow on behalf of its sleeping task, which gets whatever is not an expected end."""
        line = flow.line
        try:
            self._advance(flow)
        except Exception as bug:  # noqa: BLE001  # it is re-raised where it belongs: in the relay's own task
            self._hang_up(line, bug)
            return
        if flow.ended and self._over(line):
            self._hang_up(line)

    def _advance(self, flow: _Flow) -> None:
        """Transfer until the pipe waits or has had its turn."""
        if flow.ended:
            return
        pipe = flow.pipe
        verdict = pipe.transfer()
        if verdict is Verdict.MORE:
            turn = pipe.bytes + _TURN
            while verdict is Verdict.MORE and pipe.bytes < turn:
                verdict = pipe.transfer()
        if verdict is not Verdict.READ or not flow.source.interest & _READABLE:
            self._settle(flow, verdict)

    def _settle(self, flow: _Flow, verdict: Verdict) -> None:
        """Register both sockets of a flow for what its pipe waits for now."""
        source, sink = flow.source, flow.sink
        reading, writing = _READABLE, 0
        if verdict is Verdict.WRITE:
            reading, writing = 0, _WRITABLE
        elif verdict is Verdict.END:
            reading = 0
            flow.ended = True
            if flow.pipe.why is not EndReason.FINISHED:
                flow.line.ending.end(flow.pipe.why)
        interest = source.interest & ~_READABLE | reading
        if interest != source.interest:
            source.interest = interest
            self._register(source)
        interest = sink.interest & ~_WRITABLE | writing
        if interest != sink.interest:
            sink.interest = interest
            self._register(sink)

    def _register(self, socket: _Socket) -> None:
        """Tell epoll. A socket nobody waits for is not registered at all: a hang-up would be reported for ever."""
        if socket.interest == socket.registered:
            return
        if not socket.interest:
            self._epoll.unregister(socket.descriptor)
        elif socket.registered:
            self._epoll.modify(socket.descriptor, socket.interest)
        else:
            self._epoll.register(socket.descriptor, socket.interest)
        socket.registered = socket.interest

    @staticmethod
    def _over(line: _Line) -> bool:
        return line.ending.why is not None or (line.up.ended and line.down.ended)

    @staticmethod
    def _hang_up(line: _Line, bug: Exception | None = None) -> None:
        """Wake the relay's task, once."""
        task, line.task = line.task, None
        if task is not None:
            trio.lowlevel.reschedule(task, outcome.Value(None) if bug is None else outcome.Error(bug))
