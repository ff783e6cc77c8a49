"""The few values that a store has once, such as the key that handles are signed with."""

from __future__ import annotations

import secrets

import sqlalchemy as sa

from probo_bitbucket.store.schema import house
from probo_bitbucket.store.sql import insert


def secret(tx: sa.Connection, name: str) -> str:
    """A random value that stays the same for the life of the store, on all nodes."""
    made = insert(tx, house).values(name=name, value=secrets.token_hex(32)).on_conflict_do_nothing()
    tx.execute(made)
    return str(tx.scalar(sa.select(house.c.value).where(house.c.name == name)))


def replace(tx: sa.Connection, name: str, value: str) -> str | None:
    """Keep *value* from now on, and return what was kept before."""
    before = tx.scalar(sa.select(house.c.value).where(house.c.name == name))
    kept = insert(tx, house).values(name=name, value=value)
    tx.execute(kept.on_conflict_do_update(index_elements=["name"], set_={"value": value}))
    return before
