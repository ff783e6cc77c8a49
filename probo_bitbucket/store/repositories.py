"""Repositories: which ones are known, and when each is looked at for what its webhook did not tell."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from probo_bitbucket.model import PullRequestState, Repository
from probo_bitbucket.store.columns import dump, load
from probo_bitbucket.store.schema import pull_requests, repositories
from probo_bitbucket.store.sql import Claims, Effort, Lease, done, insert_by, postponed


@frozen
class KnownRepository:
    """A repository, and the seconds between the last two looks at it."""

    repository: Repository
    interval: float
    looked_at: float
    effort: Effort


def active(tx: sa.Connection, repository: Repository, now: float, interval: float) -> None:
    """Something was told of a repository: it is looked at after *interval* seconds at the latest."""
    values = {"home": dump(repository), "active_at": now, "interval": interval, "due_at": now + interval}
    fresh = {"name": repository.full_name, "looked_at": 0.0, "pending": True}
    tx.execute(_active(tx.dialect.name), {**fresh, **values})


@cache
def _active(dialect: str) -> Any:
    made = insert_by(dialect, repositories)
    told = {name: made.excluded[name] for name in ("home", "active_at", "interval")}
    soon = made.excluded.due_at
    due_at = sa.case((repositories.c.due_at > soon, soon), else_=repositories.c.due_at)
    return made.on_conflict_do_update(index_elements=["name"], set_={**told, "due_at": due_at})


def look_now(tx: sa.Connection, now: float, interval: float, active_since: float) -> None:
    """Have every repository looked at that was told of since a time, and those whose pull requests alone are known."""
    homes = sa.select(
        pull_requests.c.repository,
        sa.func.max(pull_requests.c.home),
        sa.literal(interval),
        sa.func.max(pull_requests.c.changed_at),
        sa.literal(0.0),
        sa.true(),
    ).group_by(pull_requests.c.repository)
    columns = ["name", "home", "interval", "active_at", "looked_at", "pending"]
    known = homes.where(pull_requests.c.repository.not_in(sa.select(repositories.c.name)))
    tx.execute(sa.insert(repositories).from_select(columns, known))
    lately = (repositories.c.active_at >= active_since, repositories.c.due_at > now)
    tx.execute(sa.update(repositories).where(*lately).values(due_at=now))


_CLAIMS = Claims(repositories, sa.select(repositories).order_by(repositories.c.due_at), owner="name")


def claim_due(tx: sa.Connection, lease: Lease, limit: int, *, busy: Collection[str] = ()) -> list[KnownRepository]:
    """Lease up to *limit* repositories that are to be looked at, those first that wait for longest."""
    return [_known(row) for row in _CLAIMS.take(tx, lease, limit, busy)]


def looked(
    tx: sa.Connection, known: KnownRepository, now: float, *, interval: float, due_at: float, error: str = ""
) -> None:
    """It was looked at, and will be again at *due_at*."""
    values = {"pending": True, "looked_at": now, "interval": interval, "due_at": due_at, "last_error": error}
    _update(tx, known, {**done(repositories), **values})


def postpone(tx: sa.Connection, known: KnownRepository, *, due_at: float, error: str) -> None:
    _update(tx, known, postponed(known.effort, due_at=due_at, error=error))


def forget(tx: sa.Connection, known: KnownRepository) -> None:
    """It is gone: it is looked at again once something is told of it."""
    tx.execute(sa.delete(repositories).where(repositories.c.name == known.repository.full_name))


def prune(tx: sa.Connection, before: float, limit: int) -> int:
    """Forget up to *limit* repositories of which nothing was told since a time. Returns how many.

    One that has open pull requests is kept while it can be looked at: they may be closed unseen.
    """
    open_there = (pull_requests.c.repository == repositories.c.name, pull_requests.c.state == PullRequestState.OPEN)
    pointless = sa.or_(repositories.c.last_error != "", ~sa.exists().where(*open_there))
    old = sa.select(repositories.c.name).where(repositories.c.active_at < before, pointless).limit(limit)
    return tx.execute(sa.delete(repositories).where(repositories.c.name.in_(old))).rowcount


def active_since(tx: sa.Connection, known: KnownRepository) -> bool:
    """Whether anything was told of the repository since it was last looked at."""
    told = tx.scalar(sa.select(repositories.c.active_at).where(repositories.c.name == known.repository.full_name))
    return told is not None and told > known.looked_at


def _update(tx: sa.Connection, known: KnownRepository, values: dict[str, Any]) -> None:
    which = repositories.c.name == known.repository.full_name
    tx.execute(sa.update(repositories).where(which).values(**values))


def _known(row: sa.Row[Any]) -> KnownRepository:
    return KnownRepository(load(row.home, Repository), row.interval, row.looked_at, Effort.of(row))
