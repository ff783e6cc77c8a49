"""A SQLite file is for one daemon: the lock beside it that says so."""

from __future__ import annotations

import fcntl
import os
from io import FileIO
from pathlib import Path

from probo_bitbucket.store.engine import StoreUnavailable
from probo_bitbucket.store.privacy import make_directory


def claim(file: Path) -> FileIO:
    """Have *file* for this process alone, until what is returned is closed or the process ends, however it ends.

    Makes the directory where there is none. Raises StoreUnavailable where that fails, or another daemon has the file.
    """
    path = file.with_name(f"{file.name}.lock")
    make_directory(file)
    try:
        lock = FileIO(path, "a+b", opener=lambda name, flags: os.open(name, flags, 0o600))
    except OSError as error:
        raise StoreUnavailable(f"{error.filename} cannot be made: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise StoreUnavailable(f"{file} is in use by another daemon{_owner(lock)}") from error
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n".encode())
    return lock


def _owner(lock: FileIO) -> str:
    lock.seek(0)
    written = lock.read(20).decode("ascii", "replace").strip()
    return f", process {written}" if written.isdigit() else ""
