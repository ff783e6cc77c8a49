"""Resumption: what a start finds to be done still."""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.logger import Logger

from probo_bitbucket.store import Transaction, backlog

_log = Logger()


def tell_waiting(tx: Transaction, now: float) -> None:
    """Log how much waits of each kind of work, since when, and when it is tried next."""
    for waiting in backlog.waiting(tx):
        if waiting.count:
            _log.info(
                "Work waits from before the start",
                event="daemon.resumed",
                work=waiting.work,
                count=waiting.count,
                seconds=round(now - waiting.since),
                retry_at=datetime.fromtimestamp(max(now, waiting.due_at), UTC).isoformat(timespec="seconds"),
            )
