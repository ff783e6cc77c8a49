"""Derivation: what follows from the statuses of a build, in the same transaction that changes one of them."""

from __future__ import annotations

from probo_bitbucket.flow.statuses.comment import speak
from probo_bitbucket.flow.statuses.display import Display
from probo_bitbucket.flow.statuses.progress import progress_of
from probo_bitbucket.flow.statuses.summary import sum_up
from probo_bitbucket.store import Transaction, builds


def derive(
    tx: Transaction, build_id: str, now: float, display: Display, *, gone: str = "", not_before: float = 0.0
) -> None:
    """Bring the summary and the comment of a build up to date, where the settings want them.

    *gone* says why its environment is not there any more; empty while it is. What changes by this is not reported
    before the time *not_before*.
    """
    if not (display.summary or display.comment):
        return
    build = builds.find(tx, build_id)
    progress = progress_of(tx, build_id, build, display.instance_name, gone)
    if progress is None:
        return
    if display.summary:
        sum_up(tx, build_id, build, progress, now, display.instance_name, not_before)
    if display.comment and build:
        speak(tx, build, progress, now, display)
