"""Privacy: what SQLite keeps is for the daemon's user only, and the directory that it is in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from twisted.logger import Logger

from probo_bitbucket.store.engine import StoreUnavailable
from probo_bitbucket.store.presence import is_missing

OTHERS = 0o077  # the rights of everybody but the owner
_BESIDE = ("", "-wal", "-shm", ".lock")

_log = Logger()


def make_directory(file: Path) -> None:
    """Make the directory of *file* where it is not there. Raises StoreUnavailable."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"{error.filename} cannot be made: {error.strerror}") from error


def keep_private(file: Path) -> None:
    """Make *file* where it is not there, and take all rights on it and its directory from others.

    What cannot be changed is warned about. A directory that holds other things, too, may be open for a reason.
    """
    with suppress(OSError):  # SQLite says better what is wrong
        # SQLite gives its -wal and -shm the rights that the file has when they are made.
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    with suppress(OSError):  # here, too
        for path in _open_to_others(file):
            _close(path)
        if is_open(file.parent):
            _close_directory(file)


def _open_to_others(file: Path) -> Iterator[Path]:
    paths = (file.with_name(file.name + end) for end in _BESIDE)
    return (path for path in paths if is_open(path))


def is_open(path: Path) -> bool:
    """Whether others have any right on what is there. Raises OSError where it cannot be looked at."""
    return not is_missing(path) and bool(path.stat().st_mode & OTHERS)


def _close(path: Path) -> None:
    try:
        path.chmod(path.stat().st_mode & 0o700)
    except OSError as error:
        _warn(path, f"{error.strerror}; run as its owner: chmod go= {path}")
    else:
        _log.info("Closed to other users", event="store.closed", file=str(path))


def _close_directory(file: Path) -> None:
    try:
        alone = all(path.name.startswith(file.name) for path in file.parent.iterdir())
    except OSError as error:
        _warn(file.parent, f"what it holds cannot be listed: {error.strerror}")
        return
    if alone:
        _close(file.parent)
    else:
        _warn(file.parent, "it holds other things, too; give the database a directory of its own")


def _warn(path: Path, reason: str) -> None:
    _log.warn("Other users may read this", event="store.open", file=str(path), reason=reason)
