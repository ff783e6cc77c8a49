"""Nodes that share a consumer share its budget of requests."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.web.http_headers import Headers

from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.errors import RateLimited
from probo_bitbucket.flow.work.sharing import Sharing
from probo_bitbucket.upstream import Answer
from tests.immediate import ImmediateStore, run


def node(name: str, store: ImmediateStore, clock: Clock) -> tuple[Budget, Sharing]:
    budget = Budget(clock, limit=10)
    return budget, Sharing(store, clock, name, {"consumer": budget})


def test_what_another_node_spent_is_not_left_to_this_one(store: ImmediateStore, clock: Clock) -> None:
    here, of_here = node("here", store, clock)
    there, of_there = node("there", store, clock)
    for _ in range(7):
        there.spend(urgent=True)
    for sharing in (of_there, of_here):
        run(sharing.round())
    assert here.left(clock.seconds()) == 3
    assert there.left(clock.seconds()) == 3


def test_a_restart_gives_no_new_budget(store: ImmediateStore, clock: Clock) -> None:
    before, of_before = node("first process", store, clock)
    for _ in range(10):
        before.spend(urgent=True)
    run(of_before.round())
    after, of_after = node("second process", store, clock)
    run(of_after.round())
    with pytest.raises(RateLimited):
        after.spend(urgent=True)


def test_what_was_spent_is_free_again_after_an_hour(store: ImmediateStore, clock: Clock) -> None:
    there, of_there = node("there", store, clock)
    there.spend(urgent=True)
    run(of_there.round())
    clock.advance(3660)
    here, of_here = node("here", store, clock)
    run(of_here.round())
    assert here.left(clock.seconds()) == 10


def test_rounds_without_requests_count_nothing_twice(store: ImmediateStore, clock: Clock) -> None:
    there, of_there = node("there", store, clock)
    there.spend(urgent=True)
    for _ in range(3):
        run(of_there.round())
        clock.advance(5)
    here, of_here = node("here", store, clock)
    run(of_here.round())
    assert here.left(clock.seconds()) == 9


def test_a_node_and_a_restarted_one_are_silent_as_long_as_bitbucket_asked_another(
    store: ImmediateStore, clock: Clock
) -> None:
    there, of_there = node("there", store, clock)
    there.learn(Answer("Bitbucket", 429, Headers({"retry-after": ["300"]}), b""))
    run(of_there.round())
    clock.advance(5)
    here, of_here = node("here", store, clock)
    run(of_here.round())
    with pytest.raises(RateLimited) as caught:
        here.spend(urgent=True)
    assert caught.value.retry_after == 295
    clock.advance(295)
    run(of_here.round())
    here.spend(urgent=True)


def test_the_longest_silence_counts(store: ImmediateStore, clock: Clock) -> None:
    now = clock.seconds()
    for seconds in ("300", "30"):
        there, of_there = node(seconds, store, clock)
        there.learn(Answer("Bitbucket", 429, Headers({"retry-after": [seconds]}), b""))
        run(of_there.round())
        assert there.silent_until == now + 300


def test_a_limit_that_is_near_is_near_for_all(store: ImmediateStore, clock: Clock) -> None:
    there, of_there = node("there", store, clock)
    headers = Headers({"x-ratelimit-nearlimit": ["true"], "x-ratelimit-reset": ["40"]})
    there.learn(Answer("Bitbucket", 200, headers, b""))
    run(of_there.round())
    here, of_here = node("here", store, clock)
    run(of_here.round())
    here.spend(urgent=True)
    with pytest.raises(RateLimited):
        here.spend(urgent=False)
