import fcntl
import stat

import pytest
import trio
import trio.testing

from telemt_trio.upstream import unknown_dcs
from telemt_trio.upstream.unknown_dcs import UnknownDcLog


async def test_one_line_for_each_index(tmp_path):
    path = tmp_path / "unknown-dc.txt"
    log = UnknownDcLog(str(path))
    for dc_idx in (10001, -10001, 0, 10001, -32768, 0):
        assert await log.record(dc_idx) is None
    assert path.read_text() == "dc_idx=10001\ndc_idx=-10001\ndc_idx=0\ndc_idx=-32768\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_what_is_there_stays(tmp_path):
    path = tmp_path / "unknown-dc.txt"
    path.write_text("dc_idx=6\n")
    await UnknownDcLog(str(path)).record(7)
    assert path.read_text() == "dc_idx=6\ndc_idx=7\n"


async def test_a_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    await UnknownDcLog("unknown-dc.txt").record(7)
    assert (tmp_path / "unknown-dc.txt").read_text() == "dc_idx=7\n"


async def test_the_file_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(unknown_dcs, "MOST_INDEXES", 5)
    path = tmp_path / "unknown-dc.txt"
    log = UnknownDcLog(str(path))
    for dc_idx in range(10, 30):
        await log.record(dc_idx)
    assert len(path.read_text().splitlines()) == 5


def test_the_limit_is_1024():
    assert unknown_dcs.MOST_INDEXES == 1024


@pytest.mark.parametrize("where", ["../unknown-dc.txt", "missing/unknown-dc.txt", "folder", "link", "folder/../x"])
async def test_a_path_that_cannot_be_written_is_an_answer_and_no_error(tmp_path, where):
    (tmp_path / "folder").mkdir()
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    problem = await UnknownDcLog(f"{tmp_path}/{where}").record(7)
    assert where in problem
    assert (tmp_path / "elsewhere").read_text() == ""
    assert not (tmp_path.parent / "unknown-dc.txt").exists()
    assert not (tmp_path / "x").exists()


async def test_a_foreign_lock_does_not_hold_a_connection_up(tmp_path, mock_clock, nursery):
    path = tmp_path / "unknown-dc.txt"
    log = UnknownDcLog(str(path))
    answers = []

    async def record():
        answers.append(await log.record(7))

    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        nursery.start_soon(record)
        await trio.testing.wait_all_tasks_blocked()
        assert answers == []
        mock_clock.jump(unknown_dcs.WRITE_LIMIT)
        await trio.testing.wait_all_tasks_blocked()
        assert "locked" in answers[0]
    async with log._limiter:  # the thread gets the lock now, and is not to outlive the test
        assert path.read_text() == "dc_idx=7\n"
