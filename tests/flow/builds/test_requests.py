"""Builds that the web app asks for: whatever becomes of the request, the build does not stay in its hands."""

from __future__ import annotations

from typing import Any, cast

import pytest
from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from probo_bitbucket.errors import Temporary
from probo_bitbucket.flow.builds.builder import Builder
from probo_bitbucket.flow.builds.requests import HashRequests
from probo_bitbucket.flow.work.leases import Leases
from probo_bitbucket.store import LEASE, builds
from probo_bitbucket.store.builds import StoredBuild
from tests.immediate import ImmediateStore, result_of, start

SHA = "d96c25c4ae50"


@define
class Starting:
    """In place of the builder: a start ends when a test says so."""

    store: ImmediateStore
    leases: Leases
    answer: Deferred[Any] = field(factory=Deferred)

    async def start(self, job: StoredBuild) -> Any:
        return await self.answer


@pytest.fixture
def starting(store: ImmediateStore, clock: Clock) -> Starting:
    return Starting(store, Leases(store, clock, "node"))


def asked(starting: Starting, clock: Clock) -> Deferred[Any]:
    requests = HashRequests(starting.store, clock, cast(Builder, starting), ["*"], starting.leases)
    return start(requests.start("acme/site", "", SHA))


def waiting(starting: Starting, clock: Clock) -> list[str]:
    """The commits of the builds that a worker finds when all leases have ended that are not renewed."""
    for _ in range(4):
        result_of(start(starting.leases.round()))
        clock.advance(LEASE / 3)
    return [each.build.commit for each in starting.store.now(builds.claim_pending, starting.leases.new(), 9)]


def test_a_build_in_hand_is_left_alone_by_the_worker(starting: Starting, clock: Clock) -> None:
    asked(starting, clock)
    assert waiting(starting, clock) == []


def test_a_build_that_could_not_be_started_is_tried_again(starting: Starting, clock: Clock) -> None:
    asking = asked(starting, clock)
    starting.answer.errback(Temporary("down"))
    with pytest.raises(Temporary):
        result_of(asking)
    assert waiting(starting, clock) == [SHA]


def test_a_caller_that_hangs_up_leaves_the_build_to_the_worker(starting: Starting, clock: Clock) -> None:
    asking = asked(starting, clock)
    asking.cancel()
    with pytest.raises(CancelledError):
        result_of(asking)
    assert waiting(starting, clock) == [SHA]


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
    assert waiting(starting, clock) == [SHA]
