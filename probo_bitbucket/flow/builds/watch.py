"""Watch: after how much silence a build is asked about, and after how much it is taken for dead."""

from __future__ import annotations

from probo_bitbucket.store import Transaction, watches

QUIET = 600.0  # seconds without news after which a build is asked about, again and again
QUIET_IF_PINNED = 60.0  # … of one that is pinned, which was wanted to be gone: what it told meanwhile was not shown
SILENCE = 86_400.0  # seconds without any news after which nothing is expected any more


def heard(tx: Transaction, build_id: str, repository: str, now: float, *, pinned: bool = False) -> None:
    """Something was told of a build whose commit is in *repository* (full name)."""
    watches.heard(tx, build_id, repository, now, now + quiet(pinned=pinned))


def quiet(*, pinned: bool) -> float:
    """Seconds without news after which a build is asked about."""
    return QUIET_IF_PINNED if pinned else QUIET
