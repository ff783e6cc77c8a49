"""What each node sent to Bitbucket, for the budget that they share.

Bitbucket counts the requests of an OAuth consumer in an hour, and does not care which of our nodes sent them. Each node
writes down every few seconds what it sent itself, and reads what the others did.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

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


def prune(tx: sa.Connection, minute: int) -> int:
    """Delete what does not count any more when it is *minute*. Returns how many rows."""
    return tx.execute(sa.delete(requests).where(requests.c.minute <= minute - HOUR)).rowcount
