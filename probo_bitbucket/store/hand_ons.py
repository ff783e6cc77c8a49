"""Hand-ons: chains of whose renewed tokens a coordinator is to be told."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from attrs import field, frozen

from probo_bitbucket.logs import hide
from probo_bitbucket.store import credentials
from probo_bitbucket.store.credentials import Chain
from probo_bitbucket.store.schema import hand_ons
from probo_bitbucket.store.sql import ANEW, Claims, Effort, Lease, done, insert, postponed


@frozen
class HandOn:
    """The newest pair of a chain, and *held*: the refresh token that the coordinator has in its place.

    *holder* is the name of one of those who share the chain.
    """

    chain: Chain
    holder: str
    held: str = field(repr=False)
    effort: Effort

    def __attrs_post_init__(self) -> None:
        hide(self.held, of=self.chain.origin)


def note(tx: sa.Connection, previous: Chain, newest: Chain) -> None:
    """A chain has a newer pair. The coordinator has what it was told last, or else *previous*."""
    fresh = {"chain": newest.origin, "held": previous.refresh_token, "renewed_at": newest.refreshed_at, "pending": True}
    since = sa.case((hand_ons.c.pending, hand_ons.c.renewed_at), else_=newest.refreshed_at)
    again = {"index_elements": ["chain"], "set_": {**ANEW, "renewed_at": since}}
    tx.execute(insert(tx, hand_ons).values(**fresh).on_conflict_do_update(**again))


_CLAIMS = Claims(hand_ons, sa.select(hand_ons).order_by(hand_ons.c.due_at), owner="chain")


def claim_pending(
    tx: sa.Connection, lease: Lease, limit: int, *, holders: str = "", busy: Collection[str] = ()
) -> list[HandOn]:
    """Lease up to *limit* chains that the coordinator is to be told of, but none of those named in *busy*.

    The names of their holders begin with *holders*. Of a chain that none holds any more nothing is to be told.
    """
    rows = _CLAIMS.take(tx, lease, limit, busy)
    found = [_hand_on(tx, row, holders) for row in rows]
    unheld = [row.chain for row, job in zip(rows, found, strict=True) if job is None]
    if unheld:
        tx.execute(sa.update(hand_ons).where(hand_ons.c.chain.in_(unheld)).values(**done(hand_ons)))
    return [job for job in found if job is not None]


def _hand_on(tx: sa.Connection, row: sa.Row[Any], holders: str) -> HandOn | None:
    chain, holder = credentials.find(tx, row.chain), credentials.holder(tx, row.chain, holders)
    return HandOn(chain, holder, row.held, Effort.of(row)) if chain and holder else None


def taken(tx: sa.Connection, told: HandOn) -> None:
    """The coordinator has the pair that it was told of. A newer one is still to be handed on."""
    newest = credentials.find(tx, told.chain.origin)
    newer = newest is not None and newest.access_token != told.chain.access_token
    values = {**done(hand_ons), "held": told.chain.refresh_token, "pending": newer}
    tx.execute(sa.update(hand_ons).where(hand_ons.c.chain == told.chain.origin).values(**values))


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
    return sa.and_(hand_ons.c.chain == told.chain.origin, hand_ons.c.pending)
