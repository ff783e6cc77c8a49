"""Steps: what each build told of itself, its own whatever Bitbucket shows.

Bitbucket has one status for a (commit, key), which a later build of the commit takes over. What each told is here.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa

from probo_bitbucket.model import Status, StatusState
from probo_bitbucket.store.columns import dump
from probo_bitbucket.store.schema import builds, steps
from probo_bitbucket.store.sql import insert_by

# What a build is while one of its steps is so: the first that any of them is in.
_WORST = (StatusState.INPROGRESS, StatusState.FAILED, StatusState.STOPPED, StatusState.SUCCESSFUL)
_RANK = sa.case({state.value: rank for rank, state in enumerate(_WORST)}, value=steps.c.state)
_RESULT = sa.select(steps.c.state).where(steps.c.build_id == builds.c.id).order_by(_RANK).limit(1).scalar_subquery()
_SUM_UP = sa.update(builds).where(builds.c.id == sa.bindparam("_id")).values(result=_RESULT)


def tell(tx: sa.Connection, build_id: str, context: str, status: Status, now: float) -> None:
    """Note how a step of a build is. One that had ended and goes on begins anew."""
    values = {
        "build_id": build_id,
        "key": status.key,
        "context": context,
        "state": status.state,
        "told": dump(status),
        "began_at": now,
        "ended_at": now if status.state.final else None,
        "changed_at": now,
    }
    tx.execute(_tell(tx.dialect.name), values)
    tx.execute(_SUM_UP, {"_id": build_id})


@cache
def _tell(dialect: str) -> Any:
    told = insert_by(dialect, steps)
    new = told.excluded
    goes_on = sa.and_(steps.c.ended_at.is_not(None), new.ended_at.is_(None))
    ended = sa.func.coalesce(steps.c.ended_at, new.ended_at)
    again = {
        **{name: new[name] for name in ("context", "state", "told", "changed_at")},
        "began_at": sa.case((goes_on, new.began_at), else_=steps.c.began_at),
        "ended_at": sa.case((new.ended_at.is_(None), sa.null()), else_=ended),
    }
    return told.on_conflict_do_update(index_elements=["build_id", "key"], set_=again)


def prune(tx: sa.Connection, before: float, limit: int) -> int:
    """Delete up to *limit* steps that were last told of before a time. Returns how many."""
    fields = (steps.c.build_id, steps.c.key)
    old = sa.select(*fields).where(steps.c.changed_at < before).limit(limit)
    return tx.execute(sa.delete(steps).where(sa.tuple_(*fields).in_(old))).rowcount
