"""A node that lost its lease speaks late: what its successor did stays, and nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from attrs import evolve

from probo_bitbucket.model import (
    Build,
    BuildKind,
    BuildState,
    Delivery,
    DeliveryState,
    PullRequest,
    PullRequestChanged,
    PullRequestState,
    Repository,
    Status,
    StatusState,
)
from probo_bitbucket.store import LEASE, Effort, Lease, builds, deliveries, schema, statuses
from probo_bitbucket.store.statuses import StoredStatus, Wish

SITE = Repository("acme", "site", "{site}")
PULL_REQUEST = PullRequest(1, "Title", "", "", "Ada", "", PullRequestState.OPEN, "feature", "a" * 12, SITE)


def desire(tx: sa.Connection, description: str) -> None:
    status = Status(SITE, "a" * 40, "key", StatusState.INPROGRESS, "Probo", description, "https://example.org/")
    wish = Wish("build", "context", status, {}, settled=False)
    statuses.desire(tx, wish, statuses.find(tx, status), 0.0)


def claim(tx: sa.Connection, node: str, now: float) -> StoredStatus:
    (status,) = statuses.claim_pending(tx, Lease(node, now), 1)
    return status


def row(tx: sa.Connection, table: sa.Table) -> Any:
    return tx.execute(sa.select(table)).one()


def test_a_status_that_was_replaced_while_it_was_reported_is_reported_again(tx: sa.Connection) -> None:
    desire(tx, "first")
    reporting = claim(tx, "north", 0.0)
    desire(tx, "second")
    statuses.reported(tx, reporting, LEASE)
    assert claim(tx, "north", 0.0).desired.description == "second"


def test_a_status_that_reached_bitbucket_after_all_is_not_failed(tx: sa.Connection) -> None:
    desire(tx, "first")
    slow = claim(tx, "north", 0.0)
    statuses.give_up(tx, claim(tx, "south", LEASE), "refused", 1.0)
    statuses.reported(tx, slow, LEASE)
    stored = row(tx, schema.statuses)
    assert (stored.failed, stored.pending, stored.last_error) == (False, False, "")


def test_a_late_report_of_an_older_version_has_the_newest_one_sent_once_more(tx: sa.Connection) -> None:
    """It may have reached Bitbucket last."""
    desire(tx, "first")
    slow = claim(tx, "north", 0.0)
    desire(tx, "second")
    statuses.reported(tx, claim(tx, "south", LEASE), LEASE)
    statuses.reported(tx, slow, LEASE)
    assert claim(tx, "south", LEASE).desired.description == "second"


@pytest.mark.parametrize("end", ["postponed", "given up"])
def test_a_late_failure_of_an_older_version_has_the_newest_one_sent_once_more(tx: sa.Connection, end: str) -> None:
    """Its answer alone may have been lost: then it reached Bitbucket last."""
    desire(tx, "first")
    slow = claim(tx, "north", 0.0)
    desire(tx, "second")
    statuses.reported(tx, claim(tx, "south", LEASE), LEASE)
    if end == "postponed":
        statuses.postpone(tx, slow, due_at=600.0, error="the connection was lost", now=LEASE)
    else:
        statuses.give_up(tx, slow, "the connection was lost", LEASE)
    assert claim(tx, "south", LEASE).desired.description == "second"
    assert not row(tx, schema.statuses).failed


def test_a_failure_of_an_older_version_does_not_make_the_newer_one_wait(tx: sa.Connection) -> None:
    desire(tx, "first")
    slow = claim(tx, "north", 0.0)
    desire(tx, "second")
    statuses.postpone(tx, evolve(slow, effort=slow.effort.failed(0.0)), due_at=600.0, error="down", now=1.0)
    newer = claim(tx, "north", 1.0)
    assert (newer.desired.description, newer.effort) == ("second", Effort(0, None))


def test_a_late_failure_does_not_spoil_a_status_that_was_reported(tx: sa.Connection) -> None:
    desire(tx, "first")
    slow = claim(tx, "north", 0.0)
    statuses.reported(tx, claim(tx, "south", LEASE), LEASE)
    statuses.give_up(tx, slow, "refused", 1.0)
    statuses.postpone(tx, slow, due_at=LEASE, error="down", now=1.0)
    stored = row(tx, schema.statuses)
    assert (stored.failed, stored.pending, stored.last_error) == (False, False, "")


def test_a_late_decision_does_not_replace_the_first_one(tx: sa.Connection) -> None:
    id = deliveries.record(tx, Delivery("pullrequest:created", b"{}", 0.0), PullRequestChanged(SITE, PULL_REQUEST))
    deliveries.decide(tx, id, DeliveryState.ACCEPTED, "", 1.0)
    deliveries.decide(tx, id, DeliveryState.IGNORED, "known already", 2.0)
    assert row(tx, schema.deliveries).state == DeliveryState.ACCEPTED


def test_a_build_that_was_refused_may_be_asked_for_again_and_one_that_runs_may_not(tx: sa.Connection) -> None:
    def ask(id: str) -> str:
        kind = BuildKind.PULL_REQUEST
        build = Build(id, kind, SITE, SITE, "a" * 12, "Title", 0.0, "feature", PULL_REQUEST)
        return builds.request(tx, build, 0.0)

    assert [ask("one"), ask("two")] == ["one", "one"]
    builds.conclude(tx, "one", BuildState.REFUSED, 1.0)
    assert ask("three") == "three"
    builds.conclude(tx, "three", BuildState.RUNNING, 1.0)
    assert ask("four") == "three"
