"""Builds that the web app asks for: whatever becomes of the request, the build does not stay in its hands."""

from __future__ import annotations

from typing import Any, cast

import pytest
from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from probo_bitbucket.errors import Temporary
from probo_bitbucket.flow.builder import Builder
from probo_bitbucket.flow.requests import HashRequests
from probo_bitbucket.flow.schedule import FIRST
from probo_bitbucket.store import LEASE, Lease, StoreUnavailable, builds, nodes
from probo_bitbucket.store.builds import StoredBuild
from tests.immediate import ImmediateStore, result_of, start

SHA = "d96c25c4ae50"


@define
class Starting:
    """In place of the builder: a start ends when a test says so."""

    store: ImmediateStore
    answer: Deferred[Any] = field(factory=Deferred)

    async def start(self, job: StoredBuild) -> Any:
        return await self.answer

    async def postpone(self, job: StoredBuild, now: float, due_at: float, error: str) -> None:
        await self.store.transact(builds.postpone, job, now=now, due_at=due_at, error=error)


@pytest.fixture
def starting(store: ImmediateStore) -> Starting:
    return Starting(store)


def asked(starting: Starting, clock: Clock) -> Deferred[Any]:
    requests = HashRequests(starting.store, clock, cast(Builder, starting), ["*"], "node")
    return start(requests.start("acme/site", "", SHA))


def waiting(store: ImmediateStore, clock: Clock) -> list[str]:
    """The commits of the builds that a worker finds."""
    return [each.build.commit for each in store.now(builds.claim_pending, Lease("node", clock.seconds()), 9)]


def test_a_build_in_hand_is_left_alone_by_the_worker(starting: Starting, clock: Clock) -> None:
    asked(starting, clock)
    clock.advance(FIRST)
    assert waiting(starting.store, clock) == []


def test_a_build_that_could_not_be_started_is_tried_again(starting: Starting, clock: Clock) -> None:
    asking = asked(starting, clock)
    starting.answer.errback(Temporary("down"))
    with pytest.raises(Temporary):
        result_of(asking)
    clock.advance(FIRST)
    assert waiting(starting.store, clock) == [SHA]


def test_a_caller_that_hangs_up_leaves_the_build_to_the_worker(starting: Starting, clock: Clock) -> None:
    asking = asked(starting, clock)
    asking.cancel()
    with pytest.raises(CancelledError):
        result_of(asking)
    clock.advance(FIRST)
    assert waiting(starting.store, clock) == [SHA]


def test_a_caller_that_hangs_up_while_the_build_is_written_down_leaves_it_to_the_worker(
    starting: Starting, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = starting.store.transact

    def slowly(operation: Any, *args: Any, **kwargs: Any) -> Deferred[Any]:
        done = at_once(operation, *args, **kwargs)
        return Deferred() if operation is builds.request_now else done

    monkeypatch.setattr(starting.store, "transact", slowly)
    asking = asked(starting, clock)
    asking.cancel()
    with pytest.raises(CancelledError):
        result_of(asking)
    clock.advance(FIRST)
    assert waiting(starting.store, clock) == [SHA]


def test_a_build_is_put_back_when_the_store_is(starting: Starting, clock: Clock) -> None:
    """The node goes on renewing its leases: nothing else would ever let go of it."""
    store = starting.store
    asking = asked(starting, clock)
    store.down = True
    starting.answer.errback(StoreUnavailable("disk full"))
    with pytest.raises(StoreUnavailable):
        result_of(asking)
    clock.pump([1.0] * round(LEASE / 2))
    store.down = False
    for _ in range(3):
        store.now(nodes.renew, Lease("node", clock.seconds()))
        clock.advance(LEASE / 3)
    assert waiting(store, clock) == [SHA]
