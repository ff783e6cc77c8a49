"""Comments: what our one comment on each pull request shall say, and which one it is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from attrs import evolve, frozen

from probo_bitbucket.model import Comment
from probo_bitbucket.store.columns import dump, load
from probo_bitbucket.store.schema import builds, comments
from probo_bitbucket.store.sql import ANEW, Claims, Effort, Lease, LeaseLost, done, insert, postponed


@frozen
class StoredComment:
    """A desired comment, its version, and Bitbucket's id of it (None before there is one)."""

    build_id: str
    desired: Comment
    number: int | None
    version: int
    milestone: int
    refused_for: str
    pending: bool
    due_at: float
    effort: Effort
    origin: str  # what asked for the build: `delivery 17`
    leased_by: str = ""
    claimed_at: float = 0.0


@frozen
class CommentWish:
    """A new desired comment. One that is not *worth_writing* is written with the next that is."""

    build_id: str
    comment: Comment
    milestone: int
    due_at: float
    worth_writing: bool


_ORIGIN = sa.select(builds.c.origin).where(builds.c.id == comments.c.build_id).scalar_subquery().label("origin")
_WITH_ORIGIN = sa.select(comments, _ORIGIN)


def find(tx: sa.Connection, repository: str, pull_request: int) -> StoredComment | None:
    """What is stored of a pull request; locked until the transaction ends."""
    query = _WITH_ORIGIN.where(_on(repository, pull_request)).with_for_update()
    row = tx.execute(query).first()
    return None if row is None else _stored(row)


def desire(tx: sa.Connection, wish: CommentWish, previous: StoredComment | None, now: float) -> None:
    """Make *wish* what the comment shall say, in place of *previous*."""
    comment = wish.comment
    values: dict[str, Any] = {
        "build_id": wish.build_id,
        "desired": dump(comment),
        "milestone": wish.milestone,
        "changed_at": now,
    }
    if previous is None:
        key = {"repository": comment.repository.full_name, "pull_request": comment.pull_request}
        fresh = {"version": 1, "pending": True, "due_at": wish.due_at}
        tx.execute(insert(tx, comments).values(**key, **values, **fresh))
        return
    if wish.worth_writing and previous.refused_for != wish.build_id:
        waits = previous.pending and previous.due_at > now
        due_at = previous.due_at if waits else wish.due_at
        values |= {"version": previous.version + 1, "pending": True, "due_at": due_at}
    tx.execute(sa.update(comments).where(_of(previous)).values(**values))


_CLAIMS = Claims(comments, _WITH_ORIGIN.order_by(comments.c.due_at))


def claim_pending(tx: sa.Connection, lease: Lease, limit: int, *, busy: Collection[str] = ()) -> list[StoredComment]:
    """Lease up to *limit* comments that Bitbucket does not have yet, none of the repositories named in *busy*."""
    return [_stored(row, lease) for row in _CLAIMS.take(tx, lease, limit, busy)]


def keep(tx: sa.Connection, stored: StoredComment, now: float) -> StoredComment:
    """Claim a comment anew that is still in the hands that *stored* says. Raises LeaseLost where it is not."""
    held = Lease(stored.leased_by, now)
    still = (_of(stored), comments.c.leased_by == held.holder)
    if not tx.execute(sa.update(comments).where(*still).values(**held.values)).rowcount:
        raise LeaseLost(f"the comment on {stored.desired.repository.full_name} is in other hands")
    return evolve(stored, claimed_at=now)


def written(tx: sa.Connection, stored: StoredComment, number: int) -> None:
    """Bitbucket has the version that *stored* has, as comment *number*. A newer one stays to be written."""
    values = {**done(comments), "number": number, "pending": comments.c.version > stored.version}
    tx.execute(sa.update(comments).where(_of(stored)).values(**values))


def postpone(tx: sa.Connection, stored: StoredComment, *, due_at: float, error: str) -> None:
    values = postponed(stored.effort, due_at=due_at, error=error)
    tx.execute(sa.update(comments).where(_of(stored), comments.c.pending).values(**values))


def refuse(tx: sa.Connection, stored: StoredComment, error: str) -> None:
    """Write none until there is another build. Whether there still is a comment has to be looked up then."""
    other_build = comments.c.build_id != stored.build_id
    values = {**done(comments), "pending": other_build, "number": None, "last_error": error}
    tx.execute(sa.update(comments).where(_of(stored)).values(**values, refused_for=stored.build_id))


def send_again(tx: sa.Connection, repository: str, pull_request: int) -> None:
    """Have a comment written that was given up on."""
    given_up = (_on(repository, pull_request), ~comments.c.pending, comments.c.last_error != "")
    tx.execute(sa.update(comments).where(*given_up).values(**ANEW, refused_for=""))


def prune(tx: sa.Connection, before: float, limit: int) -> int:
    """Delete up to *limit* comments that were written and last changed before a time. Returns how many."""
    fields = (comments.c.repository, comments.c.pull_request)
    old = sa.select(*fields).where(comments.c.changed_at < before, ~comments.c.pending).limit(limit)
    return tx.execute(sa.delete(comments).where(sa.tuple_(*fields).in_(old))).rowcount


def _of(stored: StoredComment) -> sa.ColumnElement[bool]:
    return _on(stored.desired.repository.full_name, stored.desired.pull_request)


def _on(repository: str, pull_request: int) -> sa.ColumnElement[bool]:
    return sa.and_(comments.c.repository == repository, comments.c.pull_request == pull_request)


def _stored(row: sa.Row[Any], lease: Lease | None = None) -> StoredComment:
    return StoredComment(
        build_id=row.build_id,
        desired=load(row.desired, Comment),
        number=row.number,
        version=row.version,
        milestone=row.milestone,
        refused_for=row.refused_for,
        pending=row.pending,
        due_at=row.due_at,
        effort=Effort.of(row),
        origin=row.origin or "",
        leased_by=lease.holder if lease else "",
        claimed_at=lease.now if lease else 0.0,
    )
