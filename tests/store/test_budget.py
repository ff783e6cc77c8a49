"""The requests that nodes count together."""

from __future__ import annotations

import sqlalchemy as sa

from probo_bitbucket.store import budget


def test_a_node_learns_what_the_others_sent_for_the_same_consumer(tx: sa.Connection) -> None:
    budget.record(tx, "acme", "north", {100: 5, 101: 7})
    budget.record(tx, "acme", "south", {101: 20})
    budget.record(tx, "other", "south", {101: 400})
    assert budget.spent_elsewhere(tx, "acme", "north", 101) == 20
    assert budget.spent_elsewhere(tx, "acme", "south", 101) == 12
    assert budget.spent_elsewhere(tx, "acme", "started again", 101) == 32


def test_counts_are_totals_that_can_be_written_again(tx: sa.Connection) -> None:
    for sent in (3, 3, 9):
        budget.record(tx, "acme", "north", {100: sent})
    assert budget.spent_elsewhere(tx, "acme", "south", 100) == 9


def test_only_the_last_sixty_minutes_count(tx: sa.Connection) -> None:
    budget.record(tx, "acme", "north", {100: 1, 101: 10})
    assert budget.spent_elsewhere(tx, "acme", "south", 159) == 11
    assert budget.spent_elsewhere(tx, "acme", "south", 160) == 10
    assert budget.spent_elsewhere(tx, "acme", "south", 161) == 0


def test_pruning_deletes_what_does_not_count_any_more(tx: sa.Connection) -> None:
    budget.record(tx, "acme", "north", {100: 1, 101: 10})
    assert budget.prune(tx, 9600.0, 160) == 1
    assert budget.spent_elsewhere(tx, "acme", "south", 160) == 10


def test_the_latest_time_of_each_pause_counts_until_it_is_over(tx: sa.Connection) -> None:
    budget.pause(tx, "acme", 6000.0, 0.0)
    budget.pause(tx, "acme", 5000.0, 7000.0)
    budget.prune(tx, 6600.0, 110)
    assert budget.pauses(tx, "acme") == (6000.0, 7000.0)
    budget.prune(tx, 7001.0, 117)
    assert budget.pauses(tx, "acme") == (0.0, 0.0)
