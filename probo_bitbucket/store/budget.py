"""What each node sent to Bitbucket, for the budget that they share.

Bitbucket counts the requests of an OAuth consumer in an hour, and does not care which of our nodes sent them. Each node
writes down every few seconds what it sent itself, and reads what the others did.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from probo_bitbucket.store.schema import pauses as pauses_table
from probo_bitbucket.store.schema import requests
from probo_bitbucket.store.sql import insert

HOUR = 60  # minutes


def record(tx: sa.Connection, consumer: str, node: str, sent: Mapping[int, int]) -> None:
    """Write down how many requests *node* sent in all in each of some minutes since the epoch.

    These are totals: to write the same once more changes nothing.
    """
    for minute, count in sorted(sent.items()):
        row = insert(tx, requests).values(consumer=consumer, node=node, minute=minute, sent=count)
        tx.execute(
            row.on_conflict_do_update(index_elements=["consumer", "minute", "node"], set_={"sent": row.excluded.sent})
        )


def spent_elsewhere(tx: sa.Connection, consumer: str, node: str, minute: int) -> int:
    """How many requests all nodes but *node* sent in the HOUR that ends with *minute*.

    That includes what an earlier process sent on the same machine: a restart gives no new budget.
    """
    others = sa.select(sa.func.sum(requests.c.sent)).where(
        requests.c.consumer == consumer, requests.c.minute > minute - HOUR, requests.c.node != node
    )
    return int(tx.scalar(others) or 0)


def pause(tx: sa.Connection, consumer: str, silent_until: float, near_until: float) -> None:
    """Write down until when Bitbucket takes nothing, and until when only what cannot wait. The latest times count."""
    row = insert(tx, pauses_table).values(consumer=consumer, silent_until=silent_until, near_until=near_until)
    later = {
        name: sa.case((row.excluded[name] > column, row.excluded[name]), else_=column)
        for name, column in (("silent_until", pauses_table.c.silent_until), ("near_until", pauses_table.c.near_until))
    }
    tx.execute(row.on_conflict_do_update(index_elements=["consumer"], set_=later))


def pauses(tx: sa.Connection, consumer: str) -> tuple[float, float]:
    """What any node wrote down last of both times."""
    of = pauses_table.c
    row = tx.execute(sa.select(of.silent_until, of.near_until).where(of.consumer == consumer)).first()
    return (0.0, 0.0) if row is None else (row.silent_until, row.near_until)


def prune(tx: sa.Connection, now: float, minute: int) -> int:
    """Delete what does not count any more when it is *now*, in *minute*. Returns how many rows."""
    tx.execute(sa.delete(pauses_table).where(pauses_table.c.silent_until < now, pauses_table.c.near_until < now))
    return tx.execute(sa.delete(requests).where(requests.c.minute <= minute - HOUR)).rowcount
