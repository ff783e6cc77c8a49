"""Presence: which file the path of an SQLite database leads to.

Nothing fails when the file that is open is removed or replaced: what is written is in a file that nobody finds.
"""

from __future__ import annotations

from pathlib import Path

Identity = tuple[int, int]  # device and inode


def identity(file: Path) -> Identity | None:
    """Which file is there now; None where there is none, or it cannot be looked at."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_missing(file: Path) -> bool:
    """Whether there is no such file, for certain: one that cannot be looked at may be there."""
    try:
        file.stat()
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False
