"""The log file over days, and under logrotate."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from probo_bitbucket.log_file import LogFile

DAY = 86400.0


class Time:
    """A clock that stands still until it is set."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "bitbucket.log"


def contents(path: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in path.parent.iterdir()}


def test_the_directory_and_the_file_are_closed_to_others(path: Path) -> None:
    LogFile(path)
    assert path.parent.stat().st_mode & 0o777 == 0o750
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_new_file_is_open_to_the_group_whatever_the_umask_and_one_that_logrotate_made_stays_as_it_is(
    path: Path,
) -> None:
    umask = os.umask(0o077)
    try:
        log = LogFile(path)
        path.rename(path.with_suffix(".1"))
        log.reopen()
        assert path.stat().st_mode & 0o777 == 0o640
        path.rename(path.with_suffix(".2"))
        path.touch(0o600)
        log.reopen()
        assert path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(umask)


def test_an_existing_file_is_continued(path: Path) -> None:
    LogFile(path).write(b"one\n")
    LogFile(path).write(b"two\n")
    assert path.read_text() == "one\ntwo\n"


def test_each_period_has_its_file_and_only_count_old_ones_are_kept(path: Path) -> None:
    time = Time(10 * DAY)
    path.parent.mkdir()
    path.touch()
    os.utime(path, (time.now, time.now))
    log = LogFile(path, DAY, 2, time)
    for day in range(10, 14):
        time.now = day * DAY + 1
        log.write(b"first of %d\n" % day)
        time.now = day * DAY + DAY - 1
        log.write(b"last of %d\n" % day)
    assert contents(path) == {
        "bitbucket.log": "first of 13\nlast of 13\n",
        "bitbucket.log.1": "first of 12\nlast of 12\n",
        "bitbucket.log.2": "first of 11\nlast of 11\n",
    }


def test_a_file_of_yesterday_is_rotated_after_a_start(path: Path) -> None:
    LogFile(path).write(b"yesterday\n")
    tomorrow = path.stat().st_mtime + DAY
    LogFile(path, DAY, 7, Time(tomorrow)).write(b"today\n")
    assert contents(path) == {"bitbucket.log": "today\n", "bitbucket.log.1": "yesterday\n"}


def test_a_file_that_was_moved_away_is_begun_anew_at_the_next_line(path: Path) -> None:
    log = LogFile(path)
    log.write(b"before\n")
    path.rename(path.with_suffix(".old"))
    log.write(b"after\n")
    assert contents(path) == {"bitbucket.old": "before\n", "bitbucket.log": "after\n"}


def test_a_file_that_was_replaced_is_followed(path: Path) -> None:
    log = LogFile(path)
    path.rename(path.with_suffix(".old"))
    path.write_text("made by logrotate\n")
    log.write(b"after\n")
    assert contents(path) == {"bitbucket.old": "", "bitbucket.log": "made by logrotate\nafter\n"}


def test_reopening_makes_the_file_without_waiting_for_a_line(path: Path) -> None:
    log = LogFile(path)
    path.rename(path.with_suffix(".old"))
    log.reopen()
    assert path.exists()


def test_a_line_is_kept_where_a_new_file_cannot_be_made(path: Path) -> None:
    log = LogFile(path)
    path.parent.rename(path.parent.with_name("moved"))
    path.parent.write_text("a file is in the way")
    log.write(b"still here\n")
    assert (path.parent.with_name("moved") / path.name).read_text() == "still here\n"
