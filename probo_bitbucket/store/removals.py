"""Removals: builds that nobody wants any more, each to be taken down once it is no longer on its way."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum
from typing import Any

import sqlalchemy as sa
from attrs import field, frozen

from probo_bitbucket import origins
from probo_bitbucket.model import RemovalReason
from probo_bitbucket.store import happenings
from probo_bitbucket.store.schema import builds, removals
from probo_bitbucket.store.sql import ANEW, Claims, Effort, Lease, done, insert, postponed


@frozen
class Removal:
    """A build whose environment is to be taken down, and why; the store need not know it otherwise.

    *origin* names what asked for it, such as `delivery 17`; empty where nobody can tell.
    """

    build_id: str
    repository: str  # full name
    pull_request: int | None
    reason: RemovalReason
    words: str
    origin: str = ""
    effort: Effort = field(factory=lambda: Effort(0, None))
    pinned: bool = False  # it was, when it was last asked about

    def waits_since(self, now: float) -> float:
        """When it was first tried in vain, at the latest *now*."""
        return now if self.effort.failing_since is None else self.effort.failing_since


def want(tx: sa.Connection, removal: Removal, now: float) -> bool:
    """Have a build taken down, unless that is wanted already or done. Returns whether it was not.

    What was given up is begun anew.
    """
    values = {
        "repository": removal.repository,
        "pull_request": removal.pull_request,
        "reason": removal.reason,
        "words": removal.words,
        "origin": origins.teller(removal.origin),
        "wanted_at": now,
        "pinned": False,
        **ANEW,
    }
    wanted = insert(tx, removals).values(build_id=removal.build_id, **values)
    given_up = _failed(removal.build_id)
    told = wanted.on_conflict_do_update(index_elements=["build_id"], set_=values, where=given_up)
    return tx.scalar(told.returning(removals.c.build_id)) is not None


_WANTED = sa.select(removals.c.build_id).where(removals.c.build_id == sa.bindparam("_build_id"))


def is_wanted(tx: sa.Connection, build_id: str) -> bool:
    """Whether a build was taken down, or is going to be."""
    return tx.scalar(_WANTED, {"_build_id": build_id}) is not None


GOING = sa.not_(sa.and_(removals.c.pinned, removals.c.pending))  # of a removal: nobody keeps the environment
_FATE = _WANTED.with_only_columns(GOING)


class Fate(Enum):
    """What becomes of a build's environment."""

    STAYS = None  # nobody wants it gone
    PINNED = False  # it is wanted to be gone, and pinned
    GOES = True  # it was taken down, or is going to be: what the build tells is not shown


def fate(tx: sa.Connection, build_id: str) -> Fate:
    """What becomes of the environment of a build, which the store need not know."""
    return Fate(tx.scalar(_FATE, {"_build_id": build_id}))


def is_going(tx: sa.Connection, build_id: str) -> bool:
    """Whether what a build tells is not shown any more."""
    return fate(tx, build_id) is Fate.GOES


_ON_ITS_WAY = sa.exists().where(builds.c.id == removals.c.build_id, builds.c.pending)
_CLAIMS = Claims(removals, sa.select(removals).where(~_ON_ITS_WAY).order_by(removals.c.wanted_at))


def claim_pending(tx: sa.Connection, lease: Lease, limit: int, *, busy: Collection[str] = ()) -> list[Removal]:
    """Lease up to *limit* removals, oldest first. One that is being started has to be there before it can go."""
    return [_removal(row) for row in _CLAIMS.take(tx, lease, limit, busy)]


def end(tx: sa.Connection, build_id: str, now: float) -> None:
    """The environment is not there any more."""
    _update(tx, build_id, {**done(removals), "done_at": now})


def give_up(tx: sa.Connection, build_id: str, error: str, now: float) -> None:
    """Leave an environment where it is. Its removal stays visible with its *error*."""
    if _update(tx, build_id, {**done(removals), "last_error": error}):
        happenings.note(tx, "removal", build_id, happenings.given_up(error), now)


def forget_failed(tx: sa.Connection, build_id: str) -> None:
    """Let a build be wanted to be gone again whose removal was given up."""
    tx.execute(sa.delete(removals).where(_failed(build_id)))


def postpone(tx: sa.Connection, removal: Removal, *, due_at: float, error: str, now: float) -> None:
    """Put a removal back, to be tried again at *due_at*."""
    values = {**postponed(removal.effort, due_at=due_at, error=error), "pinned": removal.pinned}
    if _update(tx, removal.build_id, values):
        happenings.note(tx, "removal", removal.build_id, error, now)


def send_again(tx: sa.Connection, build_id: str, now: float) -> None:
    """Have a removal tried again that was given up on."""
    tx.execute(sa.update(removals).where(_failed(build_id)).values(**ANEW, pinned=False))
    happenings.note(tx, "removal", build_id, happenings.SENT_AGAIN, now)


def _failed(build_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(removals.c.build_id == build_id, ~removals.c.pending, removals.c.last_error != "")


def _update(tx: sa.Connection, build_id: str, values: dict[str, Any]) -> bool:
    """Change a removal that is to be done. Returns whether there was one."""
    waiting = sa.update(removals).where(removals.c.build_id == build_id, removals.c.pending)
    return bool(tx.execute(waiting.values(**values)).rowcount)


def _removal(row: sa.Row[Any]) -> Removal:
    return Removal(
        row.build_id,
        row.repository,
        row.pull_request,
        RemovalReason(row.reason),
        row.words,
        row.origin,
        Effort.of(row),
        row.pinned,
    )


def prune(tx: sa.Connection, before: float, limit: int) -> int:
    """Delete up to *limit* removals that were wanted before a time and are done. Returns how many."""
    old = sa.select(removals.c.build_id).where(removals.c.wanted_at < before, ~removals.c.pending).limit(limit)
    return tx.execute(sa.delete(removals).where(removals.c.build_id.in_(old))).rowcount
