"""Other users of the machine cannot read what the store keeps, however open it was before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from probo_bitbucket import config
from probo_bitbucket.checkup import look_at_files
from probo_bitbucket.flow.oversight.verdict import Grade
from probo_bitbucket.store import Engine, StoreUnavailable, privacy, sole
from probo_bitbucket.store.migrate import upgrade
from tests.staged import StageTestCase

DATABASE = "probo-bitbucket.db"
CLOSED = {DATABASE + end: 0o600 for end in ("", "-wal", "-shm", ".lock")}


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    events: list[LogEvent] = []
    observer = cast(ILogObserver, events.append)
    globalLogPublisher.addObserver(observer)
    yield events
    globalLogPublisher.removeObserver(observer)


def warnings(logged: list[LogEvent]) -> list[tuple[str, str]]:
    return [(event["file"], event["reason"]) for event in logged if event.get("event") == "store.open"]


def rights(path: Path) -> int:
    return path.stat().st_mode & 0o777


class Daemon(StageTestCase):
    async def test_all_files_of_the_store_are_closed_from_the_first_start_on(self) -> None:
        await self.built(self.repository.open_pull_request())
        assert self.files() == CLOSED

    async def test_files_that_were_open_to_others_are_closed_at_the_next_start(self) -> None:
        await self.stage.stop_handler()
        for path in self.folder.glob(f"{DATABASE}*"):
            path.chmod(0o664)
        self.stage.start_handler()
        await self.built(self.repository.open_pull_request())
        assert self.files() == CLOSED

    def files(self) -> dict[str, int]:
        return {path.name: rights(path) for path in self.folder.glob(f"{DATABASE}*")}


def start(directory: Path) -> None:
    """Open the store in *directory* as the daemon does, and close it again."""
    engine = Engine(f"sqlite:///{directory / DATABASE}")
    with sole.claim(directory / DATABASE):
        upgrade(engine)
        engine.close()


def test_the_directory_is_made_for_nobody_else(tmp_path: Path) -> None:
    start(tmp_path / "made" / "here")
    assert rights(tmp_path / "made" / "here") == 0o700


def test_a_directory_of_ours_that_is_open_is_closed(tmp_path: Path, logged: list[LogEvent]) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    for name in (DATABASE, f"{DATABASE}-wal"):
        (directory / name).touch()
        (directory / name).chmod(0o644)
    directory.chmod(0o755)
    start(directory)
    assert (rights(directory), rights(directory / DATABASE), warnings(logged)) == (0o700, 0o600, [])


def test_a_directory_that_holds_other_things_is_left_as_it_is_and_warned_about(
    tmp_path: Path, logged: list[LogEvent]
) -> None:
    (tmp_path / "page.html").touch()
    tmp_path.chmod(0o755)
    start(tmp_path)
    assert (rights(tmp_path), rights(tmp_path / DATABASE)) == (0o755, 0o600)
    [(file, reason)] = warnings(logged)
    assert (file, "a directory of its own" in reason) == (str(tmp_path), True)


def test_what_belongs_to_somebody_else_is_warned_about(
    tmp_path: Path, logged: list[LogEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(1, os.strerror(1), str(path))

    file = tmp_path / DATABASE
    file.touch()
    file.chmod(0o644)
    monkeypatch.setattr(Path, "chmod", refuse)
    privacy.keep_private(file)
    assert warnings(logged) == [(str(file), f"Operation not permitted; run as its owner: chmod go= {file}")]


def test_a_place_that_cannot_be_looked_at_is_no_database_that_is_missing(tmp_path: Path) -> None:
    """As it is for a user who may not enter the directory; root, who may run this, can enter any."""
    engine = Engine(f"sqlite:///{tmp_path / ('x' * 300) / DATABASE}")
    assert not engine.missing
    with pytest.raises(StoreUnavailable, match="unable to open database file"), engine.begin():
        pass
    with pytest.raises(StoreUnavailable, match="cannot be made: File name too long"):
        upgrade(engine)


def test_a_directory_that_cannot_be_listed_may_hold_other_things(
    tmp_path: Path, logged: list[LogEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, os.strerror(13), str(path))

    tmp_path.chmod(0o755)
    monkeypatch.setattr(Path, "iterdir", refuse)
    privacy.keep_private(tmp_path / DATABASE)
    assert warnings(logged) == [(str(tmp_path), "what it holds cannot be listed: Permission denied")]


def test_a_check_does_not_call_closed_what_it_cannot_look_at(tmp_path: Path) -> None:
    place = tmp_path / ("x" * 300)
    settings = config.load([], {}, {"api.url": "http://cm:3020", "dataDir": str(place)})
    verdict = list(look_at_files(settings, []))[-1]
    assert (verdict.subject, verdict.grade) == ("files", Grade.WARNING)
    assert verdict.what == f"{place} cannot be looked at: File name too long"
