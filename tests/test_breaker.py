"""The circuit breaker."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from probo_bitbucket.breaker import Breaker
from probo_bitbucket.errors import Temporary


def broken(clock: Clock) -> Breaker:
    breaker = Breaker(clock, "Bitbucket", threshold=3, pause=10)
    for _ in range(3):
        breaker.enter()
        breaker.failed()
    return breaker


def refused_for(breaker: Breaker) -> float | None:
    with pytest.raises(Temporary) as caught:
        breaker.enter()
    return caught.value.retry_after


def test_it_lets_everything_through_until_the_last_failure_in_a_row() -> None:
    breaker = Breaker(Clock(), "Bitbucket", threshold=3)
    breaker.failed()
    breaker.failed()
    breaker.enter()
    assert not breaker.open


def test_a_success_between_failures_starts_the_count_anew() -> None:
    breaker = Breaker(Clock(), "Bitbucket", threshold=2)
    for _ in range(5):
        breaker.failed()
        breaker.succeeded()
    assert not breaker.open


def test_it_spares_the_upstream_for_the_pause_and_says_how_long_that_is() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.advance(4)
    assert refused_for(breaker) == 6


def test_after_the_pause_one_caller_tries_and_the_others_go_on_waiting() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.advance(10)
    breaker.enter()
    assert refused_for(breaker) == 10


def test_a_trial_that_fails_begins_another_pause_at_its_end() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.advance(10)
    breaker.enter()
    clock.advance(7)
    breaker.failed()
    assert refused_for(breaker) == 10


def test_a_trial_that_succeeds_lets_everybody_through() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.advance(10)
    breaker.enter()
    breaker.succeeded()
    breaker.enter()
    breaker.enter()


def test_a_trial_that_never_ends_is_followed_by_another_after_the_pause() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.advance(10)
    breaker.enter()
    clock.advance(10)
    breaker.enter()


def test_one_who_waits_in_vain_opens_nothing_however_often() -> None:
    breaker = Breaker(Clock(), "Bitbucket", several=2)
    for _ in range(500):
        breaker.unanswered("acme/slow")
    assert not breaker.open


def test_several_who_wait_in_vain_are_failures() -> None:
    breaker = Breaker(Clock(), "Bitbucket", threshold=3, several=3)
    for number in range(4):
        breaker.unanswered(f"acme/{number}")
    assert not breaker.open
    breaker.unanswered("acme/0")
    assert breaker.open


def test_a_success_between_tells_that_only_those_are_slow_who_wait_in_vain() -> None:
    breaker = Breaker(Clock(), "Bitbucket", threshold=1, several=2)
    breaker.unanswered("acme/slow")
    breaker.succeeded()
    breaker.unanswered("acme/site")
    assert not breaker.open
