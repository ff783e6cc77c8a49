"""Forwarded: updates that another provider's handler is to get, each as it came in."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from probo_bitbucket.model import ForwardedUpdate
from probo_bitbucket.store.schema import forwarded
from probo_bitbucket.store.sql import ANEW, Claims, Effort, Lease, done, first_of_lane, postponed


@frozen
class StoredUpdate:
    """An update that is to be passed on. Ids count up in the order in which updates came in."""

    id: int
    lane: str
    update: ForwardedUpdate
    effort: Effort


def record(tx: sa.Connection, update: ForwardedUpdate) -> None:
    """Write an update down."""
    values = {
        "provider": update.provider,
        "build_id": update.build_id,
        "context": update.context,
        "repository": update.repository,
        "path": update.path,
        "content_type": update.content_type,
        "body": update.body,
        "received_at": update.received_at,
        "trail": update.trail,
        "lane": _lane(update),
        "pending": True,
    }
    tx.execute(sa.insert(forwarded).values(**values))


def _lane(update: ForwardedUpdate) -> str:
    """A digest: a context can be longer than what an index takes."""
    words = (update.provider, update.build_id, update.context)
    return hashlib.sha256("\0".join(words).encode(errors="surrogatepass")).hexdigest()


_IN_ORDER = sa.select(forwarded).where(first_of_lane(forwarded, "id")).order_by(forwarded.c.id)
_CLAIMS = Claims(forwarded, _IN_ORDER, owner="provider")


def claim_pending(tx: sa.Connection, lease: Lease, limit: int, *, busy: Collection[str] = ()) -> list[StoredUpdate]:
    """Lease up to *limit* updates that are due, each the oldest of its lane, oldest first.

    Those of the providers named in *busy* are passed over.
    """
    return [_stored(row) for row in _CLAIMS.take(tx, lease, limit, busy)]


def _stored(row: sa.Row[Any]) -> StoredUpdate:
    update = ForwardedUpdate(
        row.provider,
        row.build_id,
        row.context,
        row.repository,
        row.path,
        row.content_type,
        row.body,
        row.received_at,
        row.trail,
    )
    return StoredUpdate(row.id, row.lane, update, Effort.of(row))


def passed_on(tx: sa.Connection, stored: StoredUpdate) -> None:
    """The handler has the update. What was given up on before it in its lane is no longer news, and must not follow."""
    overtaken = sa.and_(forwarded.c.lane == stored.lane, forwarded.c.id < stored.id, forwarded.c.failed)
    which = sa.or_(forwarded.c.id == stored.id, overtaken)
    tx.execute(sa.update(forwarded).where(which).values({**done(forwarded), "failed": False, "body": b""}))


def postpone(tx: sa.Connection, stored: StoredUpdate, *, due_at: float, error: str) -> None:
    """Put an update back, to be passed on at *due_at*, unless another node has done so meanwhile."""
    values = postponed(stored.effort, due_at=due_at, error=error)
    tx.execute(sa.update(forwarded).where(_pending(stored)).values(**values))


def give_up(tx: sa.Connection, stored: StoredUpdate, error: str) -> None:
    """Leave an update where it is. It stays visible with its *error*."""
    values = {**done(forwarded), "failed": True, "last_error": error}
    tx.execute(sa.update(forwarded).where(_pending(stored)).values(**values))


def _pending(stored: StoredUpdate) -> sa.ColumnElement[bool]:
    return sa.and_(forwarded.c.id == stored.id, forwarded.c.pending)


def send_again(tx: sa.Connection, build_id: str) -> None:
    """Pass on anew, in their order, what was given up on of a build and is not emptied yet."""
    mine = sa.and_(forwarded.c.build_id == build_id, forwarded.c.failed, forwarded.c.body != b"")
    tx.execute(sa.update(forwarded).where(mine).values(**ANEW, failed=False))


def provider_of(tx: sa.Connection, repository: str) -> str | None:
    """Which provider has *repository*, by the latest update of it that is still known."""
    query = sa.select(forwarded.c.provider).where(forwarded.c.repository == repository)
    return tx.scalar(query.order_by(forwarded.c.id.desc()).limit(1))


def empty(tx: sa.Connection, before: float, limit: int) -> int:
    """Delete the bodies of up to *limit* updates that came in before a time and were given up on. Returns how many.

    There are tokens of other providers in them.
    """
    full = (forwarded.c.failed, forwarded.c.received_at < before, forwarded.c.body != b"")
    old = sa.select(forwarded.c.id).where(*full).limit(limit)
    error = forwarded.c.last_error + " (too old to be sent again)"
    which = forwarded.c.id.in_(old)
    return tx.execute(sa.update(forwarded).where(which).values(body=b"", last_error=error)).rowcount


def prune(tx: sa.Connection, before: float, limit: int) -> int:
    """Delete up to *limit* updates that came in before a time and are not to be passed on. Returns how many."""
    old = sa.select(forwarded.c.id).where(forwarded.c.received_at < before, ~forwarded.c.pending).limit(limit)
    return tx.execute(sa.delete(forwarded).where(forwarded.c.id.in_(old))).rowcount
