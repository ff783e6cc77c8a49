"""Privacy: files with secrets are for the daemon alone."""

from __future__ import annotations

from pathlib import Path


def how_to_close(path: Path) -> str:
    """The command that takes a file from users who need not read it; empty where they cannot. Raises OSError.

    Root's file in another group than its own is how a daemon gets to read a file that it must not write.
    """
    there = path.stat()
    given_to_group = there.st_uid == 0 and there.st_gid != 0
    if not there.st_mode & (0o027 if given_to_group else 0o077):
        return ""
    return f"chmod {'g-w,o=' if given_to_group else '600'} {path}"
