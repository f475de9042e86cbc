"""Ends of a relay that behave as told: sockets' manners without a peer.

A pipe (:mod:`telemt_trio.relay`) asks little of its ends, so the awkward cases are easily had: a sink that takes three
bytes, then nothing, then breaks; a source that has two reads and then stays silent::

    source = ScriptedSource(b"hello", BlockingIOError(), b"world")
    with source, RecordingEnd([3, 0, 4]) as sink:
        why = await drive(Pipe(source, sink, scratch()))
    assert sink.calls == [b"hel", b"lo", b"world"]

Both have a real descriptor that trio can wait for: it is ready whenever a call would have something to say, so a driver
that waits as it should comes back at once, and one that waits where it should not is seen to.
"""

from __future__ import annotations

import itertools
import socket
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from telemt_trio.wire.tls_records import APPLICATION_DATA, HEADER_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Self

__all__ = ["Answer", "RecordingEnd", "ScriptedSource", "blocking_end", "narrow_end"]

#: What one call of a :class:`RecordingEnd` does: take at most so many bytes, block (0), or raise.
Answer: TypeAlias = int | OSError


class _Descriptor:
    """A socket that is always writable and readable when told to be. Opened at first use; closed by ``with``."""

    def __init__(self) -> None:
        self._pair: tuple[socket.socket, socket.socket] | None = None
        self._readable = True

    def fileno(self) -> int:
        """The descriptor to wait for."""
        if self._pair is None:
            self._pair = socket.socketpair()
            if self._readable:
                self._pair[1].send(b"!")
        return self._pair[0].fileno()

    def set_readable(self, readable: bool) -> None:  # noqa: FBT001  # a private setter of one flag
        if self._pair is not None and readable is not self._readable:
            if readable:
                self._pair[1].send(b"!")
            else:
                self._pair[0].recv(1)
        self._readable = readable

    def close(self) -> None:
        """Close the descriptor. The end itself goes on working for who does not wait."""
        for sock in self._pair or ():
            sock.close()
        self._pair = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class ScriptedSource(_Descriptor):
    """A source that has ``steps`` to say: bytes are read (in pieces where the buffer is small), an OSError is raised.

    Behind the last step the stream ends, or with ``held_open`` stays silent until :meth:`add` or :meth:`end`.
    """

    def __init__(self, *steps: bytes | OSError, held_open: bool = False) -> None:
        super().__init__()
        self._steps = deque(step for step in steps if step != b"")
        self._held_open = held_open
        #: How many reads were answered, errors and the end included.
        self.reads = 0
        self._look()

    def add(self, *steps: bytes | OSError) -> None:
        """More to say, behind what is still to be read."""
        self._steps += [step for step in steps if step != b""]
        self._look()

    def end(self) -> None:
        """Behind what is still to be read the stream ends."""
        self._held_open = False
        self._look()

    def recv_into(self, buffer: memoryview, /) -> int:
        """The next step, as ``socket.recv_into`` would tell it."""
        if not self._steps:
            if self._held_open:
                raise BlockingIOError
            self.reads += 1
            return 0
        self.reads += 1
        step = self._steps.popleft()
        if isinstance(step, OSError):
            self._look()
            raise step
        taken = min(len(step), len(buffer))
        buffer[:taken] = step[:taken]
        if taken < len(step):
            self._steps.appendleft(step[taken:])
        self._look()
        return taken

    def _look(self) -> None:
        self.set_readable(bool(self._steps) or not self._held_open)


class RecordingEnd(_Descriptor):
    """A sink that keeps what it got, call by call.

    Each call takes its answer from ``answers``; behind the last one the end takes everything. ``shutdown_error`` is
    raised when the stream is ended. A blocked end stays writable, so a driver comes back at once.
    """

    def __init__(self, answers: Iterable[Answer] = (), *, shutdown_error: OSError | None = None) -> None:
        super().__init__()
        self._answers: Iterator[Answer] = iter(answers)
        self._shutdown_error = shutdown_error
        #: What every successful call took, one entry a call.
        self.calls: list[bytes] = []
        #: How many calls found the end full.
        self.blocked = 0
        #: How often the stream was ended.
        self.ended = 0

    @property
    def data(self) -> bytes:
        """Everything taken so far."""
        return b"".join(self.calls)

    def records(self) -> list[bytes]:
        """The payloads of the TLS records in :attr:`data`, however the calls cut them.

        Raises ValueError for anything but whole, non-empty ``17 03 03`` records.
        """
        payloads = []
        data = self.data
        while data:
            head, length = data[:HEADER_SIZE], int.from_bytes(data[3:HEADER_SIZE], "big")
            payload, data = data[HEADER_SIZE : HEADER_SIZE + length], data[HEADER_SIZE + length :]
            if head[:3] != bytes((APPLICATION_DATA, 3, 3)) or not payload or len(payload) != length:
                raise ValueError(f"no application data record: {head.hex()} and {len(payload)} bytes")
            payloads.append(payload)
        return payloads

    def send(self, data: bytes | memoryview, /) -> int:
        """Take some of ``data``, as ``socket.send`` would."""
        return self._take(bytes(data))

    def sendmsg(self, buffers: Iterable[bytes | memoryview], /) -> int:
        """Take some of ``buffers``, as ``socket.sendmsg`` would."""
        return self._take(b"".join(buffers))

    def shutdown(self, _how: int, /) -> None:
        """The stream is ended."""
        if self._shutdown_error is not None:
            raise self._shutdown_error
        self.ended += 1

    def _take(self, data: bytes) -> int:
        answer = next(self._answers, len(data))
        if isinstance(answer, OSError):
            raise answer
        if not answer and data:
            self.blocked += 1
            raise BlockingIOError
        taken = data[:answer]
        self.calls.append(taken)
        return len(taken)


def blocking_end(times: int) -> RecordingEnd:
    """An end that is full at the first ``times`` calls."""
    return RecordingEnd(itertools.repeat(0, times))


def narrow_end(most: int) -> RecordingEnd:
    """An end that takes at most ``most`` bytes a call."""
    return RecordingEnd(itertools.repeat(most))
