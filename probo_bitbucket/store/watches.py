"""Watches: the builds of which news is expected, when each was last heard of, and when it is asked about."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from probo_bitbucket.store.schema import watches
from probo_bitbucket.store.sql import ANEW, Claims, Effort, Lease, insert_by, postponed


@frozen
class Watched:
    """A build that another may have asked for: the store need not know it otherwise."""

    build_id: str
    repository: str  # full name of the one that has the commit
    heard_at: float
    effort: Effort
    leased_by: str


def heard(tx: sa.Connection, build_id: str, repository: str, now: float, due_at: float) -> None:
    """Something was told of a build: it is asked about at *due_at*, and by nobody who has it in hand already."""
    values = {"build_id": build_id, "repository": repository, "heard_at": now, **ANEW, "due_at": due_at}
    tx.execute(_heard(tx.dialect.name), values)


@cache
def _heard(dialect: str) -> Any:
    made = insert_by(dialect, watches)
    told = {name: made.excluded[name] for name in ("heard_at", *ANEW)}
    return made.on_conflict_do_update(index_elements=["build_id"], set_=told)


def look_now(tx: sa.Connection, now: float) -> None:
    """Have every build asked about."""
    tx.execute(sa.update(watches).where(watches.c.due_at > now).values(due_at=now))


_CLAIMS = Claims(watches, sa.select(watches).order_by(watches.c.due_at))


def claim_due(tx: sa.Connection, lease: Lease, limit: int, *, busy: Collection[str] = ()) -> list[Watched]:
    """Lease up to *limit* builds that are to be asked about, those first that wait for longest."""
    rows = _CLAIMS.take(tx, lease, limit, busy)
    return [Watched(row.build_id, row.repository, row.heard_at, Effort.of(row), lease.holder) for row in rows]


def is_held(tx: sa.Connection, watched: Watched) -> bool:
    """Whether nothing was told of the build since it was claimed; locked until the end of *tx*."""
    mine = sa.select(watches.c.build_id).where(*_held(watched)).with_for_update()
    return tx.scalar(mine) is not None


def rest(tx: sa.Connection, watched: Watched, *, heard_at: float, due_at: float) -> None:
    """It was asked about, and will be again at *due_at*."""
    _update(tx, watched, {**ANEW, "heard_at": heard_at, "due_at": due_at})


def postpone(tx: sa.Connection, watched: Watched, *, due_at: float, error: str) -> None:
    _update(tx, watched, postponed(watched.effort, due_at=due_at, error=error))


def forget(tx: sa.Connection, watched: Watched) -> None:
    """No news is expected any more. What is told nevertheless begins another watch."""
    tx.execute(sa.delete(watches).where(*_held(watched)))


def _update(tx: sa.Connection, watched: Watched, values: dict[str, Any]) -> None:
    tx.execute(sa.update(watches).where(*_held(watched)).values(**values))


def _held(watched: Watched) -> tuple[sa.ColumnElement[bool], ...]:
    return watches.c.build_id == watched.build_id, watches.c.leased_by == watched.leased_by
