"""Over all kinds of work: what one node has in hand, and what waits."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from probo_bitbucket.model import BuildState
from probo_bitbucket.store.schema import (
    builds,
    chains,
    commands,
    comments,
    deliveries,
    forwarded,
    hand_ons,
    pull_requests,
    removals,
    repositories,
    statuses,
    watches,
)
from probo_bitbucket.store.sql import LEASE

_LEASED = (
    deliveries,
    builds,
    watches,
    pull_requests,
    removals,
    statuses,
    comments,
    commands,
    repositories,
    forwarded,
    hand_ons,
)


_IN_HAND = sa.text("leased_by <> ''")  # in the words of the index
_RENEWALS = [
    sa.update(table).where(
        _IN_HAND,
        table.c.leased_by.in_(sa.bindparam("_holders", expanding=True)),
        table.c.leased_until > sa.bindparam("_now"),
    )
    for table in _LEASED
]


def renew(tx: sa.Connection, holders: Collection[str], now: float) -> None:
    """Keep what these holders have in hand."""
    held = {"_holders": list(holders), "_now": now, "leased_until": now + LEASE}
    for renewal in _RENEWALS:
        tx.execute(renewal, held)


def release(tx: sa.Connection, node: str) -> None:
    """Let go of all that this node has in hand."""
    for table in (*_LEASED, chains):
        mine = sa.or_(table.c.leased_by == node, table.c.leased_by.startswith(f"{node}/"))
        tx.execute(sa.update(table).where(_IN_HAND, mine).values(leased_by="", leased_until=_until(table)))


def release_all(tx: sa.Connection) -> None:
    """Let go of what a process left in hand that is no more: for a store that only this process uses."""
    for table in (*_LEASED, chains):
        tx.execute(sa.update(table).where(_IN_HAND).values(leased_by="", leased_until=_until(table)))


def _until(table: sa.Table) -> sa.ColumnElement[float]:
    """How long what is let go of stays alone: a build that was being sent, as long as if its node had died.

    Only then it has arrived, or never will.
    """
    if table is not builds:
        return sa.literal(0.0)
    return sa.case((table.c.state == BuildState.STARTING, table.c.leased_until), else_=0.0)


def hasten(tx: sa.Connection) -> None:
    """Make all that waits for its next try due now."""
    for table in _LEASED:
        later = sa.update(table).where(table.c.pending, table.c.due_at > 0).values(due_at=0.0)
        # SQLite would keep all rows as they were in memory, to take back this statement alone. It cannot fail alone.
        tx.execute(later.prefix_with("OR ROLLBACK", dialect="sqlite"))
