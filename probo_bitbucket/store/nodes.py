"""Over all kinds of work: what one node has in hand, and what waits."""

from __future__ import annotations

import sqlalchemy as sa

from probo_bitbucket.store.schema import builds, chains, deliveries, statuses
from probo_bitbucket.store.sql import LEASE, Lease

_LEASED = (deliveries, builds, statuses)


def renew(tx: sa.Connection, lease: Lease) -> None:
    """Keep what this node has in hand."""
    for table in _LEASED:
        mine = sa.and_(table.c.leased_by == lease.node, table.c.leased_until > lease.now)
        tx.execute(sa.update(table).where(mine).values(leased_until=lease.now + LEASE))


def release(tx: sa.Connection, node: str) -> None:
    """Let go of all that this node has in hand."""
    for table in (*_LEASED, chains):
        tx.execute(sa.update(table).where(table.c.leased_by == node).values(leased_by="", leased_until=0.0))


def release_all(tx: sa.Connection) -> None:
    """Let go of what a process left in hand that is no more: for a store that only this process uses."""
    for table in (*_LEASED, chains):
        tx.execute(sa.update(table).where(table.c.leased_by != "").values(leased_by="", leased_until=0.0))


def hasten(tx: sa.Connection) -> None:
    """Make all that waits for its next try due now."""
    for table in _LEASED:
        tx.execute(sa.update(table).where(table.c.pending, table.c.due_at > 0).values(due_at=0.0))
