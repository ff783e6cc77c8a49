"""How much waits, on both engines, and at what cost."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from probo_bitbucket.model import Delivery, Ignored, PullRequestChanged
from probo_bitbucket.store import Engine, Lease, backlog, credentials, deliveries, nodes, schema
from probo_bitbucket.store.backlog import Waiting
from probo_bitbucket.store.credentials import Chain
from probo_bitbucket.store.migrate import upgrade
from tests.store.test_engine import temporary_files
from tests.store.test_late import PULL_REQUEST, SITE
from tests.store.test_plans import _row

CHANGED = PullRequestChanged(SITE, PULL_REQUEST)


def record(tx: sa.Connection, at: float, event: PullRequestChanged | Ignored = CHANGED) -> None:
    deliveries.record(tx, Delivery("pullrequest:created", b"{}", at), event)


def test_where_nothing_waits_that_is_said_of_every_kind(tx: sa.Connection) -> None:
    kinds = ("deliveries", "builds", "statuses", "updates", "comments", "removals", "closings", "hand_ons", "commands")
    assert backlog.waiting(tx) == [Waiting(work, 0, 0.0, 0.0) for work in kinds]


def test_what_waits_is_counted_and_what_is_done_is_not(tx: sa.Connection) -> None:
    for at in (30.0, 10.0, 20.0):
        record(tx, at)
    record(tx, 5.0, Ignored("asks for nothing"))
    for job in deliveries.claim_waiting(tx, Lease("north", 40.0), 1):
        deliveries.postpone(tx, job, due_at=60.0, error="no", now=0.0)
    assert backlog.waiting(tx)[0] == Waiting("deliveries", 3, 10.0, 0.0)


def test_all_that_waits_for_its_next_try_is_hastened(tx: sa.Connection) -> None:
    tables = [table for table in schema.metadata.sorted_tables if {"pending", "due_at"} <= set(table.columns.keys())]
    for table in tables:
        tx.execute(sa.insert(table), [{**_row(table, number), "pending": True, "due_at": 60.0} for number in range(5)])
    nodes.hasten(tx)
    for table in tables:
        later = sa.select(sa.func.count()).where(table.c.pending, table.c.due_at > 0)
        assert tx.scalar(later) == 0, table.name


def test_what_is_hastened_is_not_copied_however_much_it_is(sqlite: str) -> None:
    engine = Engine(sqlite)
    upgrade(engine)
    with engine.begin() as tx:
        rows = [{**_row(schema.deliveries, id), "pending": True, "due_at": 60.0} for id in range(1, 200)]
        tx.execute(sa.insert(schema.deliveries), [{**row, "body": b"x" * 2000} for row in rows])
    with engine.begin() as tx:
        nodes.hasten(tx)
        assert temporary_files() == []
    engine.close()


def test_the_oldest_renewal_is_told_where_there_was_one(tx: sa.Connection) -> None:
    assert credentials.oldest_renewal(tx) is None
    for name, renewed in (("a", 100.0), ("b", 50.0), ("c", 0.0)):
        credentials.begin_anew(tx, name, Chain(name, f"c4n4ry-{name}", refreshed_at=renewed))
    assert credentials.oldest_renewal(tx) == 50.0


def test_counting_reads_the_index_of_what_is_pending(engine: Engine) -> None:
    tables = [table for table in schema.metadata.sorted_tables if "pending" in table.columns]
    for waits_for_the_next_look in (schema.repositories, schema.watches):  # all of them do: that is no backlog
        tables.remove(waits_for_the_next_look)
    assert {work for work, _ in backlog._WORK.values()} == set(tables)
    with engine.begin() as tx:
        for table in tables:
            tx.execute(sa.insert(table), [_row(table, number) for number in range(3000)])
        asked: list[tuple[str, Any]] = []
        sa.event.listen(tx, "before_cursor_execute", lambda _c, _k, text, values, *_: asked.append((text, values)))
        backlog.waiting(tx)
        explain = "EXPLAIN " if engine.dialect == "postgresql" else "EXPLAIN QUERY PLAN "
        if engine.dialect == "postgresql":
            tx.exec_driver_sql("ANALYZE")
        for text, values in asked[: len(tables)]:
            plan = "\n".join(str(row[-1]) for row in tx.exec_driver_sql(explain + text, values))
            assert "_pending" in plan, plan
