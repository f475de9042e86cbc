"""The ends of a pipe: what the relay needs of a socket, and the buffers it reads into.

An end is a non-blocking ``socket.socket``, or anything that behaves like one. Keeping to these calls is what lets a
pipe work without a coroutine per chunk: it tries first and waits only when the kernel says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import trio

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SCRATCH_SIZE", "ReadEnd", "Scratch", "WriteEnd", "scratch"]

SCRATCH_SIZE: Final = 262144


class ReadEnd(Protocol):
    """Where bytes come from."""

    def fileno(self) -> int:
        """A descriptor that trio can wait on."""
        ...

    def recv_into(self, buffer: memoryview, /) -> int:
        """Read what is there; 0 is the end of the stream. Raises BlockingIOError when there is nothing, else
        OSError.
        """
        ...


class WriteEnd(Protocol):
    """Where bytes go."""

    def fileno(self) -> int:
        """A descriptor that trio can wait on."""
        ...

    def send(self, data: bytes | memoryview, /) -> int:
        """Take some of ``data``. Raises BlockingIOError when full, else OSError."""
        ...

    def sendmsg(self, buffers: Iterable[bytes | memoryview], /) -> int:
        """Like :meth:`send` for several buffers in order."""
        ...

    def shutdown(self, how: int, /) -> None:
        """End the stream towards the peer (``SHUT_WR``)."""
        ...


class Scratch:
    """Two buffers that all pipes of a trio run share; what is in them is valid until the next await.

    One read is transformed and sent in one step, so a connection owns no buffer of its own unless its peer is slow.
    """

    __slots__ = ("read", "work")

    def __init__(self, size: int = SCRATCH_SIZE) -> None:
        self.read = memoryview(bytearray(size))
        self.work = memoryview(bytearray(size))


_SCRATCH: trio.lowlevel.RunVar[Scratch] = trio.lowlevel.RunVar("telemt_trio.relay.scratch")


def scratch() -> Scratch:
    """The scratch buffers of the current trio run. Fetch once per pipe, not per chunk."""
    try:
        return _SCRATCH.get()
    except LookupError:
        made = Scratch()
        _SCRATCH.set(made)
        return made
