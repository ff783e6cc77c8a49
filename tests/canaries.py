"""Canaries: secrets that can be recognised, and the places where they must not be heard."""

from __future__ import annotations

import gc
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from twisted.logger import globalLogPublisher

from probo_bitbucket import logs
from probo_bitbucket.config import Settings
from probo_bitbucket.config.secrets import secrets_of
from probo_bitbucket.log_file import LogFile
from probo_bitbucket.log_output import FORMS
from tests.staged import StageTestCase

_SONG = re.compile(r".{0,80}c4n4ry.{0,40}")

# The columns that secrets belong in. The house has the key that handles are signed with.
KEPT_IN = {
    "chains": ("refresh_token", "access_token"),
    "hand_ons": ("held",),
    "consumers": ("secret",),
    "house": ("value",),
}


def songs(text: str) -> list[str]:
    """Where a canary sings in *text*."""
    return _SONG.findall(text)


def keep_log(test: StageTestCase) -> Path:
    """The file that has the log of a test, at its finest level, in every form."""
    path = test.folder / "logs" / "bitbucket.log"
    for form in FORMS.values():
        observer = logs.LineObserver(LogFile(path).write, "trace", form)
        globalLogPublisher.addObserver(observer)
        test.addCleanup(globalLogPublisher.removeObserver, observer)
    return path


def forget_secrets_at_starts(test: StageTestCase) -> None:
    """Let a handler that is started know no secret but those of its settings, as a new process does."""
    start = test.stage.start_handler

    def start_handler() -> None:
        logs.secrets.__init__()  # type: ignore[misc]
        for secret in secrets_of(test.stage.settings()):
            logs.hide(secret)
        start()

    test.patch(test.stage, "start_handler", start_handler)


def stored(folder: Path) -> Iterator[str]:
    """Every value in the store, without those of the columns that secrets belong in."""
    with closing(sqlite3.connect(folder / "probo-bitbucket.db")) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = database.execute(f'SELECT * FROM "{table}"')  # noqa: S608
            names = [each[0] for each in rows.description]
            for row in rows:
                shown = dict(zip(names, row, strict=True))
                for secret in KEPT_IN.get(table, ()):
                    assert shown.pop(secret, None) is not None, (table, secret)
                yield f"{table}: {shown}"


def reprs() -> Iterator[str]:
    """The repr and the text of every object of the handler that is alive."""
    gc.collect()
    seen = set()
    for thing in gc.get_objects():
        kind = type(thing)
        if str(kind.__module__).startswith("probo_bitbucket.") and ".sandbox" not in kind.__module__:
            seen.add(kind)
            yield f"{kind.__name__}: {thing!r} {thing}"
    assert Settings in seen
