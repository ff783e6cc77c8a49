"""What a closed pull request has left behind goes; what belongs to something open stays."""

from __future__ import annotations

from typing import Any, cast

from attrs import define, evolve
from twisted.internet.task import Clock

from probo_bitbucket.flow.builds.closing import Closing
from probo_bitbucket.model import (
    Build,
    BuildKind,
    BuildState,
    PullRequest,
    PullRequestChanged,
    PullRequestClosed,
    PullRequestState,
    Repository,
)
from probo_bitbucket.store import Lease, builds, pull_requests, removals
from probo_bitbucket.store.pull_requests import KnownPullRequest
from probo_bitbucket.store.views import builds as build_views
from tests.immediate import ImmediateStore, run

SITE = Repository("acme", "site")
PULL_REQUEST = PullRequest(7, "Title", "", "", "", "", PullRequestState.OPEN, "feature", "a" * 12, SITE)
BUILD = Build("b-7", BuildKind.PULL_REQUEST, SITE, SITE, "a" * 12, "n", 0.0, "feature", PULL_REQUEST)


@define
class Listing:
    """In place of the environments: what `GET /builds` tells."""

    ids: list[str]

    async def left_by(self, closed: KnownPullRequest) -> list[str]:
        return self.ids


def closed(store: ImmediateStore, clock: Clock) -> KnownPullRequest:
    """Pull request 7, closed, in this node's hands."""
    now = clock.seconds()
    event = PullRequestClosed(SITE, 7, PullRequestState.MERGED, "feature")
    store.now(pull_requests.tell_closed, event, now, "delivery 2, found by reconciliation", look=True)
    [job] = store.now(pull_requests.claim_closed, Lease("here", now), 1)
    return job


def look(store: ImmediateStore, clock: Clock, job: KnownPullRequest, *found: str) -> list[str]:
    """Which of the builds that are *found* are to be taken down."""
    run(Closing(store, clock, cast(Any, Listing(list(found))), lambda: None).work(job))
    return [id for id in found if store.now(removals.is_wanted, id)]


def test_what_was_found_stays_where_the_pull_request_is_open_again_meanwhile(
    store: ImmediateStore, clock: Clock
) -> None:
    job = closed(store, clock)
    store.now(pull_requests.tell_open, PullRequestChanged(SITE, PULL_REQUEST), clock.seconds())
    assert look(store, clock, job, "old") == []


def test_a_build_that_we_know_as_anothers_stays(store: ImmediateStore, clock: Clock) -> None:
    """The Container Manager knows a project by what it was told first: a repository's name can be another's today."""
    other = Repository("acme", "other")
    ours = [
        BUILD,
        evolve(BUILD, id="b-8", pull_request=evolve(PULL_REQUEST, number=8)),
        evolve(BUILD, id="b-other", repository=other, source=other),
    ]
    for build in ours:
        store.now(builds.request, build, 0.0)
        store.now(builds.conclude, build.id, BuildState.RUNNING, 0.0)
    assert look(store, clock, closed(store, clock), "b-7", "b-8", "b-other", "unknown") == ["b-7", "unknown"]


def test_what_was_found_is_ended_by_what_told_of_the_end(store: ImmediateStore, clock: Clock) -> None:
    store.now(builds.request, BUILD, 0.0)
    store.now(builds.conclude, "b-7", BuildState.CANCELLED, 0.0)
    look(store, clock, closed(store, clock), "b-7", "unknown")
    found = store.now(removals.claim_pending, Lease("here", clock.seconds()), 9)
    assert {removal.build_id: removal.origin for removal in found} == {"b-7": "delivery 2", "unknown": "delivery 2"}
    story = store.now(build_views.story_of, "b-7")
    assert story is not None
    assert story.build.ended_by == "delivery 2"
