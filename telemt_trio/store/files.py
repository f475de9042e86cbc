"""Files that are either the old ones or the new ones, whatever happens in between.

Everything here blocks; callers inside trio go through a thread.
"""

import contextlib
import os
import tempfile
from pathlib import Path

__all__ = ["create_exclusive", "write_atomic"]


def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace the content of ``path`` in one step, or leave it as it was.

    A file that exists keeps its mode and, as far as this user may, its owner; a new one gets ``mode``. A symbolic link
    stays and its target is replaced. Raises OSError; the temporary file beside it is gone then. One reason is special:
    EBUSY means that the file itself is a mount point, as single files in containers are, and cannot be replaced.
    """
    target = Path(os.path.realpath(path))
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            try:
                old = target.stat()
            except FileNotFoundError:
                os.fchmod(file.fileno(), mode)
            else:
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), old.st_uid, old.st_gid)
                os.fchmod(file.fileno(), old.st_mode & 0o7777)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    _sync_directory(target.parent)


def create_exclusive(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Create ``path``, which must not exist: FileExistsError otherwise. Nothing is left behind by a failure.

    The mode holds from the first moment, so that a secret inside is never readable for others.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """Make a new name survive a power failure. Some file systems cannot; the file itself is safe without."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
