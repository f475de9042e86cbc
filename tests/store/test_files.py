from __future__ import annotations

import os
import stat

import pytest

from telemt_trio.store.files import create_exclusive, write_atomic


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_private(tmp_path):
    path = tmp_path / "new"
    write_atomic(path, b"data")
    assert path.read_bytes() == b"data"
    assert mode(path) == 0o600


def test_a_new_file_gets_the_mode_that_was_asked_for(tmp_path):
    old = os.umask(0o077)
    try:
        write_atomic(tmp_path / "new", b"", 0o644)
    finally:
        os.umask(old)
    assert mode(tmp_path / "new") == 0o644


def test_an_old_file_keeps_its_mode(tmp_path):
    path = tmp_path / "old"
    path.write_bytes(b"old")
    path.chmod(0o640)
    write_atomic(path, b"new", 0o600)
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o640


def test_an_old_file_keeps_its_owner_where_that_is_allowed(tmp_path, monkeypatch):
    path = tmp_path / "old"
    path.write_bytes(b"old")
    given = []
    monkeypatch.setattr(os, "fchown", lambda _fd, uid, gid: given.append((uid, gid)))
    write_atomic(path, b"new")
    assert given == [(path.stat().st_uid, path.stat().st_gid)]

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "fchown", refuse)
    write_atomic(path, b"newer")
    assert path.read_bytes() == b"newer"


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomic(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("step", ["fsync", "fchmod"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "old"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_data_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, type(tmp_path).replace
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("sync"), fsync(fd)))
    monkeypatch.setattr(type(tmp_path), "replace", lambda self, to: (steps.append("replace"), replace(self, to))[1])
    write_atomic(tmp_path / "new", b"data")
    assert steps == ["sync", "replace", "sync"]


def test_a_missing_directory_is_the_callers_matter(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "no" / "file", b"")


def test_creating_what_exists_is_refused(tmp_path):
    path = tmp_path / "file"
    create_exclusive(path, b"one")
    assert path.read_bytes() == b"one"
    assert mode(path) == 0o600
    with pytest.raises(FileExistsError):
        create_exclusive(path, b"two")
    assert path.read_bytes() == b"one"


def test_a_failed_creation_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        create_exclusive(tmp_path / "file", b"data")
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_cannot_sync_directories_is_fine(tmp_path, monkeypatch):
    original = os.open

    def no_directories(path, flags, *rest):
        if flags & os.O_DIRECTORY:
            raise OSError(22, "Invalid argument")
        return original(path, flags, *rest)

    monkeypatch.setattr(os, "open", no_directories)
    write_atomic(tmp_path / "file", b"data")
    assert (tmp_path / "file").read_bytes() == b"data"
