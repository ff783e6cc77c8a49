"""The budget of requests."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.web.http_headers import Headers

from probo_bitbucket.bitbucket.budget import PAUSE, Budget
from probo_bitbucket.errors import RateLimited
from probo_bitbucket.upstream import LONGEST_WAIT, Answer


def answer(status: int = 200, **headers: str) -> Answer:
    return Answer("Bitbucket", status, Headers({n.replace("_", "-"): [v] for n, v in headers.items()}), b"")


def wait(budget: Budget, *, urgent: bool = False) -> float | None:
    """The seconds that a request has to wait, None where it may go at once."""
    try:
        budget.spend(urgent=urgent)
    except RateLimited as error:
        return error.retry_after
    return None


def test_the_last_fifth_is_kept_for_what_is_urgent() -> None:
    budget = Budget(Clock(), limit=10)
    assert [wait(budget) for _ in range(9)] == [None] * 8 + [PAUSE]
    assert [wait(budget, urgent=True) for _ in range(3)] == [None, None, PAUSE]


def test_a_request_is_forgotten_after_an_hour() -> None:
    clock = Clock()
    budget = Budget(clock, limit=1)
    budget.spend(urgent=True)
    clock.advance(59 * 60)
    assert wait(budget, urgent=True) == PAUSE
    clock.advance(60)
    assert wait(budget, urgent=True) is None


def test_what_is_refused_costs_nothing() -> None:
    clock = Clock()
    budget = Budget(clock, limit=1)
    budget.spend(urgent=True)
    for _ in range(5):
        wait(budget, urgent=True)
    assert budget.sent_in(0) == 1


def test_what_other_nodes_sent_counts() -> None:
    assert Budget(Clock(), limit=10, elsewhere=4).left(0) == 6
    assert wait(Budget(Clock(), limit=10, elsewhere=10), urgent=True) == PAUSE


def test_requests_are_counted_by_the_minute() -> None:
    clock = Clock()
    budget = Budget(clock, limit=10)
    for seconds in (0, 59, 1, 60):
        clock.advance(seconds)
        budget.spend(urgent=True)
    assert [budget.sent_in(minute) for minute in range(3)] == [2, 1, 1]


def test_a_429_silences_everything_for_as_long_as_it_says() -> None:
    clock = Clock()
    budget = Budget(clock, limit=1000)
    budget.learn(answer(429, retry_after="30"))
    clock.advance(10)
    assert wait(budget, urgent=True) == 20
    clock.advance(20)
    assert wait(budget) is None


def test_a_429_that_names_no_time_silences_for_the_pause() -> None:
    budget = Budget(Clock(), limit=1000)
    budget.learn(answer(429))
    assert wait(budget, urgent=True) == PAUSE


def test_a_429_without_retry_after_silences_until_the_reset() -> None:
    budget = Budget(Clock(), limit=1000)
    budget.learn(answer(429, x_ratelimit_reset="300"))
    assert wait(budget, urgent=True) == 300


def test_a_limit_that_bitbucket_names_counts_where_it_is_the_lower_one() -> None:
    budget = Budget(Clock(), limit=1000)
    budget.learn(answer(x_ratelimit_limit="10"))
    assert budget.left(0) == 10
    budget.learn(answer(x_ratelimit_limit="9" * 400))
    assert budget.left(0) == 1000
    for unread in ("", "0", "many"):
        budget.learn(answer(x_ratelimit_limit=unread))
        assert budget.left(0) == 1000


def test_a_limit_that_is_near_stops_only_what_can_wait() -> None:
    clock = Clock()
    budget = Budget(clock, limit=1000)
    budget.learn(answer(x_ratelimit_nearlimit="true", x_ratelimit_reset="40"))
    assert wait(budget) == 40
    assert wait(budget, urgent=True) is None
    clock.advance(40)
    assert wait(budget) is None


def test_who_waits_for_a_far_reset_looks_again_after_the_pause() -> None:
    budget = Budget(Clock(), limit=1000)
    budget.learn(answer(x_ratelimit_nearlimit="True", x_ratelimit_reset="3000"))
    assert wait(budget) == PAUSE
    assert budget.near_until == 3000


@pytest.mark.parametrize("reset", ["", "soon", "²", "-5"])
def test_a_near_limit_without_a_time_stops_for_the_pause(reset: str) -> None:
    budget = Budget(Clock(), limit=1000)
    budget.learn(answer(x_ratelimit_nearlimit="true", x_ratelimit_reset=reset))
    assert budget.near_until == PAUSE


def test_no_reset_stops_for_ever() -> None:
    budget = Budget(Clock(), limit=1000)
    budget.learn(answer(x_ratelimit_nearlimit="true", x_ratelimit_reset="9" * 400))
    assert budget.near_until == LONGEST_WAIT


@pytest.mark.parametrize("headers", [{}, {"x_ratelimit_nearlimit": "false", "x_ratelimit_reset": "40"}])
def test_an_answer_far_from_the_limit_stops_nothing(headers: dict[str, str]) -> None:
    budget = Budget(Clock(), limit=1000)
    budget.learn(answer(200, **headers))
    assert wait(budget) is None
