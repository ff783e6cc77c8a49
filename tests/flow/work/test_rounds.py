"""Rounds of work that comes again and again."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel

from probo_bitbucket.flow.work.rounds import Rounds
from probo_bitbucket.store import StoreUnavailable
from tests.immediate import result_of


class Work:
    """Counts its rounds; each is what *act* does."""

    def __init__(self, act: Callable[[], object] = lambda: None) -> None:
        self.rounds = 0
        self._act = act

    async def __call__(self) -> None:
        self.rounds += 1
        waited_for = self._act()
        if isinstance(waited_for, Deferred):
            await waited_for


def begun(work: Work, clock: Clock) -> Rounds:
    rounds = Rounds("tidying", work, 10, clock)
    rounds.startService()
    return rounds


def fail(error: Exception) -> Callable[[], object]:
    def act() -> None:
        raise error

    return act


def test_the_first_round_is_at_once_and_the_others_follow_at_the_interval(clock: Clock) -> None:
    work = Work()
    begun(work, clock)
    assert work.rounds == 1
    clock.pump([9, 1, 9, 1])
    assert work.rounds == 3


def test_a_round_that_takes_long_delays_the_next(clock: Clock) -> None:
    going_on: Deferred[None] = Deferred()
    work = Work(lambda: going_on)
    begun(work, clock)
    clock.advance(35)
    assert work.rounds == 1
    going_on.callback(None)
    clock.advance(5)
    assert work.rounds == 2


def test_a_round_that_fails_is_logged_and_does_not_end_the_rounds(clock: Clock, logged: list[LogEvent]) -> None:
    work = Work(fail(ZeroDivisionError()))
    begun(work, clock)
    clock.advance(10)
    assert work.rounds == 2
    [first, _] = [event for event in logged if event.get("event") == "round.failed"]
    assert (first["step"], first["log_level"]) == ("tidying", LogLevel.critical)
    assert first["log_failure"].check(ZeroDivisionError)


def test_a_store_that_is_away_is_a_warning_without_a_traceback(clock: Clock, logged: list[LogEvent]) -> None:
    work = Work(fail(StoreUnavailable("disk full")))
    begun(work, clock)
    clock.advance(10)
    assert work.rounds == 2
    events = [event for event in logged if event.get("event") == "store.unavailable"]
    assert [(event["log_level"], event["reason"]) for event in events] == [(LogLevel.warn, "disk full")] * 2


def test_stopping_cancels_the_round_that_goes_on(clock: Clock, logged: list[LogEvent]) -> None:
    cancelled: list[Deferred[None]] = []
    work = Work(lambda: Deferred(cancelled.append))
    rounds = begun(work, clock)
    result_of(rounds.stopService())
    assert len(cancelled) == 1
    assert clock.getDelayedCalls() == []
    assert [event for event in logged if event.get("event") == "round.failed"] == []


def test_stopping_between_rounds_has_nothing_to_wait_for(clock: Clock) -> None:
    work = Work()
    rounds = begun(work, clock)
    result_of(rounds.stopService())
    clock.advance(100)
    assert work.rounds == 1


def test_stopping_waits_for_a_round_that_has_to_tidy_up(clock: Clock) -> None:
    tidied: Deferred[None] = Deferred()

    async def work() -> None:
        try:
            await Deferred()
        finally:
            await tidied

    rounds = Rounds("tidying", work, 10, clock)
    rounds.startService()
    ended: list[None] = []
    rounds.stopService().addCallback(ended.append)
    assert ended == []
    tidied.callback(None)
    assert ended == [None]


def test_rounds_can_be_started_again(clock: Clock) -> None:
    work = Work()
    rounds = begun(work, clock)
    result_of(rounds.stopService())
    rounds.startService()
    assert work.rounds == 2
