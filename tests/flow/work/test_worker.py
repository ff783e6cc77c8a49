"""The worker that drives a step."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from probo_bitbucket.errors import DeadCredentials, Permanent, Temporary, Unanswered
from probo_bitbucket.flow.work.leases import STANDSTILL, Leases
from probo_bitbucket.flow.work.precedence import LASTING, MANY, Precedence
from probo_bitbucket.flow.work.schedule import CREDENTIALS_PAUSE, FIRST, Schedule
from probo_bitbucket.flow.work.worker import (
    BREATH,
    PATIENCE,
    POLL,
    SHARE,
    SLOW_FOR,
    SLOW_SHARE,
    STORE_PAUSE,
    UNSETTLED_PAUSE,
    Worker,
)
from probo_bitbucket.store import Effort, Lease, StoreUnavailable
from tests.immediate import ImmediateStore, result_of

RETRY_FOR = 3600.0


@define(eq=False)
class Job:
    """Work for a *repository*. Its *end* is when it is done."""

    repository: str = "acme/site"
    effort: Effort = field(factory=lambda: Effort(0, None))
    end: Deferred[None] = field(factory=Deferred)


@define(eq=False)
class Desk:
    """A step that keeps a list of what it was asked for."""

    waiting: list[Job] = field(factory=list)
    begun: list[Job] = field(factory=list)
    claims: list[tuple[Lease, int, Collection[str]]] = field(factory=list)
    postponed: list[tuple[Job, float, str]] = field(factory=list)
    given_up: list[tuple[Job, Exception]] = field(factory=list)
    claim_fails: list[Exception] = field(factory=list)
    settling_fails: list[Exception] = field(factory=list)
    claiming: Deferred[None] | None = None
    settling: Deferred[None] | None = None
    concurrency: int = 100
    name: str = "desk"

    async def claim(self, lease: Lease, limit: int, busy: Collection[str]) -> Sequence[Job]:
        self.claims.append((lease, limit, busy))
        if self.claim_fails:
            raise self.claim_fails.pop(0)
        if self.claiming is not None:
            await self.claiming
        jobs = [job for job in self.waiting if job.repository not in busy][:limit]
        self.waiting = [job for job in self.waiting if job not in jobs]
        return jobs

    def repository(self, job: Job) -> str:
        return job.repository

    async def work(self, job: Job) -> None:
        self.begun.append(job)
        await job.end

    async def postpone(self, job: Job, due_at: float, error: Exception) -> None:
        await self._settle()
        self.postponed.append((job, due_at, str(error)))

    async def give_up(self, job: Job, error: Exception) -> None:
        await self._settle()
        self.given_up.append((job, error))

    async def _settle(self) -> None:
        if self.settling is not None:
            await self.settling
        if self.settling_fails:
            raise self.settling_fails.pop(0)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def leases(store: ImmediateStore, clock: Clock) -> Leases:
    return Leases(store, clock, "node")


@pytest.fixture
def precedence(clock: Clock) -> Precedence:
    return Precedence(clock)


@pytest.fixture
def worker(desk: Desk, leases: Leases, clock: Clock, precedence: Precedence) -> Worker:
    schedule = Schedule(RETRY_FOR, lambda: 0.5)
    return Worker(desk, leases, clock, schedule, precedence)  # type: ignore[arg-type] # its own Job


def begin(worker: Worker, desk: Desk, *jobs: Job) -> None:
    desk.waiting.extend(jobs)
    worker.startService()


def events(logged: list[LogEvent], name: str) -> list[Any]:
    return [event for event in logged if event.get("event") == name]


def test_work_is_claimed_for_this_node_at_this_time(worker: Worker, desk: Desk, clock: Clock) -> None:
    begin(worker, desk)
    assert desk.claims == [(Lease("node/0", clock.seconds()), SHARE, [])]


def test_what_was_claimed_before_the_node_stood_still_is_left_to_others(
    worker: Worker, desk: Desk, leases: Leases, clock: Clock, logged: list[LogEvent]
) -> None:
    desk.claiming = Deferred()
    begin(worker, desk, Job())
    clock.advance(STANDSTILL + 1)
    desk.claiming.callback(None)
    assert (desk.begun, leases.held) == ([], set())
    [late] = events(logged, "worker.late")
    assert (late["step"], late["count"], late["seconds"]) == ("desk", 1, STANDSTILL + 1)


def test_work_goes_on_after_the_node_stood_still(worker: Worker, desk: Desk, clock: Clock) -> None:
    desk.claiming = Deferred()
    begin(worker, desk, Job())
    clock.advance(STANDSTILL + 1)
    again = Job()
    desk.claiming.callback(None)
    desk.claiming = None
    desk.waiting.append(again)
    worker.wake()
    assert desk.begun == [again]


def test_only_claims_of_which_something_is_in_hand_are_renewed(worker: Worker, desk: Desk, leases: Leases) -> None:
    jobs = [Job(), Job()]
    begin(worker, desk, *jobs)
    assert leases.held == {desk.claims[0][0].holder}
    jobs[0].end.callback(None)
    assert leases.held == {desk.claims[0][0].holder}
    jobs[1].end.callback(None)
    assert leases.held == set()


def test_what_waits_is_begun_when_the_service_starts(worker: Worker, desk: Desk) -> None:
    jobs = [Job() for _ in range(3)]
    begin(worker, desk, *jobs)
    assert desk.begun == jobs


def test_what_is_written_down_by_others_is_found_within_the_poll(worker: Worker, desk: Desk, clock: Clock) -> None:
    begin(worker, desk)
    desk.waiting.append(Job())
    clock.advance(POLL)
    assert len(desk.begun) == 1


@pytest.fixture
def burst(precedence: Precedence) -> Iterator[None]:
    """Many deliveries are being accepted."""
    with ExitStack() as deliveries:
        for _ in range(MANY):
            deliveries.enter_context(precedence.accepting())
        yield


@pytest.mark.usefixtures("burst")
def test_work_goes_on_slowly_while_many_deliveries_come_in(worker: Worker, desk: Desk, clock: Clock) -> None:
    begin(worker, desk, Job(), Job(), Job())
    assert desk.begun == []
    clock.advance(BREATH)
    assert len(desk.begun) == 1
    clock.advance(BREATH)
    assert len(desk.begun) == 2


@pytest.mark.usefixtures("burst")
def test_all_goes_on_as_before_when_no_more_deliveries_come_in(worker: Worker, desk: Desk, clock: Clock) -> None:
    begin(worker, desk, *(Job() for _ in range(SHARE)))
    clock.advance(LASTING)
    clock.advance(BREATH)
    assert len(desk.begun) == SHARE


@pytest.mark.usefixtures("burst")
def test_a_stop_while_deliveries_have_precedence_claims_nothing_more(worker: Worker, desk: Desk, clock: Clock) -> None:
    begin(worker, desk, Job())
    result_of(worker.stopService())
    assert clock.getDelayedCalls() == []
    assert desk.claims == []


def test_a_few_deliveries_do_not_hold_work_back(worker: Worker, desk: Desk, precedence: Precedence) -> None:
    with ExitStack() as deliveries:
        for _ in range(MANY - 1):
            deliveries.enter_context(precedence.accepting())
        begin(worker, desk, Job())
        assert len(desk.begun) == 1


def test_a_call_begins_what_waits_at_once(worker: Worker, desk: Desk) -> None:
    begin(worker, desk)
    desk.waiting.append(Job())
    worker.wake()
    assert len(desk.begun) == 1


def test_calls_while_it_looks_lead_to_one_more_look(worker: Worker, desk: Desk) -> None:
    desk.claiming = Deferred()
    begin(worker, desk)
    for _ in range(10):
        worker.wake()
    assert len(desk.claims) == 1
    desk.claiming.callback(None)
    assert len(desk.claims) == 2


def test_nothing_is_looked_for_before_the_start_and_after_the_stop(worker: Worker, desk: Desk, clock: Clock) -> None:
    worker.wake()
    assert desk.claims == []
    begin(worker, desk)
    result_of(worker.stopService())
    worker.wake()
    clock.advance(10 * POLL)
    assert len(desk.claims) == 1


def test_no_more_than_the_concurrency_is_in_hand(worker: Worker, desk: Desk) -> None:
    desk.concurrency = 20
    jobs = [Job(f"acme/{number}") for number in range(30)]
    begin(worker, desk, *jobs)
    assert len(desk.begun) == 20
    assert [limit for _, limit, _ in desk.claims] == [16, 4]
    jobs[0].end.callback(None)
    assert len(desk.begun) == 21


def test_one_repository_leaves_room_for_the_others(worker: Worker, desk: Desk) -> None:
    begin(worker, desk, *[Job("acme/slow") for _ in range(50)], Job("acme/site"))
    assert [job.repository for job in desk.begun] == ["acme/slow"] * SHARE + ["acme/site"]
    assert desk.claims[-1][2] == ["acme/slow"]


def test_a_repository_never_has_twice_its_share_in_hand(worker: Worker, desk: Desk) -> None:
    begin(worker, desk, *[Job("acme/slow") for _ in range(50)])
    desk.begun[0].end.callback(None)
    in_hand = [job for job in desk.begun if not job.end.called]
    assert SHARE <= len(in_hand) < 2 * SHARE


def hang(worker: Worker, desk: Desk, *repositories: str) -> None:
    """Have a job of each of *repositories* end without an answer, and put much work of each on the desk."""
    begin(worker, desk, *map(Job, repositories))
    for job in desk.begun:
        job.end.errback(Unanswered("Bitbucket did not answer within 30 s"))
    desk.begun.clear()
    desk.waiting += [Job(repository) for _ in range(50) for repository in repositories]


def in_hand(desk: Desk, repository: str) -> int:
    return len([job for job in desk.begun if job.repository == repository and not job.end.called])


def test_repositories_that_hang_leave_room_for_the_others(worker: Worker, desk: Desk) -> None:
    desk.concurrency = 64
    hanging = [f"acme/{number}" for number in range(10)]
    hang(worker, desk, *hanging)
    desk.waiting += [Job("acme/site") for _ in range(SHARE)]
    worker.wake()
    assert in_hand(desk, "acme/site") == SHARE
    assert max(in_hand(desk, each) for each in hanging) < 2 * SLOW_SHARE


def test_a_repository_has_its_share_again_once_it_is_answered(worker: Worker, desk: Desk) -> None:
    hang(worker, desk, "acme/slow")
    worker.wake()
    desk.begun[0].end.callback(None)
    assert in_hand(desk, "acme/slow") >= SHARE


def test_a_repository_has_its_share_again_after_a_while(worker: Worker, desk: Desk, clock: Clock) -> None:
    hang(worker, desk, "acme/slow")
    clock.advance(SLOW_FOR)
    assert in_hand(desk, "acme/slow") >= SHARE


def test_what_is_done_is_not_put_back(worker: Worker, desk: Desk) -> None:
    job = Job()
    begin(worker, desk, job)
    job.end.callback(None)
    assert not desk.postponed
    assert not desk.given_up


def test_what_may_heal_is_put_back_with_its_reason(worker: Worker, desk: Desk, clock: Clock) -> None:
    job = Job()
    begin(worker, desk, job)
    clock.advance(5)
    job.end.errback(Temporary("Bitbucket answered 503"))
    now = clock.seconds()
    [(put_back, due_at, reason)] = desk.postponed
    assert (put_back.effort, due_at, reason) == (Effort(1, now), now + FIRST, "Bitbucket answered 503")


def test_what_will_not_heal_is_given_up_at_once(worker: Worker, desk: Desk) -> None:
    job, error = Job(), Permanent("400")
    begin(worker, desk, job)
    job.end.errback(error)
    assert [given for _, given in desk.given_up] == [error]


def test_what_failed_for_too_long_is_given_up(worker: Worker, desk: Desk, clock: Clock) -> None:
    job = Job(effort=Effort(20, clock.seconds() - RETRY_FOR))
    begin(worker, desk, job)
    job.end.errback(Temporary("503"))
    assert [given.effort.attempts for given, _ in desk.given_up] == [21]


def test_what_waits_for_credentials_is_never_given_up(worker: Worker, desk: Desk, clock: Clock) -> None:
    job = Job(effort=Effort(20, clock.seconds() - 100 * RETRY_FOR))
    begin(worker, desk, job)
    job.end.errback(DeadCredentials("revoked"))
    assert [due_at for _, due_at, _ in desk.postponed] == [clock.seconds() + CREDENTIALS_PAUSE]


def test_an_unexpected_error_is_logged_and_the_job_put_back(worker: Worker, desk: Desk, logged: list[LogEvent]) -> None:
    job = Job()
    begin(worker, desk, job)
    job.end.errback(ZeroDivisionError("oops"))
    reason = "unexpected ZeroDivisionError, see the log"  # its own text can hold a secret
    assert [error for _, _, error in desk.postponed] == [reason]
    [event] = events(logged, "step.failed")
    assert event["step"] == "desk"
    assert event["log_failure"].check(ZeroDivisionError)


@pytest.mark.parametrize("error", [Temporary("503"), StoreUnavailable("disk full")])
def test_a_trouble_that_was_expected_has_no_traceback(
    worker: Worker, desk: Desk, logged: list[LogEvent], error: Exception
) -> None:
    job = Job()
    begin(worker, desk, job)
    job.end.errback(error)
    assert len(desk.postponed) == 1
    assert events(logged, "step.failed") == []


@pytest.mark.parametrize("error", [Temporary("503"), Permanent("400")])
def test_an_outcome_waits_for_a_store_that_is_away(worker: Worker, desk: Desk, clock: Clock, error: Exception) -> None:
    job = Job()
    begin(worker, desk, job)
    desk.settling_fails = [StoreUnavailable("disk full")] * 3
    job.end.errback(error)
    clock.pump([STORE_PAUSE] * 2)
    assert not desk.postponed
    assert not desk.given_up
    clock.advance(STORE_PAUSE)
    assert len(desk.postponed) + len(desk.given_up) == 1


def test_an_outcome_that_cannot_be_written_down_is_logged_and_tried_again(
    worker: Worker, desk: Desk, clock: Clock, logged: list[LogEvent]
) -> None:
    job = Job()
    begin(worker, desk, job)
    desk.settling_fails = [RuntimeError("no such column")]
    job.end.errback(Permanent("400"))
    [event] = events(logged, "step.unsettled")
    assert event["log_failure"].check(RuntimeError)
    assert desk.given_up == []
    clock.advance(UNSETTLED_PAUSE)
    assert len(desk.given_up) == 1


def test_a_store_that_is_away_is_asked_again_at_the_next_poll(
    worker: Worker, desk: Desk, clock: Clock, logged: list[LogEvent]
) -> None:
    desk.claim_fails = [StoreUnavailable("disk full")]
    begin(worker, desk, Job())
    assert [event["reason"] for event in events(logged, "store.unavailable")] == ["disk full"]
    clock.advance(POLL)
    assert len(desk.begun) == 1


def test_a_look_that_fails_unexpectedly_is_followed_by_the_next(
    worker: Worker, desk: Desk, clock: Clock, logged: list[LogEvent]
) -> None:
    desk.claim_fails = [ZeroDivisionError()]
    begin(worker, desk, Job())
    assert events(logged, "worker.failed")[0]["log_failure"].check(ZeroDivisionError)
    clock.advance(POLL)
    assert len(desk.begun) == 1


def test_stopping_waits_for_what_is_in_hand(worker: Worker, desk: Desk, clock: Clock) -> None:
    jobs = [Job(), Job()]
    begin(worker, desk, *jobs)
    stopped = worker.stopService()
    jobs[0].end.callback(None)
    clock.advance(PATIENCE / 2)
    assert not stopped.called
    jobs[1].end.callback(None)
    result_of(stopped)
    assert clock.getDelayedCalls() == []


def test_stopping_begins_nothing_more(worker: Worker, desk: Desk) -> None:
    desk.concurrency = 1
    job = Job()
    begin(worker, desk, job, Job())
    worker.stopService()
    job.end.callback(None)
    assert desk.begun == [job]


def test_what_is_claimed_while_the_service_stops_is_left_to_others(worker: Worker, desk: Desk) -> None:
    desk.claiming = Deferred()
    begin(worker, desk, Job())
    result_of(worker.stopService())
    desk.claiming.callback(None)
    assert desk.begun == []


def test_what_takes_too_long_to_end_is_cancelled_and_keeps_its_place(worker: Worker, desk: Desk, clock: Clock) -> None:
    begin(worker, desk, Job())
    stopped = worker.stopService()
    clock.advance(PATIENCE)
    result_of(stopped)
    assert not desk.postponed
    assert not desk.given_up


def test_an_outcome_that_the_store_is_about_does_not_hold_up_the_stop(
    worker: Worker, desk: Desk, clock: Clock, logged: list[LogEvent]
) -> None:
    job = Job()
    begin(worker, desk, job)
    desk.settling = Deferred()
    job.end.errback(Temporary("503"))
    stopped = worker.stopService()
    clock.advance(PATIENCE)
    result_of(stopped)
    assert events(logged, "step.unsettled") == []
    assert clock.getDelayedCalls() == []


def test_an_outcome_that_waits_for_the_store_does_not_hold_up_the_stop(
    worker: Worker, desk: Desk, clock: Clock
) -> None:
    job = Job()
    begin(worker, desk, job)
    desk.settling_fails = [StoreUnavailable("disk full")] * 1000
    job.end.errback(Temporary("503"))
    stopped = worker.stopService()
    clock.pump([STORE_PAUSE] * int(PATIENCE))
    result_of(stopped)


def test_the_time_that_credentials_took_does_not_count_as_failing(worker: Worker, desk: Desk, clock: Clock) -> None:
    """With new ones, the first passing trouble would be the last: all that had waited would be given up on."""
    clock.advance(2 * RETRY_FOR)
    long_ago = Job(effort=Effort(99, clock.seconds() - 2 * RETRY_FOR))
    begin(worker, desk, long_ago)
    long_ago.end.errback(DeadCredentials("revoked"))
    [(put_back, due_at, _)] = desk.postponed
    assert (put_back.effort, due_at) == (Effort(0, None), clock.seconds() + CREDENTIALS_PAUSE)
