"""The queue: how much waits in each step, since when, and how much was given up on."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from attrs import frozen

from probo_bitbucket.model import BuildState, DeliveryState
from probo_bitbucket.store import backlog
from probo_bitbucket.store.backlog import Waiting
from probo_bitbucket.store.schema import (
    builds,
    commands,
    comments,
    deliveries,
    forwarded,
    hand_ons,
    hook_reports,
    pull_requests,
    removals,
    statuses,
)

_COUNTED = 10_000  # given up; more are "at least so many"
_FELT = 1_000  # rows that are to be done, whose change a pulse feels

_GIVEN_UP: dict[str, tuple[sa.Table, sa.ColumnElement[bool]]] = {
    "deliveries": (deliveries, deliveries.c.state == DeliveryState.FAILED),
    "builds": (builds, builds.c.state == BuildState.FAILED),
    "statuses": (statuses, statuses.c.failed),
    "updates": (forwarded, forwarded.c.failed),
    **{
        work: (table, ~table.c.pending & (table.c.last_error != ""))
        for work, table in (
            ("removals", removals),
            ("closings", pull_requests),
            ("comments", comments),
            ("commands", commands),
            ("hand_ons", hand_ons),
        )
    },
}


@frozen
class Queue:
    """What one step has before it, and what it could not do. *oldest_at* is null where nothing waits.

    *trouble* is what the last try met of the work that is due next and was tried in vain; empty where none was.
    """

    work: str  # as in the backlog
    waiting: int
    oldest_at: float | None
    given_up: int
    trouble: str


def queues(tx: sa.Connection) -> list[Queue]:
    """The queue of every step, in the order in which work goes through them."""
    return [
        Queue(each.work, each.count, each.since if each.count else None, _given_up(tx, each.work), _trouble(tx, each))
        for each in backlog.waiting(tx)
    ]


def _given_up(tx: sa.Connection, work: str) -> int:
    table, which = _GIVEN_UP[work]
    found = sa.select(sa.literal(1)).select_from(table).where(which).limit(_COUNTED).subquery()
    return tx.scalar(sa.select(sa.func.count()).select_from(found)) or 0


def _trouble(tx: sa.Connection, of: Waiting) -> str:
    if not of.count:
        return ""
    table, _ = _GIVEN_UP[of.work]
    tried = sa.select(table.c.last_error).where(table.c.pending, table.c.last_error != "")
    return tx.scalar(tried.order_by(table.c.due_at).limit(1)) or ""


def pulse(tx: sa.Connection) -> tuple[Any, ...]:
    """What is different whenever something happened, on whichever node; quickly read, however long the history."""
    felt: list[Any] = [tx.scalar(sa.select(sa.func.max(table.c.id))) for table in (deliveries, forwarded)]
    felt += [tx.scalar(sa.select(sa.func.max(table.c.changed_at))) for table in (builds, statuses)]
    felt.append(tx.scalar(sa.select(sa.func.max(hook_reports.c.at))))
    for table in (deliveries, builds, statuses, forwarded):
        work = sa.select(table.c.due_at, table.c.attempts).where(table.c.pending).limit(_FELT).subquery()
        counted = sa.select(sa.func.count(), sa.func.sum(work.c.due_at), sa.func.sum(work.c.attempts))
        felt += tx.execute(counted.select_from(work)).one()
    return tuple(felt)
