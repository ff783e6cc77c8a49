"""What is tidied up, and what is kept alive."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from probo_bitbucket.flow.oversight import janitor
from probo_bitbucket.flow.oversight.janitor import Janitor
from probo_bitbucket.model import (
    Build,
    BuildKind,
    BuildState,
    Delivery,
    ForwardedUpdate,
    Ignored,
    PullRequest,
    PullRequestChanged,
    PullRequestState,
    Repository,
)
from probo_bitbucket.store import (
    Lease,
    StoreUnavailable,
    builds,
    deliveries,
    forwarded,
    hook_reports,
    pull_requests,
    repositories,
    schema,
)
from probo_bitbucket.store.hook_reports import KeptReport
from tests.immediate import ImmediateStore, run

DAY = 86_400.0
SITE = Repository("acme", "site")


@pytest.fixture
def received(store: ImmediateStore, clock: Clock) -> Callable[[], int]:
    """Has a delivery come in now that asks for nothing."""
    return lambda: store.now(deliveries.record, Delivery("ping", b"{}", clock.seconds()), Ignored("a ping", SITE))


def test_what_is_old_is_deleted_however_much_it_is(
    store: ImmediateStore,
    clock: Clock,
    received: Callable[[], int],
    logged: list[LogEvent],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(janitor, "CHUNK", 3)
    for _ in range(7):
        received()
    clock.advance(DAY)
    newest = received()
    clock.advance(1)
    run(Janitor(store, clock, DAY).round())
    assert [event["count"] for event in logged if event.get("event") == "store.pruned"] == [7]
    assert store.now(deliveries.prune, clock.seconds() + 1, 100) == 1
    assert received() > newest  # builds still name that one as their origin


@pytest.mark.parametrize("error", [StoreUnavailable("it took too long"), ValueError("defect")])
def test_what_cannot_be_deleted_does_not_keep_the_rest(
    store: ImmediateStore,
    clock: Clock,
    received: Callable[[], int],
    logged: list[LogEvent],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fail(*_: object) -> int:
        raise error

    store.now(builds.request, Build("b-1", BuildKind.HASH, SITE, SITE, "a" * 40, "n", 0.0), 0.0)
    store.now(builds.conclude, "b-1", BuildState.ENDED, 0.0)
    received()
    monkeypatch.setattr(deliveries, "prune", fail)
    monkeypatch.setattr("probo_bitbucket.store.budget.prune", fail)
    clock.advance(2 * DAY)
    run(Janitor(store, clock, DAY).round())
    assert store.now(builds.find, "b-1") is None
    events = [event["event"] for event in logged if event.get("event", "").startswith(("store", "round"))]
    failed = "store.unavailable" if isinstance(error, StoreUnavailable) else "round.failed"
    assert events == [failed, failed, "store.pruned"]


def test_what_is_not_finished_is_kept_however_old(store: ImmediateStore, clock: Clock) -> None:
    waiting, ended = (
        Build(id, BuildKind.HASH, SITE, SITE, "d96c25c4ae50", "n", clock.seconds()) for id in ("waiting", "ended")
    )
    for build in (waiting, ended):
        store.now(builds.request, build, clock.seconds())
    store.now(builds.conclude, "ended", BuildState.ENDED, clock.seconds())
    clock.advance(100 * DAY)
    run(Janitor(store, clock, DAY).round())
    assert store.now(builds.find, "waiting") is not None
    assert store.now(builds.find, "ended") is None


def test_the_tokens_in_an_update_that_was_given_up_on_are_kept_for_a_day(store: ImmediateStore, clock: Clock) -> None:
    update = ForwardedUpdate(
        "github", "gh-1", "env", "hub/site", "/update", "", b'{"token": "c4n4ry-GH"}', clock.seconds()
    )
    store.now(forwarded.record, update)
    (stored,) = store.now(forwarded.claim_pending, Lease("node", clock.seconds()), 1)
    store.now(forwarded.give_up, stored, "refused")
    clock.advance(DAY + 1)
    run(Janitor(store, clock, 30 * DAY).round())
    (row,) = store.now(lambda tx: tx.execute(sa.select(schema.forwarded)).all())
    assert (row.body, row.failed, row.last_error) == (b"", True, "refused (too old to be sent again)")
    store.now(forwarded.send_again, "gh-1")
    assert store.now(forwarded.claim_pending, Lease("node", clock.seconds()), 1) == []


def open_one(store: ImmediateStore, site: Repository, now: float) -> None:
    """Have a repository that has an open pull request."""
    opened = PullRequest(1, "Title", "", "", "Ada", "", PullRequestState.OPEN, "feature", "a" * 12, site)
    store.now(pull_requests.tell_open, PullRequestChanged(site, opened), now)


def test_a_repository_without_news_is_forgotten_unless_its_open_pull_requests_can_be_looked_at(
    store: ImmediateStore, clock: Clock
) -> None:
    quiet, open, unseen, lively = (Repository("acme", name) for name in ("quiet", "open", "unseen", "lively"))
    for site in (quiet, open, unseen):
        store.now(repositories.active, site, clock.seconds(), 1.0)
    for site in (open, unseen):
        open_one(store, site, clock.seconds())
    clock.advance(100 * DAY)
    store.now(repositories.active, lively, clock.seconds(), 1.0)
    for known in store.now(repositories.claim_due, Lease("node", clock.seconds()), 10):
        error = "moved" if known.repository == unseen else ""
        due_at = clock.seconds()
        store.now(repositories.looked, known, due_at, interval=DAY, due_at=due_at, error=error)
    run(Janitor(store, clock, DAY).round())
    clock.advance(1)
    left = store.now(repositories.claim_due, Lease("node", clock.seconds()), 10)
    assert {known.repository for known in left} == {open, lively}


def test_nothing_to_tidy_up_is_nothing_to_tell(store: ImmediateStore, clock: Clock, logged: list[LogEvent]) -> None:
    run(Janitor(store, clock, DAY).round())
    assert [event for event in logged if event.get("event") == "store.pruned"] == []


def test_what_was_known_of_a_mistyped_webhook_is_deleted(store: ImmediateStore, clock: Clock) -> None:
    report = KeptReport("acme/tpyo", "add", "wrong", "404", "", "", clock.seconds())
    store.now(hook_reports.keep, [report])
    clock.advance(DAY + 1)
    run(Janitor(store, clock, retention=DAY).round())
    assert store.now(hook_reports.kept, [report.place]) == {}
