"""Hand-ons: chains of whose renewed tokens a coordinator is to be told."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from attrs import field, frozen

from probo_bitbucket.store import credentials
from probo_bitbucket.store.credentials import Chain
from probo_bitbucket.store.schema import hand_ons
from probo_bitbucket.store.sql import ANEW, Claims, Effort, Lease, done, insert, postponed


@frozen
class HandOn:
    """The newest pair of a chain, and *held*: the refresh token that the coordinator has in its place."""

    chain: Chain
    held: str = field(repr=False)
    effort: Effort


def note(tx: sa.Connection, previous: Chain, newest: Chain) -> None:
    """A chain has a newer pair. The coordinator has what it was told last, or else *previous*."""
    fresh = {"chain": newest.name, "held": previous.refresh_token, "renewed_at": newest.refreshed_at, "pending": True}
    since = sa.case((hand_ons.c.pending, hand_ons.c.renewed_at), else_=newest.refreshed_at)
    again = {"index_elements": ["chain"], "set_": {**ANEW, "renewed_at": since}}
    tx.execute(insert(tx, hand_ons).values(**fresh).on_conflict_do_update(**again))


_CLAIMS = Claims(hand_ons, sa.select(hand_ons).order_by(hand_ons.c.due_at), owner="chain")


def claim_pending(tx: sa.Connection, lease: Lease, limit: int, *, busy: Collection[str] = ()) -> list[HandOn]:
    """Lease up to *limit* chains that the coordinator is to be told of, but none of those named in *busy*."""
    rows = {row.chain: row for row in _CLAIMS.take(tx, lease, limit, busy)}
    chains = {name: credentials.find(tx, name) for name in rows}
    return [HandOn(chain, rows[name].held, Effort.of(rows[name])) for name, chain in chains.items() if chain]


def taken(tx: sa.Connection, told: HandOn) -> None:
    """The coordinator has the pair that it was told of. A newer one is still to be handed on."""
    newest = credentials.find(tx, told.chain.name)
    newer = newest is not None and newest.access_token != told.chain.access_token
    values = {**done(hand_ons), "held": told.chain.refresh_token, "pending": newer}
    tx.execute(sa.update(hand_ons).where(hand_ons.c.chain == told.chain.name).values(**values))


def postpone(tx: sa.Connection, told: HandOn, *, due_at: float, error: str) -> None:
    values = postponed(told.effort, due_at=due_at, error=error)
    tx.execute(sa.update(hand_ons).where(_pending(told)).values(**values))


def give_up(tx: sa.Connection, told: HandOn, error: str) -> None:
    """Leave the coordinator with what it has, until the next renewal."""
    values = {**done(hand_ons), "last_error": error}
    tx.execute(sa.update(hand_ons).where(_pending(told)).values(**values))


def send_again(tx: sa.Connection, chain: str) -> None:
    """Have the coordinator told of a pair that was given up on."""
    given_up = (hand_ons.c.chain == chain, ~hand_ons.c.pending, hand_ons.c.last_error != "")
    tx.execute(sa.update(hand_ons).where(*given_up).values(**ANEW))


def _pending(told: HandOn) -> sa.ColumnElement[bool]:
    return sa.and_(hand_ons.c.chain == told.chain.name, hand_ons.c.pending)
