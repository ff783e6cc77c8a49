"""Happenings: what a piece of work went through before it was done: tries in vain, and that it was sent again.

The row of the work has how it is now. What succeeds at once leaves nothing here.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from attrs import frozen

from probo_bitbucket.store.schema import happenings

KEPT = 20  # happenings of one piece of work


@frozen
class Happening:
    """What happened so many *times*, with nothing else between, from *at* to *until*."""

    work: str  # delivery, build, status or removal
    key: str  # of a status
    at: float
    until: float
    times: int
    words: str


_OF_WORK = sa.and_(*(happenings.c[name] == sa.bindparam(f"_{name}") for name in ("work", "name", "key")))
_IDS = sa.select(happenings.c.id).where(_OF_WORK).order_by(happenings.c.id.desc()).limit(1)
_ONCE_MORE = (
    sa.update(happenings)
    .where(happenings.c.id == _IDS.scalar_subquery(), happenings.c.words == sa.bindparam("_words"))
    .values(times=happenings.c.times + 1)
)
_TRIM = sa.delete(happenings).where(_OF_WORK, happenings.c.id <= _IDS.offset(KEPT).scalar_subquery())


def note(tx: sa.Connection, work: str, name: str, words: str, now: float, key: str = "") -> None:
    """Note what happened to a delivery, by its id, or to what is named by its build's; a status has a *key* besides."""
    which = {"_work": work, "_name": name, "_key": key}
    if tx.execute(_ONCE_MORE, {**which, "_words": words, "until": now}).rowcount:
        return
    fresh = {"work": work, "name": name, "key": key, "at": now, "until": now, "times": 1, "words": words}
    tx.execute(sa.insert(happenings), fresh)
    tx.execute(_TRIM, which)


def given_up(error: str) -> str:
    """The words for work that was given up on."""
    return f"Given up: {error}"


SENT_AGAIN = "Sent again"


def of(tx: sa.Connection, works: Collection[str], name: str) -> list[Happening]:
    """What happened to the *works* of one name, in the order of time."""
    mine = (happenings.c.work.in_(works), happenings.c.name == name)
    rows = tx.execute(sa.select(happenings).where(*mine).order_by(happenings.c.at, happenings.c.id))
    return [Happening(row.work, row.key, row.at, row.until, row.times, row.words) for row in rows]


def prune(tx: sa.Connection, before: float, limit: int) -> int:
    """Delete up to *limit* happenings that were over before a time, as their work is. Returns how many."""
    old = sa.select(happenings.c.id).where(happenings.c.until < before).limit(limit)
    return tx.execute(sa.delete(happenings).where(happenings.c.id.in_(old))).rowcount
