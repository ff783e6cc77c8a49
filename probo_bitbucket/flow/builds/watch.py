"""Watch: after how much silence a build is asked about, and after how much it is taken for dead."""

from __future__ import annotations

from probo_bitbucket.store import Transaction, watches

QUIET = 600.0  # seconds without news after which a build is asked about, again and again
SILENCE = 86_400.0  # seconds without any news after which nothing is expected any more


def heard(tx: Transaction, build_id: str, repository: str, now: float) -> None:
    """Something was told of a build whose commit is in *repository* (full name)."""
    watches.heard(tx, build_id, repository, now, now + QUIET)
