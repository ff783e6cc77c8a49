"""Where log lines go: standard output, or a file that is rotated by the clock or by logrotate."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from itertools import pairwise
from pathlib import Path


class StandardOutput:
    """What was standard output when the process started; twistd takes `sys.stdout` away later."""

    def __init__(self) -> None:
        self._file = FileIO(1, "wb", closefd=False)

    def write(self, line: bytes) -> None:
        self._file.write(line)

    def reopen(self) -> None:
        """Nothing to do: it has no name."""


class LogFile:
    """Appends to the file at *path*; made with its directory where it is not there.

    Every *period* seconds, counted from the epoch, the file becomes `path.1`, `path.1` becomes `path.2` and so on;
    *count* old files are kept. Without a period that is left to others.
    """

    def __init__(
        self, path: Path, period: float | None = None, count: int = 0, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = path
        self._period = period
        self._count = count
        self._clock = clock
        self._file = self._open()

    def write(self, line: bytes) -> None:
        """Append *line* in one piece, so that two processes can share a file."""
        # Where the directory may not be written to any more, the line still has a place in the file that is open.
        with suppress(OSError):
            if self._is_due():
                self._rotate()
            if self._is_gone():
                self.reopen()
        self._file.write(line)

    def reopen(self) -> None:
        """Go on in the file that is now at the path; OSError, and on in the old one, if it cannot be opened."""
        old, self._file = self._file, self._open()
        old.close()

    def _open(self) -> FileIO:
        self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        # Not buffered: what is written when the process dies is written.
        file = FileIO(self.path, "ab", opener=_open_for_group)
        # A file from yesterday is due today, also when the process was not there at midnight.
        written = os.fstat(file.fileno())
        self._turn = self._turn_at(written.st_mtime if written.st_size else self._clock())
        return file

    def _turn_at(self, seconds: float) -> int:
        return int(seconds // self._period) if self._period else 0

    def _is_due(self) -> bool:
        return self._turn_at(self._clock()) > self._turn

    def _rotate(self) -> None:
        self._turn = self._turn_at(self._clock())
        files = [self.path, *(self.path.with_name(f"{self.path.name}.{n}") for n in range(1, self._count + 1))]
        for newer, older in reversed(list(pairwise(files))):
            if newer.exists():
                newer.replace(older)
        if not self._count:
            self.path.unlink(missing_ok=True)

    def _is_gone(self) -> bool:
        """Tell whether the path leads elsewhere. A stat costs a hundredth of what it takes to format the line."""
        mine = os.fstat(self._file.fileno())
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return True
        return (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino)


def _open_for_group(path: str, flags: int) -> int:
    """Let the group read a file that is new. In the background twistd's umask would not."""
    try:
        made = os.open(path, flags | os.O_EXCL)
    except FileExistsError:
        return os.open(path, flags)
    os.fchmod(made, 0o640)
    return made
