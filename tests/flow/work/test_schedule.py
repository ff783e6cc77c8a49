"""When work is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probo_bitbucket.errors import BudgetSpent, DeadCredentials, RateLimited, Spared, Temporary
from probo_bitbucket.flow.work.schedule import CREDENTIALS_PAUSE, FIRST, LONGEST, Schedule, effort_after
from probo_bitbucket.store import Effort

NOW = 1_000_000.0
TROUBLE = Temporary("503")


def pause(attempts: int, error: Exception = TROUBLE, *, random: float = 0.5) -> float:
    due_at = Schedule(3600, lambda: random).due_at(Effort(attempts, NOW), error, NOW)
    assert due_at is not None
    return due_at - NOW


def test_each_pause_is_twice_the_one_before_up_to_the_longest() -> None:
    assert [pause(attempts) for attempts in range(11)] == [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]
    assert pause(100_000) == LONGEST


@given(st.integers(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_chance_moves_a_pause_by_half_of_it_at_most(attempts: int, random: float) -> None:
    middle = pause(attempts)
    assert middle * 0.5 <= pause(attempts, random=random) <= middle * 1.5


def test_the_upstream_can_ask_for_a_longer_pause_but_not_for_a_shorter_one() -> None:
    assert pause(0, RateLimited("429", 90)) == 90
    assert pause(6, RateLimited("429", 1)) == 128
    assert pause(0, RateLimited("429", 0)) == FIRST


def test_an_unexpected_error_is_tried_again_like_any_other() -> None:
    assert pause(0, ZeroDivisionError()) == FIRST


@pytest.mark.parametrize(("failing_for", "given_up"), [(0, False), (3599, False), (3600, True), (90_000, True)])
def test_work_is_given_up_when_it_has_failed_for_long_enough(failing_for: float, given_up: bool) -> None:
    schedule = Schedule(3600, lambda: 0.5)
    assert (schedule.due_at(Effort(9, NOW - failing_for), TROUBLE, NOW) is None) is given_up


def test_the_first_failure_is_never_the_last() -> None:
    assert Schedule(0, lambda: 0.5).due_at(Effort(0, None), TROUBLE, NOW) == NOW + FIRST


def test_work_that_waits_for_credentials_is_never_given_up() -> None:
    schedule = Schedule(3600, lambda: 0.5)
    due_at = schedule.due_at(Effort(5000, NOW - 10**6), DeadCredentials("revoked"), NOW)
    assert due_at == NOW + CREDENTIALS_PAUSE


@pytest.mark.parametrize("error", [Spared("down", 10), BudgetSpent("spent", 60)])
def test_what_was_not_sent_has_not_failed_but_is_tried_less_and_less_often(error: Spared) -> None:
    assert effort_after(Effort(3, None), error, NOW) == Effort(4, None)
    assert effort_after(Effort(3, NOW - 9), error, NOW) == Effort(4, NOW - 9)
    assert Schedule(3600, lambda: 0.5).due_at(Effort(9, NOW - 10**6), error, NOW) == NOW + LONGEST
