"""The values that a store has once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa

from probo_bitbucket.store import Engine, house


def test_a_secret_stays_and_differs_from_others(tx: sa.Connection) -> None:
    first = house.secret(tx, "one")
    assert house.secret(tx, "one") == first
    assert house.secret(tx, "two") != first
    assert len(first) == 64


def test_nodes_that_ask_at_once_get_the_same_secret(engine: Engine, url: str) -> None:
    others = [Engine(url) for _ in range(3)]
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda other: other.run([lambda tx: house.secret(tx, "one")])[0], others))
    assert len(set(found)) == 1
    for other in others:
        other.close()
