"""Builds are started by the node that has their lease, and by no other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from attrs import evolve

from probo_bitbucket.model import (
    Build,
    BuildKind,
    BuildState,
    PullRequest,
    PullRequestChanged,
    PullRequestClosed,
    PullRequestState,
    RemovalReason,
    Repository,
)
from probo_bitbucket.store import LEASE, Lease, LeaseLost, builds, nodes, pull_requests, removals, watches
from probo_bitbucket.store.removals import Removal

SITE = Repository("acme", "site")
PULL_REQUEST = PullRequest(7, "Title", "", "", "", "", PullRequestState.OPEN, "feature", "a" * 12, SITE)
BUILD = Build("b1", BuildKind.BRANCH, Repository("acme", "site"), Repository("acme", "site"), "a" * 40, "", 0.0, "main")


def test_a_node_that_stood_still_does_not_start_what_another_one_took_over(tx: sa.Connection) -> None:
    builds.request(tx, BUILD, 0.0)
    [stale] = builds.claim_pending(tx, Lease("frozen", 0.0), 1)
    [taken] = builds.claim_pending(tx, Lease("awake", LEASE), 1)
    with pytest.raises(LeaseLost):
        builds.advance(tx, stale, BuildState.STARTING, LEASE + 1)
    builds.postpone(tx, stale, due_at=LEASE + 1, error="too late", now=1.0)
    assert builds.claim_pending(tx, Lease("third", LEASE + 1), 1) == []
    builds.advance(tx, taken, BuildState.STARTING, LEASE + 1)


@pytest.mark.parametrize(
    "end",
    [lambda _: None, lambda tx: nodes.release(tx, "dead"), nodes.release_all],
    ids=["lost", "stopped", "restarted"],
)
def test_what_a_dead_node_has_sent_has_time_to_arrive_before_another_one_asks(
    tx: sa.Connection, end: Callable[[sa.Connection], None]
) -> None:
    builds.request(tx, BUILD, 0.0)
    [stored] = builds.claim_pending(tx, Lease("dead", 0.0), 1)
    builds.advance(tx, stored, BuildState.STARTING, 1.0)
    end(tx)
    expired = 1.0 + LEASE
    assert builds.claim_pending(tx, Lease("other", expired + builds.IN_FLIGHT - 0.1), 1) == []
    [taken] = builds.claim_pending(tx, Lease("other", expired + builds.IN_FLIGHT), 1)
    assert taken.state is BuildState.STARTING


def test_a_build_that_goes_on_is_kept_for_another_lease(tx: sa.Connection) -> None:
    builds.request(tx, BUILD, 0.0)
    [stored] = builds.claim_pending(tx, Lease("slow", 0.0), 1)
    builds.advance(tx, stored, BuildState.STARTING, LEASE - 1)
    assert builds.claim_pending(tx, Lease("other", LEASE + 1), 1) == []


def test_a_build_whose_lease_ran_out_unnoticed_goes_on(tx: sa.Connection) -> None:
    builds.request(tx, BUILD, 0.0)
    [stored] = builds.claim_pending(tx, Lease("slow", 0.0), 1)
    builds.advance(tx, stored, BuildState.STARTING, LEASE + 5)
    assert builds.find(tx, BUILD.id).state is BuildState.STARTING  # type: ignore[union-attr]


def test_an_answer_that_is_read_late_does_not_bring_back_what_was_taken_down_meanwhile(tx: sa.Connection) -> None:
    builds.request(tx, BUILD, 0.0)
    [stored] = builds.claim_pending(tx, Lease("slow", 0.0), 1)
    builds.advance(tx, stored, BuildState.STARTING, 1.0)
    builds.started(tx, BUILD.id, 2.0)  # an update told of it
    builds.conclude(tx, BUILD.id, BuildState.REMOVED, 3.0)
    builds.started(tx, BUILD.id, 4.0)
    assert builds.find(tx, BUILD.id).state is BuildState.REMOVED  # type: ignore[union-attr]


def test_the_build_of_an_open_pull_request_is_kept_until_it_is_closed_however_old(tx: sa.Connection) -> None:
    """Or an edit of its title would have the same commit built again."""
    build = evolve(BUILD, kind=BuildKind.PULL_REQUEST, pull_request=PULL_REQUEST)
    pull_requests.tell_open(tx, PullRequestChanged(SITE, PULL_REQUEST), 0.0)
    builds.request(tx, build, 0.0)
    builds.conclude(tx, build.id, BuildState.ENDED, 0.0)
    assert builds.prune(tx, 1000.0, 10) == 0
    assert builds.request(tx, evolve(build, id="b2"), 1000.0) == build.id
    pull_requests.tell_closed(
        tx, PullRequestClosed(SITE, 7, PullRequestState.MERGED, "feature"), 1000.0, "delivery 2", look=False
    )
    assert builds.prune(tx, 1000.0, 10) == 1


def of_commit(digit: str, created_at: float) -> Build:
    """A build of pull request #7, as a node asks for it whose clock says that it is *created_at*."""
    told = evolve(PULL_REQUEST, commit=digit * 12)
    return evolve(
        BUILD, id=digit, kind=BuildKind.PULL_REQUEST, commit=told.commit, created_at=created_at, pull_request=told
    )


def test_what_was_asked_for_later_is_newer_also_where_a_clock_was_ahead(tx: sa.Connection) -> None:
    for build in (of_commit("a", 103.0), of_commit("b", 102.0), of_commit("c", 101.0)):
        assert builds.request(tx, build, build.created_at) == build.id
    assert [stored.build.id for stored in builds.of_pull_request(tx, BUILD.repository, 7)] == ["c", "b", "a"]
    times = [stored.build.created_at for stored in builds.of_pull_request(tx, BUILD.repository, 7)]
    assert times == sorted(times, reverse=True)
    assert [stored.build.id for stored in builds.claim_pending(tx, Lease("node", 200.0), 9)] == ["a"]


def test_a_clock_that_was_right_again_delays_no_other_pull_request(tx: sa.Connection) -> None:
    builds.request(tx, of_commit("a", 103.0), 103.0)
    other = evolve(of_commit("b", 102.0), pull_request=evolve(PULL_REQUEST, number=8))
    builds.request(tx, other, 102.0)
    [stored] = builds.of_pull_request(tx, BUILD.repository, 8)
    assert stored.build.created_at == 102.0


def test_the_newest_build_of_a_branch_is_the_last_one_also_where_a_clock_was_ahead(tx: sa.Connection) -> None:
    for id, created_at in (("b1", 103.0), ("b2", 102.0)):
        builds.request(tx, evolve(BUILD, id=id, commit=id[1] * 40, created_at=created_at), created_at)
    assert builds.newest_of_branch(tx, BUILD).build.id == "b2"  # type: ignore[union-attr]


def test_other_builds_of_a_commit_are_asked_about_unless_they_are_going(tx: sa.Connection) -> None:
    """One that somebody has pinned stays, and what it tells is shown."""
    for name in ("ours", "wanted", "pinned", "going"):
        builds.request(tx, evolve(BUILD, id=name, branch=name), 0.0)
        builds.conclude(tx, name, BuildState.ENDED, 0.0)
    for name in ("pinned", "going"):
        removal = Removal(name, SITE.full_name, None, RemovalReason.BY_HAND, "taken down by hand")
        removals.want(tx, removal, 1.0)
        removals.postpone(tx, evolve(removal, pinned=name == "pinned"), due_at=9.0, error="not yet", now=1.0)
    builds.ask_about_others(tx, evolve(BUILD, id="ours"), 2.0)
    assert {each.build_id for each in watches.claim_due(tx, Lease("north", 3.0), 10)} == {"wanted", "pinned"}
