"""The backlog: how much waits to be done, and since when. Costs as much as there is of it, however long the history."""

from __future__ import annotations

import sqlalchemy as sa
from attrs import frozen

from probo_bitbucket.store.schema import (
    builds,
    commands,
    comments,
    deliveries,
    forwarded,
    hand_ons,
    pull_requests,
    removals,
    statuses,
)

# What waits, and the column that says since when.
_WORK = {
    "deliveries": (deliveries, deliveries.c.received_at),
    "builds": (builds, builds.c.created_at),
    "statuses": (statuses, statuses.c.changed_at),
    "updates": (forwarded, forwarded.c.received_at),
    "comments": (comments, comments.c.changed_at),
    "removals": (removals, removals.c.wanted_at),
    "closings": (pull_requests, pull_requests.c.changed_at),
    "hand_ons": (hand_ons, hand_ons.c.renewed_at),
    "commands": (commands, commands.c.created_at),
}


@frozen
class Waiting:
    """One kind of work: how much of it waits, since when the oldest does, and when the next try is due."""

    work: str  # one of _WORK: updates for other providers' handlers, closings of pull requests, hand-ons of tokens …
    count: int
    since: float  # 0 where nothing waits
    due_at: float  # 0 for at once


def waiting(tx: sa.Connection) -> list[Waiting]:
    """What waits, of every kind of work, also where that is nothing."""
    return [_waiting(tx, work, table, since) for work, (table, since) in _WORK.items()]


def _waiting(tx: sa.Connection, work: str, table: sa.Table, since: sa.Column[float]) -> Waiting:
    query = sa.select(sa.func.count(), sa.func.min(since), sa.func.min(table.c.due_at)).where(table.c.pending)
    count, oldest, due_at = tx.execute(query).one()
    return Waiting(work, count, oldest or 0.0, due_at or 0.0)
