"""What SQLite and PostgreSQL say differently, and how rows are worked on by one node at a time.

To put a statement together takes several times as long as to run it. Those that every delivery or status needs are put
together once: what varies comes with the execution, for a column by its name and for a condition by `_name`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from importlib import import_module
from typing import Any

import sqlalchemy as sa
from attrs import frozen

LEASE = 30.0  # seconds; a node renews its leases three times as often


def insert(tx: sa.Connection, table: sa.Table) -> Any:
    """An INSERT that knows ON CONFLICT."""
    return insert_by(tx.dialect.name, table)


def insert_by(dialect: str, table: sa.Table) -> Any:
    """An INSERT that knows ON CONFLICT, for what is put together once for each dialect."""
    return import_module(f"sqlalchemy.dialects.{dialect}").insert(table)


@frozen
class Lease:
    """Who works on a row, as seen at one moment. *holder* names a node, or one of its claims as `node/number`."""

    holder: str
    now: float

    @property
    def until(self) -> float:
        return self.now + LEASE

    @property
    def values(self) -> dict[str, Any]:
        return {"leased_by": self.holder, "leased_until": self.until}


class LeaseLost(Exception):
    """Another node has this work now: it was not heard of the one that had it for as long as a lease lasts."""


@frozen
class Effort:
    """What was tried on a row so far. *failing_since* is the time of the first failure in a row of failures."""

    attempts: int
    failing_since: float | None

    @classmethod
    def of(cls, row: sa.Row[Any]) -> Effort:
        return cls(row.attempts, row.failing_since)

    def failed(self, now: float) -> Effort:
        """What was tried, with a try that failed now."""
        return Effort(self.attempts + 1, now if self.failing_since is None else self.failing_since)


def first_of_lane(table: sa.Table, *order: str) -> sa.ColumnElement[bool]:
    """Nothing that is to be done in the same lane is before this row, by the columns *order*."""
    earlier = table.alias("earlier")
    before = sa.tuple_(*(earlier.c[name] for name in order)) < sa.tuple_(*(table.c[name] for name in order))
    return ~sa.exists().where(earlier.c.pending, earlier.c.lane == table.c.lane, before)


class Claims:
    """Takes rows of one table that are something to do: due, and in nobody's hands.

    *query* tells which of them, in which order; *owner* is the column that tells whose work a row is. All is put
    together once: that takes longer than running it.
    """

    def __init__(self, table: sa.Table, query: sa.Select[Any], owner: str = "repository") -> None:
        now: sa.BindParameter[float] = sa.bindparam("now")
        waiting = sa.and_(table.c.pending, table.c.due_at <= now, table.c.leased_until <= now)
        # Rows that another node is just looking at are passed over.
        self._due = query.where(waiting).limit(sa.bindparam("limit")).with_for_update(skip_locked=True, of=table)
        # A list of values takes three times as long as the rest, and is empty as a rule.
        self._due_elsewhere = self._due.where(table.c[owner].not_in(sa.bindparam("busy", expanding=True)))
        keys = table.primary_key.columns
        self._keys = [key.name for key in keys]
        self._lease = (
            sa.update(table)
            .where(*(key == sa.bindparam(f"_{key.name}") for key in keys))
            .values(leased_by=sa.bindparam("_holder"), leased_until=sa.bindparam("_until"))
        )

    def take(
        self, tx: sa.Connection, lease: Lease, limit: int, busy: Collection[str], **values: float
    ) -> Sequence[sa.Row[Any]]:
        """Lease what is due."""
        rows = self.due(tx, lease.now, limit, busy, **values)
        if rows:
            held = {"_holder": lease.holder, "_until": lease.until}
            names = self._keys
            tx.execute(self._lease, [{**held, **{f"_{name}": row._mapping[name] for name in names}} for row in rows])
        return rows

    def due(
        self, tx: sa.Connection, now: float, limit: int, busy: Collection[str], **values: float
    ) -> Sequence[sa.Row[Any]]:
        """Up to *limit* rows, but none of the owners named in *busy*. *values* are those that the query binds."""
        query, whose = (self._due_elsewhere, {"busy": list(busy)}) if busy else (self._due, {})
        return tx.execute(query, {"now": now, "limit": limit, **whose, **values}).all()


_RESTED: dict[str, Any] = {"leased_by": "", "leased_until": 0.0, "attempts": 0, "failing_since": None, "last_error": ""}
ANEW = {"pending": True, "due_at": 0.0, **_RESTED}  # the values of a row that is to be worked on from the beginning


def done(table: sa.Table) -> dict[str, Any]:
    """The values of a row with which nothing is left to do. What it took stays, to be shown."""
    columns = table.c
    tries = sa.case((columns.pending, columns.attempts + 1), else_=columns.tries)
    trouble = sa.case((columns.pending, columns.last_error), else_=columns.trouble)
    return {"pending": False, "tries": tries, "trouble": trouble, **_RESTED}


def postponed(effort: Effort, *, due_at: float, error: str) -> dict[str, Any]:
    """The values of a row that is to be tried again at *due_at*, after *effort*."""
    return {
        "due_at": due_at,
        "leased_by": "",
        "leased_until": 0.0,
        "attempts": effort.attempts,
        "failing_since": effort.failing_since,
        "last_error": error,
    }
