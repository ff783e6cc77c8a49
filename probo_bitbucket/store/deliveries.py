"""Deliveries: written down when they come in, decided one lane after the other."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from probo_bitbucket.model import Delivery, DeliveryState, Event, Ignored
from probo_bitbucket.store import happenings
from probo_bitbucket.store.schema import deliveries
from probo_bitbucket.store.sql import ANEW, Claims, Effort, Lease, done, first_of_lane, postponed


@frozen
class WaitingDelivery:
    """A delivery that is to be decided. *accepted* is why it was accepted before it was sent again, or empty."""

    id: int
    repository: str
    delivery: Delivery
    effort: Effort
    pull_request: int | None
    accepted: str


_RECORD = sa.insert(deliveries).returning(deliveries.c.id)


def record(tx: sa.Connection, delivery: Delivery, event: Event) -> int:
    """Write a delivery down, ignored ones with their reason. Returns its id."""
    repository = event.repository.full_name if event.repository else ""
    ignored = isinstance(event, Ignored)
    id = tx.scalar(
        _RECORD,
        {
            "received_at": delivery.received_at,
            "event_key": delivery.event_key,
            "hook_uuid": delivery.hook_uuid,
            "request_uuid": delivery.request_uuid,
            "attempt": delivery.attempt,
            "body": delivery.body,
            "repository": repository,
            "pull_request": event.number,
            "lane": f"{repository}#{event.number}",
            "state": DeliveryState.IGNORED if ignored else DeliveryState.WAITING,
            "pending": not ignored,
            "reason": event.reason if isinstance(event, Ignored) else "",
            "decided_at": delivery.received_at if ignored else None,
            "noise": isinstance(event, Ignored) and event.noise,
        },
    )
    return int(id)


_CLAIMS = Claims(deliveries, sa.select(deliveries).where(first_of_lane(deliveries, "id")).order_by(deliveries.c.id))


def claim_waiting(tx: sa.Connection, lease: Lease, limit: int, *, busy: Collection[str] = ()) -> list[WaitingDelivery]:
    """Lease up to *limit* deliveries that are due, each the oldest of its lane, oldest first.

    Those of the repositories named in *busy* are passed over.
    """
    return [_waiting(row) for row in _CLAIMS.take(tx, lease, limit, busy)]


def waiting(tx: sa.Connection, now: float, limit: int, *, busy: Collection[str] = ()) -> list[WaitingDelivery]:
    """The same deliveries for who decides them in this transaction, and needs no lease."""
    return [_waiting(row) for row in _CLAIMS.due(tx, now, limit, busy)]


def _waiting(row: sa.Row[Any]) -> WaitingDelivery:
    delivery = Delivery(row.event_key, row.body, row.received_at, row.hook_uuid, row.request_uuid, row.attempt)
    return WaitingDelivery(row.id, row.repository, delivery, Effort.of(row), row.pull_request, row.reason)


_UPDATE = sa.update(deliveries).where(deliveries.c.id == sa.bindparam("_id"))
_UPDATE_PENDING = _UPDATE.where(deliveries.c.pending)
_BUILD: Any = sa.func.coalesce(sa.bindparam("_build_id"), deliveries.c.build_id)  # one that it led to stays told
_DECIDE = _UPDATE_PENDING.values(**done(deliveries), build_id=_BUILD)


def decide(
    tx: sa.Connection, id: int, state: DeliveryState, reason: str, now: float, build_id: str | None = None
) -> None:
    """Write the decision on a delivery down, unless another node has decided it meanwhile.

    *build_id* is the build that it led to, or that was there already: the first of them.
    """
    _decide(tx, id, state, reason, now, build_id)


def let_stand(tx: sa.Connection, waiting: WaitingDelivery, why: str, now: float) -> None:
    """Let stand what was decided before a delivery was sent again: it asks for nothing more, and this is *why*."""
    if _decide(tx, waiting.id, DeliveryState.ACCEPTED, waiting.accepted, now):
        happenings.note(tx, "delivery", str(waiting.id), f"Nothing new: {why}", now)


def _decide(
    tx: sa.Connection, id: int, state: DeliveryState, reason: str, now: float, build_id: str | None = None
) -> bool:
    decision = {"state": state, "reason": reason, "_build_id": build_id, "decided_at": now}
    return bool(tx.execute(_DECIDE, {"_id": id, **decision}).rowcount)


def led_to(tx: sa.Connection, id: int, build_id: str) -> None:
    """Note the build that a delivery led to in the end, after it was decided."""
    tx.execute(_UPDATE, {"_id": id, "build_id": build_id})


def undecided(tx: sa.Connection, repository: str) -> set[int | None]:
    """The numbers of the pull requests of a repository of which there is news that is not decided yet."""
    waiting = (deliveries.c.repository == repository, deliveries.c.pending)
    return set(tx.scalars(sa.select(deliveries.c.pull_request).where(*waiting)))


def postpone(tx: sa.Connection, waiting: WaitingDelivery, *, due_at: float, error: str, now: float) -> None:
    """Put a delivery back, to be decided at *due_at*."""
    values = postponed(waiting.effort, due_at=due_at, error=error)
    if tx.execute(_UPDATE_PENDING, {"_id": waiting.id, **values}).rowcount:
        happenings.note(tx, "delivery", str(waiting.id), error, now)


def give_up(tx: sa.Connection, id: int, error: str, now: float) -> None:
    """Leave a delivery undecided, with its *error*, unless another node has decided it meanwhile."""
    if _decide(tx, id, DeliveryState.FAILED, error, now):
        happenings.note(tx, "delivery", str(id), happenings.given_up(error), now)


_DECISION = sa.select(*(deliveries.c[name] for name in ("state", "reason", "build_id", "decided_at")))


def send_again(tx: sa.Connection, id: int, now: float) -> None:
    """Have a delivery decided anew, as if it had just come in. What was decided before stays in its story.

    What one was accepted for stays with it, and the build: it may ask for nothing more.
    """
    old = tx.execute(_DECISION.where(deliveries.c.id == id)).one()
    if old.state != DeliveryState.FAILED:  # that it was given up on is there already
        built = f"build {old.build_id}" if old.build_id else ""
        words = ", ".join(filter(None, (f"Decided: {old.state}", old.reason, built)))
        happenings.note(tx, "delivery", str(id), words, old.decided_at)
    happenings.note(tx, "delivery", str(id), happenings.SENT_AGAIN, now)
    accepted = old.reason if old.state == DeliveryState.ACCEPTED else ""
    anew = {"state": DeliveryState.WAITING, "reason": accepted, "decided_at": None}
    tx.execute(_UPDATE, {"_id": id, **ANEW, **anew})


def prune(tx: sa.Connection, before: float, limit: int) -> int:
    """Delete up to *limit* decided deliveries received before a time. Returns how many."""
    old = sa.select(deliveries.c.id).where(deliveries.c.received_at < before, ~deliveries.c.pending).limit(limit)
    return tx.execute(sa.delete(deliveries).where(deliveries.c.id.in_(old))).rowcount
