"""A build is sent by a node that can be sure that no other one has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from attrs import define, evolve, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from probo_bitbucket.bitbucket.api import Commit
from probo_bitbucket.errors import Permanent, Temporary
from probo_bitbucket.flow.builds.builder import Builder, NotBuilt
from probo_bitbucket.flow.builds.watch import QUIET
from probo_bitbucket.flow.work.leases import STANDSTILL
from probo_bitbucket.model import Build, BuildKind, BuildState, RemovalReason, Repository, Status, StatusState
from probo_bitbucket.probo.container_manager import Refused
from probo_bitbucket.store import (
    LEASE,
    Effort,
    Lease,
    LeaseLost,
    Transaction,
    builds,
    failures,
    removals,
    statuses,
    watches,
)
from probo_bitbucket.store.builds import StoredBuild
from probo_bitbucket.store.removals import Removal
from probo_bitbucket.store.statuses import Wish
from tests.immediate import ImmediateStore, result_of, start

SITE = Repository("acme", "site")


@define
class Outside:
    """In place of the projects and of the Container Manager. What is asked of it takes *seconds*."""

    clock: Clock
    seconds: float = 0.0
    started: list[str] = field(factory=list)
    meanwhile: Callable[[], None] = lambda: None  # what happens before the answer is read
    refusal: Exception | None = None
    announced: list[str] = field(factory=list)

    async def with_service_auth(self, project: Any, build: Build) -> Any:
        self.clock.advance(self.seconds)
        return project

    async def start(self, build: Any, project: Any) -> Any:
        self.started.append(build["id"])
        self.meanwhile()
        if self.refusal:
            raise self.refusal
        return {}

    async def of(self, build: Build) -> dict[str, Any]:
        return {"id": "p-1", "slug": build.repository.full_name}

    async def commit(self, repository: Repository, hash: str, home: Repository) -> Commit:
        return Commit(hash.ljust(40, "0"), "Change")

    async def file(self, repository: Repository, commit: str, name: str, home: Repository) -> bytes:
        return b"steps: [{name: Test, command: make}]"

    def failed(self, tx: Transaction, build: Build, description: str, now: float) -> None:
        self.announced.append(description)


class SlowStore(ImmediateStore):
    """A store whose answers are read *seconds* late."""

    clock: Clock
    seconds = 0.0
    asked = 0

    def transact(self, *arguments: Any, **named: Any) -> Deferred[Any]:
        self.asked += 1
        result = super().transact(*arguments, **named)
        self.clock.advance(self.seconds)
        return result


@pytest.fixture
def slow_store(clock: Clock) -> SlowStore:
    store = SlowStore()
    store.clock = clock
    return store


def make_builder(store: ImmediateStore, outside: Outside) -> Builder:
    return Builder(
        store=store,
        clock=outside.clock,
        bitbucket=cast(Any, outside),
        container_manager=cast(Any, outside),
        projects=cast(Any, outside),
        announcement=cast(Any, outside),
        site_url="",
        in_thread=lambda read, *arguments: succeed(read(*arguments)),
        wake=lambda: None,
    )


def new(store: ImmediateStore, clock: Clock) -> StoredBuild:
    """A build that nothing was read for, in this node's hands."""
    now = clock.seconds()
    store.now(builds.request, Build("b-1", BuildKind.HASH, SITE, SITE, "a" * 40, "n", now), now)
    [stored] = store.now(builds.claim_pending, Lease("here", now), 1)
    return stored


def claimed(store: ImmediateStore, clock: Clock) -> StoredBuild:
    """A build that is ready to be sent, in this node's hands."""
    return evolve(new(store, clock), document='{"build": {"id": "b-1"}, "project": {}}', state=BuildState.READY)


def test_a_build_is_sent_once_its_project_is_known(slow_store: SlowStore, clock: Clock) -> None:
    outside = Outside(clock, seconds=LEASE / 2)
    result_of(start(make_builder(slow_store, outside).start(claimed(slow_store, clock))))
    assert outside.started == ["b-1"]
    later = Lease("here", clock.seconds() + QUIET)
    assert [each.build_id for each in slow_store.now(watches.claim_due, later, 1)] == ["b-1"]


def test_a_new_build_takes_one_commit_until_it_is_sent(slow_store: SlowStore, clock: Clock) -> None:
    job, commits = new(slow_store, clock), list[int]()
    before = slow_store.asked
    outside = Outside(clock, meanwhile=lambda: commits.append(slow_store.asked - before))
    result_of(start(make_builder(slow_store, outside).start(job)))
    assert (outside.started, commits) == (["b-1"], [1])
    stored = slow_store.now(builds.find, "b-1")
    assert stored is not None
    assert stored.document  # which a try after a lost answer sends


def test_a_new_build_that_nobody_wants_since_it_was_read_is_not_sent(slow_store: SlowStore, clock: Clock) -> None:
    outside, job = Outside(clock), new(slow_store, clock)
    slow_store.now(removals.want, Removal("b-1", "acme/site", None, RemovalReason.BY_HAND, "by hand"), 0.0)
    with pytest.raises(NotBuilt, match="nobody wants it any more"):
        result_of(start(make_builder(slow_store, outside).start(job)))
    assert (outside.started, state_of(slow_store)) == ([], BuildState.CANCELLED)


def test_a_build_that_another_node_took_meanwhile_is_not_sent(slow_store: SlowStore, clock: Clock) -> None:
    outside = Outside(clock)
    job = claimed(slow_store, clock)
    clock.advance(LEASE)
    slow_store.now(builds.claim_pending, Lease("there", clock.seconds()), 1)
    with pytest.raises(LeaseLost):
        result_of(start(make_builder(slow_store, outside).start(job)))
    assert outside.started == []


def test_a_node_that_stood_still_since_it_noted_the_start_does_not_send(slow_store: SlowStore, clock: Clock) -> None:
    outside = Outside(clock)
    job = claimed(slow_store, clock)
    slow_store.seconds = STANDSTILL + 1
    with pytest.raises(Temporary):
        result_of(start(make_builder(slow_store, outside).start(job)))
    assert outside.started == []


def test_what_the_container_manager_refuses_is_written_down_and_shown(slow_store: SlowStore, clock: Clock) -> None:
    outside = Outside(clock, refusal=Refused("no such image", 400))
    with pytest.raises(NotBuilt):
        result_of(start(make_builder(slow_store, outside).start(claimed(slow_store, clock))))
    assert state_of(slow_store) is BuildState.REFUSED
    assert outside.announced == ["no such image"]


def test_what_something_before_the_container_manager_refuses_can_be_sent_again(
    slow_store: SlowStore, clock: Clock
) -> None:
    outside = Outside(clock, refusal=Permanent("the Container Manager answered 403", 403))
    with pytest.raises(NotBuilt):
        result_of(start(make_builder(slow_store, outside).start(claimed(slow_store, clock))))
    [failure] = slow_store.now(failures.given_up)
    reason = "The build could not be started: the Container Manager answered 403"
    assert (failure.kind, failure.name, failure.reason) == ("build", "b-1", reason)
    assert outside.announced == [reason]


@pytest.mark.parametrize("how", ["refused", "given up"])
def test_a_node_that_stood_still_does_not_speak_over_the_one_that_took_the_build(
    slow_store: SlowStore, clock: Clock, how: str
) -> None:
    outside = Outside(clock, refusal=Refused("it is there already", 400))
    builder, job = make_builder(slow_store, outside), claimed(slow_store, clock)

    def taken() -> None:
        clock.advance(LEASE + builds.IN_FLIGHT)
        [other] = slow_store.now(builds.claim_pending, Lease("there", clock.seconds()), 1)
        slow_store.now(builds.advance, other, BuildState.STARTING, clock.seconds())
        slow_store.now(builds.started, "b-1", clock.seconds())

    if how == "refused":
        outside.meanwhile = taken
        with pytest.raises(NotBuilt):
            result_of(start(builder.start(job)))
    else:
        taken()
        result_of(start(builder.give_up(job, Temporary("no answer"))))
    assert state_of(slow_store) is BuildState.RUNNING
    assert outside.announced == []


def test_the_trouble_with_its_configuration_does_not_count_when_a_build_is_started(
    slow_store: SlowStore, clock: Clock
) -> None:
    outside = Outside(clock)
    builder = make_builder(slow_store, outside)
    troubled = evolve(claimed(slow_store, clock), effort=Effort(9, clock.seconds() - 80_000))
    slow_store.now(builds.postpone, troubled, due_at=clock.seconds(), error="Bitbucket is down", now=clock.seconds())
    for expected in (troubled.effort, Effort(0, None)):
        [job] = slow_store.now(builds.claim_pending, Lease("here", clock.seconds()), 1)
        assert (job.effort, outside.started) == (expected, [])
        result_of(start(builder.work(job)))
    assert outside.started == ["b-1"]


def test_what_was_told_under_a_short_hash_is_forgotten_once_the_whole_one_is_known(
    slow_store: SlowStore, clock: Clock
) -> None:
    now, short = clock.seconds(), "a" * 12
    slow_store.now(builds.request, Build("b-1", BuildKind.BRANCH, SITE, SITE, short, "n", now, "main"), now)
    status = Status(SITE, short, "Acme/env", StatusState.FAILED, "Acme/env", "Bitbucket is down", "")
    wish = Wish("b-1", "Acme/env", status, {}, settled=True)
    slow_store.now(statuses.desire, wish, None, now)
    [job] = slow_store.now(builds.claim_pending, Lease("here", now), 1)
    result_of(start(make_builder(slow_store, Outside(clock)).start(job)))
    assert state_of(slow_store) is BuildState.RUNNING
    assert slow_store.now(statuses.find, status) is None


def state_of(store: ImmediateStore) -> BuildState:
    stored = store.now(builds.find, "b-1")
    assert stored is not None
    return stored.state
