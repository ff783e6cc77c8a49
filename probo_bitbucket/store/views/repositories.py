"""Repositories as they are shown: those that ever sent a delivery or had a build, by their names."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import sqlalchemy as sa
from attrs import frozen

from probo_bitbucket.model import DeliveryState
from probo_bitbucket.store import hook_reports
from probo_bitbucket.store.hook_reports import KeptReport
from probo_bitbucket.store.schema import builds, deliveries
from probo_bitbucket.store.views.builds import newest_of
from probo_bitbucket.store.views.deliveries import TELLING
from probo_bitbucket.store.views.outcome import Outcome
from probo_bitbucket.store.views.paging import SIZE, Page

LOOKED_AT = 500  # names, for one page of those with some words in them: the next page goes on with the next ones


@frozen
class RepositoryLine:
    """A repository, and what was last heard of it and done for it."""

    repository: str
    delivered_at: float | None
    delivery: int | None
    delivery_state: DeliveryState | None
    built_at: float | None
    build: str | None
    outcome: Outcome | None  # of the build
    hook: KeptReport | None  # None where nobody looked yet


def page(tx: sa.Connection, after: str = "", words: str = "") -> Page[RepositoryLine]:
    """Repositories by their names, those behind *after*; only those whose names have *words* in them."""
    names = list(islice(_names(tx, after), LOOKED_AT if words else SIZE))
    found = [name for name in names if words.lower() in name.lower()][:SIZE]
    last = found[-1] if len(found) == SIZE else names[-1] if names else ""
    hooks = hook_reports.kept(tx, found)
    return Page([_line(tx, name, hooks.get(name)) for name in found], last if last and _next(tx, last) else "")


def _names(tx: sa.Connection, after: str) -> Iterator[str]:
    """One after the other by two indexes: to look for distinct names would read all of them."""
    while after := _next(tx, after):
        yield after


def _next(tx: sa.Connection, after: str) -> str:
    found = (
        tx.scalar(sa.select(sa.func.min(table.c.repository)).where(table.c.repository > after))
        for table in (deliveries, builds)
    )
    return min(filter(None, found), default="")


def _line(tx: sa.Connection, name: str, hook: KeptReport | None) -> RepositoryLine:
    columns = deliveries.c
    mine = (TELLING, columns.repository == name)
    latest = sa.select(columns.id, columns.received_at, columns.state).where(*mine)
    delivery = tx.execute(latest.order_by(columns.id.desc()).limit(1)).first()
    build = newest_of(tx, name)
    return RepositoryLine(
        repository=name,
        delivered_at=delivery.received_at if delivery else None,
        delivery=delivery.id if delivery else None,
        delivery_state=DeliveryState(delivery.state) if delivery else None,
        built_at=build.created_at if build else None,
        build=build.id if build else None,
        outcome=build.outcome if build else None,
        hook=hook if hook and hook.deed != hook_reports.REMOVED else None,
    )
