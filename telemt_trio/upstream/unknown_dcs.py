"""The file that collects datacenter indexes which no table knows, for operators who look for new datacenters."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

import trio

__all__ = ["UnknownDcLog"]

MOST_INDEXES: Final = 1024
WRITE_LIMIT = 1.0  # seconds; the lock may be in other hands


class UnknownDcLog:
    """Appends ``dc_idx=<signed index>`` to a file, one line for each index, at most 1024 of them.

    The parent directory must exist; a path with ``..`` is refused, a symbolic link in the last place is not followed,
    a new file gets mode 0600, and an advisory exclusive lock is held while writing. Nothing here ever fails a
    connection: what goes wrong is an answer.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: set[int] = set()
        self._limiter = trio.CapacityLimiter(1)  # not the disk's: a foreign lock must not keep others waiting

    async def record(self, dc_idx: int) -> str | None:
        """Write ``dc_idx`` down if it is new. Returns None, or why it could not be written; it is not tried again.

        Takes at most a second, in a thread; a cancelled write may still happen.
        """
        if dc_idx in self._seen or len(self._seen) >= MOST_INDEXES:
            return None
        self._seen.add(dc_idx)
        line = b"dc_idx=%d\n" % dc_idx
        with trio.move_on_after(WRITE_LIMIT):
            try:
                await trio.to_thread.run_sync(_append, self._path, line, abandon_on_cancel=True, limiter=self._limiter)
            except OSError as error:
                return f"{self._path}: {error.strerror or error}"
            return None
        return f"{self._path}: still locked after {WRITE_LIMIT:g} s"


def _append(path: str, line: bytes) -> None:
    if ".." in Path(path).parts:
        raise PermissionError(f"a path with '..' is refused: {path}")
    parent, name = os.path.split(path)
    folder = os.open(os.path.realpath(parent or ".", strict=True), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(name, flags, 0o600, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.write(file, line)
    finally:
        os.close(file)
