"""What is added to an update of the Container Manager."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from probo_bitbucket.flow.builds.ending import Ending
from probo_bitbucket.flow.builds.relay import Relay
from probo_bitbucket.flow.builds.watch import QUIET, QUIET_IF_PINNED
from probo_bitbucket.flow.statuses.display import Display
from probo_bitbucket.model import (
    Build,
    BuildKind,
    BuildState,
    PullRequest,
    PullRequestState,
    RemovalReason,
    Repository,
    StatusState,
)
from probo_bitbucket.probo import updates
from probo_bitbucket.store import Lease, builds, removals, statuses, watches
from probo_bitbucket.store.removals import Removal
from probo_bitbucket.store.statuses import StoredStatus
from tests.immediate import ImmediateStore, result_of, run, start

SITE = Repository("acme", "site")


def test_a_step_of_a_build_that_was_built_once_more_is_not_shown_any_more(store: ImmediateStore, clock: Clock) -> None:
    pull_request = PullRequest(7, "", "", "", "", "", PullRequestState.OPEN, "feature", "d96c25c4ae50", SITE)
    display = Display("Acme", "", "https://bitbucket.org")
    relay = Relay(store, clock, display, Ending(True, 1, display), lambda: None)

    def tell(id: str, state: str) -> None:
        body = {"update": {"state": state, "description": "[■] it ended"}, "build": {"id": id}}
        run(relay.accept(updates.read(json.dumps(body).encode(), build_id=id, context="Acme/Shell/Test")))

    def shown() -> StatusState:
        (status,) = [*store.now(statuses.of_build, "older"), *store.now(statuses.of_build, "newer")]
        return status.desired.state

    for id, created_at in (("older", 1.0), ("newer", 2.0)):
        build = Build(id, BuildKind.PULL_REQUEST, SITE, SITE, "d96c25c4ae50", "n", created_at, "feature", pull_request)
        store.now(builds.release, build)
        store.now(builds.request, build, created_at)
        store.now(builds.conclude, id, BuildState.RUNNING, created_at)
    tell("newer", "success")
    tell("older", "error")
    assert shown() is StatusState.SUCCESSFUL
    store.now(removals.want, Removal("newer", SITE.full_name, 7, RemovalReason.BY_HAND, "by hand"), 3.0)
    tell("older", "error")
    assert shown() is StatusState.FAILED


@pytest.mark.parametrize(
    ("context", "shown"),
    [("Acme/env", "No access token. [■] it failed"), ("Acme/Shell/Test", "[■] it failed")],
)
def test_why_a_download_failed_is_told_where_the_download_is(
    store: ImmediateStore, clock: Clock, context: str, shown: str
) -> None:
    """A build that is run again later, with a token, can fail for reasons of its own."""
    store.now(builds.request, Build("b-1", BuildKind.HASH, SITE, SITE, "d96c25c4ae50", "n", 1.0), 1.0)
    store.now(builds.conclude, "b-1", BuildState.RUNNING, 1.0)
    store.now(builds.explain, "b-1", "No access token.")
    display = Display("Acme", "", "https://bitbucket.org")
    relay = Relay(store, clock, display, Ending(True, 1, display), lambda: None)
    body = {"update": {"state": "error", "description": "[■] it failed"}, "build": {"id": "b-1"}}
    reported = updates.read(json.dumps(body).encode(), build_id="b-1", context=context)
    assert run(relay.accept(reported)).description == shown


def test_a_build_of_which_something_is_told_is_asked_about_when_it_is_quiet(
    store: ImmediateStore, clock: Clock
) -> None:
    """Also one that another handler asked for."""
    display = Display("Acme", "", "https://bitbucket.org")
    relay = Relay(store, clock, display, Ending(True, 1, display), lambda: None)
    body = {
        "update": {"state": "running", "description": "[▶] The hamsters"},
        "build": {"id": "b-1", "project": {"slug": "acme/site"}, "commit": {"ref": "d96c25c4ae50"}},
    }
    run(relay.accept(updates.read(json.dumps(body).encode(), build_id="b-1", context="Acme/env")))
    assert store.now(watches.claim_due, Lease("n", clock.seconds() + QUIET - 1), 1) == []
    [watched] = store.now(watches.claim_due, Lease("n", clock.seconds() + QUIET), 1)
    assert (watched.build_id, watched.repository, watched.heard_at) == ("b-1", "acme/site", clock.seconds())


def test_a_pinned_build_is_asked_about_sooner(store: ImmediateStore, clock: Clock) -> None:
    """Before it was known to be pinned, what it told was not shown."""
    display = Display("Acme", "", "https://bitbucket.org")
    relay = Relay(store, clock, display, Ending(True, 1, display), lambda: None)
    store.now(builds.request, Build("b-1", BuildKind.HASH, SITE, SITE, "d96c25c4ae50", "n", 1.0), 1.0)
    store.now(builds.conclude, "b-1", BuildState.RUNNING, 1.0)
    removal = Removal("b-1", SITE.full_name, 7, RemovalReason.CLOSED, "pull request #7 is merged")
    store.now(removals.want, removal, 1.0)
    body = {"update": {"state": "pending", "description": "[⌛] make"}, "build": {"id": "b-1"}}
    reported = updates.read(json.dumps(body).encode(), build_id="b-1", context="Acme/Shell/Test")
    run(relay.accept(reported))
    assert store.now(statuses.of_build, "b-1") == []
    store.now(removals.postpone, evolve(removal, pinned=True), due_at=9e9, error="it is pinned", now=1.0)
    run(relay.accept(reported))
    assert [status.desired.state for status in store.now(statuses.of_build, "b-1")] == [StatusState.INPROGRESS]
    assert store.now(watches.claim_due, Lease("n", clock.seconds() + QUIET_IF_PINNED - 1), 1) == []
    assert len(store.now(watches.claim_due, Lease("n", clock.seconds() + QUIET_IF_PINNED), 1)) == 1


class BusyStore(ImmediateStore):
    """Operations wait until `catch_up`, as those do that wait for the store's thread."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[Callable[[], object]] = []

    def transact(self, operation: Any, *args: Any, **kwargs: Any) -> Deferred[Any]:
        result: Deferred[Any] = Deferred()
        done = super().transact
        self._waiting.append(lambda: done(operation, *args, **kwargs).chainDeferred(result))
        return result

    def catch_up(self) -> None:
        for operation in self._waiting:
            operation()


def test_who_looks_right_behind_an_update_finds_its_status(clock: Clock) -> None:
    """The reporter looks before the commit: what is written down a moment later has to be due to it all the same."""
    store, found = BusyStore(), list[StoredStatus]()
    display = Display("Acme", "", "https://bitbucket.org")

    def look() -> None:
        store.transact(statuses.claim_pending, Lease("n", clock.seconds()), 1).addCallback(found.extend)

    relay = Relay(store, clock, display, Ending(True, 1, display), look)
    body = {
        "update": {"state": "success", "description": "[■] it ended"},
        "build": {"id": "b-1", "project": {"slug": "acme/site"}, "commit": {"ref": "d96c25c4ae50"}},
    }
    accepted = start(relay.accept(updates.read(json.dumps(body).encode(), build_id="b-1", context="Acme/Shell/Test")))
    clock.advance(0.004)
    store.catch_up()
    assert [status.desired for status in found] == [result_of(accepted)]
    store.close()
