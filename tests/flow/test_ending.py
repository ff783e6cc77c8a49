"""Which builds of a pull request end, and which stay."""

from __future__ import annotations

from attrs import evolve

from probo_bitbucket.flow.display import Display
from probo_bitbucket.flow.ending import Ending
from probo_bitbucket.model import (
    Build,
    BuildKind,
    BuildState,
    PullRequest,
    PullRequestState,
    RemovalReason,
    Repository,
)
from probo_bitbucket.store import Transaction, builds, removals
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
