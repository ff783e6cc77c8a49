"""Looking for work costs as much as there is work, however long the history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from probo_bitbucket.model import Repository
from probo_bitbucket.store import (
    Engine,
    Lease,
    builds,
    commands,
    comments,
    deliveries,
    forwarded,
    hand_ons,
    nodes,
    pull_requests,
    removals,
    repositories,
    schema,
    statuses,
    watches,
)
from tests.store.plans import plans_of

NOBODY = Lease("north", 1000.0)

_CLAIMS: list[tuple[sa.Table, Callable[[sa.Connection], Any]]] = [
    (schema.deliveries, lambda tx: deliveries.claim_waiting(tx, NOBODY, 10)),
    (schema.builds, lambda tx: builds.claim_pending(tx, NOBODY, 10)),
    (schema.statuses, lambda tx: statuses.claim_pending(tx, NOBODY, 10, busy=["acme/site"])),
    (schema.forwarded, lambda tx: forwarded.claim_pending(tx, NOBODY, 10, busy=["github"])),
    (schema.commands, lambda tx: commands.claim_pending(tx, NOBODY, 10)),
    (schema.repositories, lambda tx: repositories.claim_due(tx, NOBODY, 10)),
    (schema.comments, lambda tx: comments.claim_pending(tx, NOBODY, 10)),
    (schema.removals, lambda tx: removals.claim_pending(tx, NOBODY, 10)),
    (schema.pull_requests, lambda tx: pull_requests.claim_closed(tx, NOBODY, 10)),
    (schema.watches, lambda tx: watches.claim_due(tx, NOBODY, 10)),
    (schema.hand_ons, lambda tx: hand_ons.claim_pending(tx, NOBODY, 10)),
]


def _row(table: sa.Table, number: int) -> dict[str, Any]:
    """Something that is done, with its number in every column that needs a value."""
    values: dict[type[Any], Any] = {int: number, float: float(number), str: str(number), bool: False, bytes: b"{}"}
    return {column.name: values[column.type.python_type] for column in table.columns if not column.nullable}


@pytest.mark.parametrize(("table", "claim"), _CLAIMS, ids=[table.name for table, _ in _CLAIMS])
def test_a_claim_reads_the_index_of_what_is_pending(
    engine: Engine, table: sa.Table, claim: Callable[[sa.Connection], Any]
) -> None:
    with engine.begin() as tx:
        for each, _ in _CLAIMS:
            tx.execute(sa.insert(each), [_row(each, number) for number in range(3000)])
        plan = plans_of(engine, tx, claim)[0]
    assert f"{table.name}_pending" in plan
    assert "Seq Scan" not in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize(
    "work",
    [
        lambda tx: nodes.renew(tx, ["north/1", "north/2"], 1000.0),
        lambda tx: nodes.release(tx, "north"),
        nodes.release_all,
    ],
    ids=["renew", "release", "release_all"],
)
def test_a_lease_is_found_among_all_that_was_ever_done(engine: Engine, work: Callable[[sa.Connection], Any]) -> None:
    with engine.begin() as tx:
        for table, _ in _CLAIMS:
            tx.execute(sa.insert(table), [_row(table, number) for number in range(3000)])
        plans = plans_of(engine, tx, work)
    for table, _ in _CLAIMS:
        assert any(f"{table.name}_leased" in plan for plan in plans)


def test_the_builds_of_a_pull_request_are_found_among_all_of_its_repository(engine: Engine) -> None:
    with engine.begin() as tx:
        rows = [{**_row(schema.builds, number), "repository": "acme/site"} for number in range(3000)]
        told = [{**row, "pull_request": n, "lane": f"acme/site#{n}"} for n, row in enumerate(rows)]
        tx.execute(sa.insert(schema.builds), told)
        [plan] = plans_of(engine, tx, lambda tx: builds.of_pull_request(tx, Repository("acme", "site"), 4000))
    assert "builds_of_lane" in plan


def test_the_newest_build_of_a_lane_is_found_without_reading_the_others(engine: Engine) -> None:
    with engine.begin() as tx:
        tx.execute(sa.insert(schema.builds), [_row(schema.builds, number) for number in range(3000)])
        [plan] = plans_of(engine, tx, lambda tx: tx.execute(builds._NEWEST, {"_lane": "7"}))
    assert "builds_of_lane" in plan


def test_the_number_of_busy_repositories_does_not_compile_a_statement_anew(engine: Engine) -> None:
    def claim(count: int) -> None:
        busy = [str(number) for number in range(count)]
        engine.run([lambda tx: statuses.claim_pending(tx, NOBODY, count + 1, busy=busy)])

    claim(0)
    claim(1)
    cached = len(engine._engine._compiled_cache or ())
    for count in range(2, 20):
        claim(count)
    assert len(engine._engine._compiled_cache or ()) == cached


def test_the_newest_builds_that_were_started_are_found_without_reading_the_others(engine: Engine) -> None:
    with engine.begin() as tx:
        rows = [{**_row(schema.builds, number), "started_at": float(number)} for number in range(3000)]
        tx.execute(sa.insert(schema.builds), rows)
        [plan] = plans_of(engine, tx, lambda tx: builds.told_at(tx, 2000.0, 2990.0, 20))
    assert "builds_created" in plan
    assert "Seq Scan" not in plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan
