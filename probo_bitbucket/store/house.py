"""The few values that a store has once, such as the key that handles are signed with."""

from __future__ import annotations

import secrets

import sqlalchemy as sa

from probo_bitbucket.store.schema import house
from probo_bitbucket.store.sql import insert

ROOM = 256 * 1024  # bytes; Bitbucket sends no larger deliveries


def secret(tx: sa.Connection, name: str) -> str:
    """A random value that stays the same for the life of the store, on all nodes."""
    made = insert(tx, house).values(name=name, value=secrets.token_hex(32)).on_conflict_do_nothing()
    tx.execute(made)
    return str(tx.scalar(sa.select(house.c.value).where(house.c.name == name)))


def try_room(tx: sa.Connection) -> None:
    """Write as much as the largest delivery has, and take it away again: the database tells where it could not."""
    name = secrets.token_hex(16)
    tx.execute(sa.insert(house).values(name=name, value="x" * ROOM))
    tx.execute(sa.delete(house).where(house.c.name == name))


def replace(tx: sa.Connection, name: str, value: str) -> str | None:
    """Keep *value* from now on, and return what was kept before."""
    before = tx.scalar(sa.select(house.c.value).where(house.c.name == name))
    kept = insert(tx, house).values(name=name, value=value)
    tx.execute(kept.on_conflict_do_update(index_elements=["name"], set_={"value": value}))
    return before
