"""What is known of pull requests, and which of their builds are to be taken down when."""

from __future__ import annotations

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
from probo_bitbucket.store import Lease, builds, failures, pull_requests, removals
from probo_bitbucket.store.pull_requests import KnownPullRequest
from probo_bitbucket.store.removals import Fate, Removal

SITE = Repository("acme", "site", "{site}")
PULL_REQUEST = PullRequest(
    7, "Title", "", "", "Ada", "", PullRequestState.OPEN, "feature", "a" * 12, SITE, updated_at=5.0
)
OPENED = PullRequestChanged(SITE, PULL_REQUEST)
CLOSED = PullRequestClosed(SITE, 7, PullRequestState.MERGED, "feature", 6.0)
REMOVAL = Removal("b-1", SITE.full_name, 7, RemovalReason.CLOSED, "merged")


def known(tx: sa.Connection) -> KnownPullRequest:
    found = pull_requests.find(tx, SITE, 7)
    assert found is not None
    return found


def wanted(tx: sa.Connection) -> None:
    build = Build("b-1", BuildKind.PULL_REQUEST, SITE, SITE, "a" * 12, "Title", 1.0, "feature", PULL_REQUEST)
    builds.request(tx, build, 1.0)


def claimed(tx: sa.Connection, now: float = 10.0) -> list[str]:
    return [removal.build_id for removal in removals.claim_pending(tx, Lease("north", now), 10)]


def test_what_was_told_while_it_was_open_is_known_after_its_end(tx: sa.Connection) -> None:
    pull_requests.tell_open(tx, OPENED, 1.0)
    pull_requests.tell_closed(tx, CLOSED, 2.0, "delivery 2", look=False)
    assert (known(tx).state, known(tx).pull_request, known(tx).updated_at) == ("MERGED", PULL_REQUEST, 6.0)


def test_one_that_was_told_of_when_it_was_closed_only_is_known_without_more(tx: sa.Connection) -> None:
    pull_requests.tell_closed(tx, CLOSED, 2.0, "delivery 2", look=False)
    assert (known(tx).open, known(tx).pull_request, known(tx).branch) == (False, None, "feature")


def test_an_approval_is_of_one_commit_of_a_pull_request_that_is_known(tx: sa.Connection) -> None:
    assert not pull_requests.approve(tx, SITE, 7, "a" * 40)
    pull_requests.tell_open(tx, OPENED, 1.0)
    assert pull_requests.approve(tx, SITE, 7, "a" * 40)
    pull_requests.tell_open(tx, OPENED, 2.0)
    assert known(tx).approved == "a" * 12


def test_a_branch_belongs_to_an_open_pull_request_of_its_own_repository_only(tx: sa.Connection) -> None:
    fork = evolve(PULL_REQUEST, number=8, source=Repository("robin", "site", "{fork}"), branch="patch")
    pull_requests.tell_open(tx, OPENED, 1.0)
    pull_requests.tell_open(tx, PullRequestChanged(SITE, fork), 1.0)
    assert [known.number for known in pull_requests.open_from(tx, SITE, "feature")] == [7]
    assert pull_requests.open_from(tx, SITE, "patch") == []
    assert pull_requests.open_from(tx, fork.source, "patch") == [], "the fork has no pull request"
    pull_requests.tell_closed(tx, CLOSED, 2.0, "delivery 2", look=False)
    assert pull_requests.open_from(tx, SITE, "feature") == []


def test_one_is_the_same_whatever_its_repository_is_called(tx: sa.Connection) -> None:
    renamed = evolve(SITE, slug="renamed")
    other = evolve(SITE, uuid="{other}")  # it has taken the old name
    pull_requests.tell_open(tx, OPENED, 1.0)
    assert pull_requests.open_numbers(tx, renamed) == {7}
    assert [known.number for known in pull_requests.open_from(tx, renamed, "feature")] == [7]
    assert pull_requests.open_numbers(tx, other) == set()
    pull_requests.tell_open(tx, PullRequestChanged(other, evolve(PULL_REQUEST, source=other)), 1.5)
    pull_requests.tell_closed(tx, evolve(CLOSED, repository=renamed), 2.0, "delivery 2", look=False)
    assert known(tx).state == "MERGED"
    assert pull_requests.open_numbers(tx, SITE) == set()
    assert pull_requests.open_numbers(tx, other) == {7}


def test_what_is_left_behind_under_an_old_name_is_looked_for_when_that_is_not_on_its_way(tx: sa.Connection) -> None:
    wanted(tx)
    closed = evolve(CLOSED, repository=evolve(SITE, slug="renamed"))
    pull_requests.tell_closed(tx, closed, 2.0, "delivery 2", look=True)
    assert pull_requests.claim_closed(tx, Lease("north", 3.0), 10) == []
    builds.conclude(tx, "b-1", BuildState.RUNNING, 4.0)
    assert len(pull_requests.claim_closed(tx, Lease("north", 5.0), 10)) == 1


def test_what_is_left_behind_is_looked_for_when_nothing_is_on_its_way(tx: sa.Connection) -> None:
    wanted(tx)
    pull_requests.tell_closed(tx, CLOSED, 2.0, "delivery 2", look=True)
    assert pull_requests.claim_closed(tx, Lease("north", 3.0), 10) == []
    builds.conclude(tx, "b-1", BuildState.RUNNING, 4.0)
    (job,) = pull_requests.claim_closed(tx, Lease("north", 5.0), 10)
    assert pull_requests.claim_closed(tx, Lease("south", 6.0), 10) == []
    pull_requests.looked(tx, job)
    assert pull_requests.claim_closed(tx, Lease("south", 99.0), 10) == []


def test_a_build_is_taken_down_when_it_is_not_on_its_way_and_once(tx: sa.Connection) -> None:
    wanted(tx)
    removals.want(tx, REMOVAL, 2.0)
    removals.want(tx, evolve(REMOVAL, reason=RemovalReason.SUPERSEDED), 3.0)
    assert claimed(tx) == []
    builds.conclude(tx, "b-1", BuildState.RUNNING, 4.0)
    assert claimed(tx) == ["b-1"]
    removals.end(tx, "b-1", 4.0)
    removals.want(tx, REMOVAL, 5.0)
    assert claimed(tx, 99.0) == []
    assert removals.is_wanted(tx, "b-1")


def test_a_removal_that_was_given_up_is_tried_again_for_the_next_reason(tx: sa.Connection) -> None:
    removals.want(tx, evolve(REMOVAL, reason=RemovalReason.SUPERSEDED, words="replaced"), 2.0)
    removals.give_up(tx, "b-1", "down", 1.0)
    removals.want(tx, REMOVAL, 3.0)
    (job,) = removals.claim_pending(tx, Lease("north", 10.0), 10)
    assert (job.reason, job.words) == (RemovalReason.CLOSED, "merged")
    assert failures.given_up(tx) == []


def test_who_wants_a_build_gone_learns_whether_that_is_new(tx: sa.Connection) -> None:
    def is_new() -> bool:
        return removals.want(tx, REMOVAL, 1.0)

    assert [is_new(), is_new()] == [True, False]
    removals.give_up(tx, "b-1", "down", 2.0)
    assert [is_new(), is_new()] == [True, False]
    removals.end(tx, "b-1", 3.0)
    assert not is_new()


def test_an_environment_goes_unless_it_is_pinned_and_to_be_tried_again(tx: sa.Connection) -> None:
    def pinned() -> None:
        (job,) = removals.claim_pending(tx, Lease("north", 100.0), 10)
        removals.postpone(tx, evolve(job, pinned=True), due_at=0.0, error="it is pinned", now=100.0)

    assert removals.fate(tx, "b-1") is Fate.STAYS
    removals.want(tx, REMOVAL, 1.0)
    assert removals.fate(tx, "b-1") is Fate.GOES
    pinned()
    assert removals.fate(tx, "b-1") is Fate.PINNED
    removals.give_up(tx, "b-1", "down", 2.0)
    assert removals.fate(tx, "b-1") is Fate.GOES
    removals.send_again(tx, "b-1", 3.0)
    assert removals.fate(tx, "b-1") is Fate.GOES
    pinned()
    removals.end(tx, "b-1", 4.0)
    assert removals.fate(tx, "b-1") is Fate.GOES


def test_what_was_given_up_on_is_listed_and_done_again_when_an_operator_says_so(tx: sa.Connection) -> None:
    removals.want(tx, REMOVAL, 2.0)
    removals.give_up(tx, "b-1", "down", 1.0)
    pull_requests.tell_closed(tx, CLOSED, 2.0, "delivery 2", look=True)
    pull_requests.looked(tx, known(tx), "down, too")
    named = {failure.name: failure.reason for failure in failures.given_up(tx)}
    assert named == {"b-1": "down", "acme/site#7": "down, too"}
    for name in named:
        assert failures.send_again(tx, name, 9.0) == 1
    assert failures.given_up(tx) == []
    assert claimed(tx) == ["b-1"]
    assert len(pull_requests.claim_closed(tx, Lease("north", 10.0), 10)) == 1


def test_only_what_is_finished_and_old_is_pruned(tx: sa.Connection) -> None:
    pull_requests.tell_open(tx, OPENED, 1.0)
    removals.want(tx, REMOVAL, 1.0)
    assert pull_requests.prune(tx, 50.0, 10) == removals.prune(tx, 50.0, 10) == 0
    pull_requests.tell_closed(tx, CLOSED, 2.0, "delivery 2", look=False)
    removals.end(tx, "b-1", 4.0)
    assert pull_requests.prune(tx, 2.0, 10) == removals.prune(tx, 1.0, 10) == 0
    assert pull_requests.prune(tx, 50.0, 10) == removals.prune(tx, 50.0, 10) == 1
