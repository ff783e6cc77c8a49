"""Consumers: key and secret of the OAuth consumers that were set up while the daemon ran, by account."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from attrs import asdict, field, frozen

from probo_bitbucket.store.schema import consumers
from probo_bitbucket.store.sql import insert


@frozen
class Consumer:
    """*name* is that of the account, and of the chain that the consumer's tokens are kept in."""

    name: str
    key: str
    secret: str = field(repr=False)
    set_up_at: float


def by_account(tx: sa.Connection) -> dict[str, Consumer]:
    """All of them, by the names of their accounts."""
    rows = tx.execute(sa.select(consumers))
    return {row.name: Consumer(row.name, row.key, row.secret, row.set_up_at) for row in rows}


def save(tx: sa.Connection, consumer: Consumer) -> None:
    """Keep *consumer* in place of the one that the account had."""
    values: dict[str, Any] = asdict(consumer)
    tx.execute(insert(tx, consumers).values(values).on_conflict_do_update(index_elements=["name"], set_=values))


def forget(tx: sa.Connection, name: str) -> None:
    tx.execute(sa.delete(consumers).where(consumers.c.name == name))
