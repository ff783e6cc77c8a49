"""Which builds of a pull request end, and which stay."""

from __future__ import annotations

from attrs import evolve

from probo_bitbucket.flow.builds.anew import ask_for
from probo_bitbucket.flow.builds.ending import Ending
from probo_bitbucket.flow.statuses.desire import PILE, Subject, take
from probo_bitbucket.flow.statuses.display import Display
from probo_bitbucket.model import (
    Build,
    BuildKind,
    BuildState,
    Phase,
    PullRequest,
    PullRequestState,
    RemovalReason,
    Repository,
    Update,
)
from probo_bitbucket.store import Lease, Transaction, builds, removals, statuses
from probo_bitbucket.store.builds import StoredBuild
from probo_bitbucket.store.removals import Removal
from tests.immediate import ImmediateStore

SITE = Repository("acme", "site")
PULL_REQUEST = PullRequest(7, "Title", "", "", "", "", PullRequestState.OPEN, "feature", "a" * 12, SITE)
BUILD = Build("b-0", BuildKind.PULL_REQUEST, SITE, SITE, "a" * 12, "n", 0.0, "feature", PULL_REQUEST)
KEEP_TWO = Ending(teardown=True, keep_builds=2, display=Display("Acme", "", "https://bitbucket.org"))


def running(tx: Transaction, number: int) -> StoredBuild:
    """The build of that number, which the Container Manager has."""
    build = evolve(BUILD, id=f"b-{number}", commit=str(number) * 12, created_at=float(number))
    builds.request(tx, build, build.created_at)
    builds.conclude(tx, build.id, BuildState.RUNNING, build.created_at)
    stored = builds.find(tx, build.id)
    assert stored is not None
    return stored


def test_an_environment_that_is_going_takes_the_place_of_none_that_is_wanted(store: ImmediateStore) -> None:
    def life(tx: Transaction) -> list[bool]:
        for number in (1, 2):
            KEEP_TWO.make_room(tx, running(tx, number), float(number))
        removals.want(tx, Removal("b-2", "acme/site", 7, RemovalReason.BY_HAND, "by hand"), 2.0)
        KEEP_TWO.make_room(tx, running(tx, 3), 3.0)
        return [removals.is_wanted(tx, f"b-{number}") for number in (1, 2, 3)]

    assert store.now(life) == [False, True, False]


def test_the_newest_commits_environment_stays_although_its_node_is_behind(store: ImmediateStore) -> None:
    """The node that decided on the first push is 3 s ahead of the one that decided on the second, 2 s later."""
    keep_one = evolve(KEEP_TWO, keep_builds=1)
    first = evolve(BUILD, id="first", created_at=1003.0)
    second = evolve(BUILD, id="second", commit="b" * 12, created_at=1002.0)

    def life(tx: Transaction) -> list[bool]:
        for build in (first, second):
            ask_for(tx, build, keep_one)
            builds.conclude(tx, build.id, BuildState.RUNNING, build.created_at)
        for build in (first, second):
            stored = builds.find(tx, build.id)
            assert stored is not None
            keep_one.make_room(tx, stored, 1010.0)
        return [removals.is_wanted(tx, build.id) for build in (first, second)]

    assert store.now(life) == [True, False]


def test_what_is_stopped_is_reported_once_it_can_be_known_whether_it_is_pinned(store: ImmediateStore) -> None:
    def life(tx: Transaction) -> None:
        stored = running(tx, 1)
        update = Update("b-1", "Acme/env", Phase.RUNNING, "running", "[▶] Setting up", final=False)
        take(tx, Subject.of(stored.build), update, 1.0, KEEP_TWO.display)
        KEEP_TWO.close(tx, SITE, 7, "merged", "delivery 2", 1.0)

    def reported(now: float) -> list[str]:
        claimed = store.now(statuses.claim_pending, Lease("north", now), 9)
        return [status.desired.state for status in claimed]

    store.now(life)
    assert reported(1.0 + PILE - 0.1) == []
    assert reported(1.0 + PILE) == ["STOPPED"]
