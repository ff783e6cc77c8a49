"""Webhooks that this handler made or mended, and the secrets that it gave them.

Secrets come in generations. One that is superseded stays valid until every webhook has a later one.
"""

from __future__ import annotations

import secrets as random

import sqlalchemy as sa
from attrs import frozen

from probo_bitbucket.store.schema import builds, deliveries, hook_secrets, hooks
from probo_bitbucket.store.sql import insert

GRACE = 3600.0  # seconds for deliveries on their way, signed with the secret that a webhook had before


@frozen
class KnownHook:
    """A webhook, by its place (`workspace` or `workspace/slug`), and the generation of the secret that it has."""

    place: str
    uuid: str
    generation: int
    changed_at: float


def secrets(tx: sa.Connection) -> tuple[str, ...]:
    """All secrets that a delivery may be signed with, the newest first."""
    return tuple(tx.scalars(sa.select(hook_secrets.c.secret).order_by(hook_secrets.c.generation.desc())))


def newest_secret(tx: sa.Connection, now: float) -> tuple[int, str]:
    """The secret for webhooks to come, with its generation: made where there is none yet."""
    newest = sa.select(hook_secrets).order_by(hook_secrets.c.generation.desc()).limit(1)
    row = tx.execute(newest).first()
    return (row.generation, row.secret) if row else new_secret(tx, now)


def new_secret(tx: sa.Connection, now: float) -> tuple[int, str]:
    """Begin a generation."""
    secret = random.token_urlsafe(32)
    made = sa.insert(hook_secrets).values(secret=secret, made_at=now).returning(hook_secrets.c.generation)
    return int(tx.scalar(made) or 0), secret


def forget_unused(tx: sa.Connection, made_before: float = float("inf")) -> int:
    """Forget all secrets made before a time where no webhook made here is left. Returns how many.

    While there is a secret unsigned deliveries are refused: one that Bitbucket never learnt would shut everybody out.
    """
    unused = sa.delete(hook_secrets).where(~sa.exists(sa.select(hooks.c.place)), hook_secrets.c.made_at < made_before)
    return tx.execute(unused).rowcount


def prune(tx: sa.Connection, now: float) -> int:
    """Forget the secrets that no webhook has any more. Returns how many."""
    fresh = sa.select(hooks.c.place).where(hooks.c.changed_at > now - GRACE)
    if tx.execute(fresh.limit(1)).first():
        return 0
    oldest = sa.select(sa.func.min(hooks.c.generation)).scalar_subquery()
    superseded = tx.execute(sa.delete(hook_secrets).where(hook_secrets.c.generation < oldest)).rowcount
    return superseded + forget_unused(tx, now - GRACE)


def keep(tx: sa.Connection, hook: KnownHook, secret: str) -> None:
    """Remember what webhook a place has now, and its secret, which somebody may have taken for unused meanwhile."""
    known_secret = {"generation": hook.generation, "secret": secret, "made_at": hook.changed_at}
    tx.execute(insert(tx, hook_secrets).values(**known_secret).on_conflict_do_nothing())
    values = {"uuid": hook.uuid, "generation": hook.generation, "changed_at": hook.changed_at}
    made = insert(tx, hooks).values(place=hook.place, **values)
    tx.execute(made.on_conflict_do_update(index_elements=["place"], set_=values))


def forget(tx: sa.Connection, place: str) -> None:
    tx.execute(sa.delete(hooks).where(hooks.c.place == place))


def known(tx: sa.Connection) -> dict[str, KnownHook]:
    """All that are remembered, by place."""
    rows = tx.execute(sa.select(hooks).order_by(hooks.c.place))
    return {row.place: KnownHook(row.place, row.uuid, row.generation, row.changed_at) for row in rows}


def last_delivery(tx: sa.Connection, uuid: str) -> float | None:
    """When a delivery of a webhook was last written down."""
    mine = deliveries.c.hook_uuid == uuid
    return tx.scalar(sa.select(deliveries.c.received_at).where(mine).order_by(deliveries.c.id.desc()).limit(1))


def repositories(tx: sa.Connection) -> list[str]:
    """The full names of the repositories that had a build."""
    return list(tx.scalars(sa.select(builds.c.repository).distinct().order_by(builds.c.repository)))


def newest_delivery(tx: sa.Connection) -> int:
    """The id of the newest delivery; 0 where there is none."""
    return tx.scalar(sa.select(sa.func.max(deliveries.c.id))) or 0


def bodies_after(tx: sa.Connection, id: int, event_key: str) -> list[bytes]:
    """The bodies of the deliveries of an event that were written down after the delivery *id*."""
    query = sa.select(deliveries.c.body).where(deliveries.c.id > id, deliveries.c.event_key == event_key)
    return list(tx.scalars(query))


def arrived_after(tx: sa.Connection, id: int, request_uuid: str) -> bool:
    """Whether a request that names itself so was written down after the delivery *id*."""
    mine = sa.and_(deliveries.c.id > id, deliveries.c.request_uuid == request_uuid)
    return tx.execute(sa.select(deliveries.c.id).where(mine).limit(1)).first() is not None
