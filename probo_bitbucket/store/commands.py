"""Commands: what people asked for in comments, each carried out once and answered once."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from attrs import frozen

from probo_bitbucket.model import Command, Commented
from probo_bitbucket.store.columns import dump, load
from probo_bitbucket.store.schema import commands
from probo_bitbucket.store.sql import ANEW, Claims, Effort, Lease, done, first_of_lane, insert, postponed


@frozen
class StoredCommand:
    """A command, the comment that it was written in, and the *origin* that told of it: `delivery 17`.

    *answer* is None before it is decided.
    """

    command: Command
    comment: Commented
    origin: str
    answer: str | None
    effort: Effort


def record(tx: sa.Connection, command: Command, comment: Commented, origin: str, now: float) -> bool:
    """Write a command down. Returns whether it is new: Bitbucket can send the same comment again."""
    made = insert(tx, commands).values(
        repository=comment.repository.full_name,
        pull_request=comment.number,
        number=comment.comment_id,
        author=comment.author_id,
        lane=f"{comment.repository.full_name}#{comment.number}",
        command=command,
        comment=dump(comment),
        origin=origin,
        created_at=now,
        pending=True,
    )
    return tx.scalar(made.on_conflict_do_nothing().returning(commands.c.number)) is not None


def count_since(tx: sa.Connection, repository: str, author: str, since: float) -> int:
    """How many commands somebody gave in a repository since a time."""
    given = (commands.c.repository == repository, commands.c.author == author, commands.c.created_at > since)
    return int(tx.scalar(sa.select(sa.func.count()).where(*given)) or 0)


_IN_ORDER = sa.select(commands).where(first_of_lane(commands, "number")).order_by(commands.c.number)
_CLAIMS = Claims(commands, _IN_ORDER)


def claim_pending(tx: sa.Connection, lease: Lease, limit: int, *, busy: Collection[str] = ()) -> list[StoredCommand]:
    """Lease up to *limit* commands that are not carried out or not answered, each the oldest of its pull request."""
    return [_stored(row) for row in _CLAIMS.take(tx, lease, limit, busy)]


def undecided(tx: sa.Connection, stored: StoredCommand) -> bool:
    """Whether it is still to be carried out; locked until the transaction ends."""
    query = sa.select(commands.c.answer).where(_key(stored), commands.c.pending).with_for_update()
    row = tx.execute(query).first()
    return row is not None and row.answer is None


def decide(tx: sa.Connection, stored: StoredCommand, answer: str) -> None:
    """It was carried out, or will not be. An empty *answer* need not be told."""
    values = {"answer": answer, **({} if answer else done(commands))}
    tx.execute(sa.update(commands).where(_key(stored)).values(**values))


def finish(tx: sa.Connection, stored: StoredCommand, error: str = "") -> None:
    """Nothing is left to do; with an *error*, because it was given up."""
    tx.execute(sa.update(commands).where(_key(stored)).values(**{**done(commands), "last_error": error}))


def postpone(tx: sa.Connection, stored: StoredCommand, *, due_at: float, error: str) -> None:
    values = postponed(stored.effort, due_at=due_at, error=error)
    tx.execute(sa.update(commands).where(_key(stored), commands.c.pending).values(**values))


def send_again(tx: sa.Connection, repository: str, pull_request: int) -> None:
    """Have the commands of a pull request carried out, or answered, that were given up on."""
    its_own = (commands.c.repository == repository, commands.c.pull_request == pull_request)
    tx.execute(sa.update(commands).where(*its_own, ~commands.c.pending, commands.c.last_error != "").values(**ANEW))


def prune(tx: sa.Connection, before: float, limit: int) -> int:
    """Delete up to *limit* finished commands that were given before a time. Returns how many."""
    fields = (commands.c.repository, commands.c.pull_request, commands.c.number)
    old = sa.select(*fields).where(commands.c.created_at < before, ~commands.c.pending).limit(limit)
    return tx.execute(sa.delete(commands).where(sa.tuple_(*fields).in_(old))).rowcount


def _key(stored: StoredCommand) -> sa.ColumnElement[bool]:
    comment = stored.comment
    return sa.and_(
        commands.c.repository == comment.repository.full_name,
        commands.c.pull_request == comment.number,
        commands.c.number == comment.comment_id,
    )


def _stored(row: sa.Row[tuple[object, ...]]) -> StoredCommand:
    comment = load(row.comment, Commented)
    return StoredCommand(Command(row.command), comment, row.origin, row.answer, Effort.of(row))
