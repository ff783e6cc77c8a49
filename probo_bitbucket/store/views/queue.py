"""The queue: how much waits in each step, since when, and how much was given up on."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from attrs import frozen

from probo_bitbucket.model import BuildState, DeliveryState
from probo_bitbucket.store.schema import builds, deliveries, statuses

_COUNTED = 10_000  # rows; more are "at least so many"


@frozen
class Queue:
    """What one step has before it. *oldest_at* is null where nothing waits; counts end at 10,000."""

    waiting: int
    failing: int  # of those, how many were tried in vain
    oldest_at: float | None
    given_up: int


def queues(tx: sa.Connection) -> dict[str, Queue]:
    return {
        "deliveries": _queue(tx, deliveries, deliveries.c.received_at, deliveries.c.state == DeliveryState.FAILED),
        "builds": _queue(tx, builds, builds.c.created_at, builds.c.state == BuildState.FAILED),
        "statuses": _queue(tx, statuses, statuses.c.changed_at, statuses.c.failed),
    }


def _queue(tx: sa.Connection, table: sa.Table, since: sa.Column[float], given_up: sa.ColumnElement[bool]) -> Queue:
    work = sa.select(since.label("since"), table.c.attempts).where(table.c.pending).limit(_COUNTED).subquery()
    failing = sa.func.count().filter(work.c.attempts > 0)
    found = tx.execute(sa.select(sa.func.count(), failing, sa.func.min(work.c.since)).select_from(work)).one()
    lost = sa.select(sa.literal(1)).select_from(table).where(given_up).limit(_COUNTED).subquery()
    return Queue(found[0], found[1], found[2], tx.scalar(sa.select(sa.func.count()).select_from(lost)) or 0)


def pulse(tx: sa.Connection) -> tuple[Any, ...]:
    """What is different whenever something happened; no more than that, and quickly read."""
    seen: list[Any] = [tx.scalar(sa.select(sa.func.max(deliveries.c.id)))]
    seen += [tx.scalar(sa.select(sa.func.max(table.c.changed_at))) for table in (builds, statuses)]
    for table in (deliveries, builds, statuses):
        work = sa.select(table.c.due_at, table.c.attempts).where(table.c.pending).limit(1000).subquery()
        counted = sa.select(sa.func.count(), sa.func.sum(work.c.due_at), sa.func.sum(work.c.attempts))
        seen += tx.execute(counted.select_from(work)).one()
    return tuple(seen)
