"""The last that is known of each place's webhook, so that it can be shown without a request to Bitbucket."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from attrs import asdict, frozen

from probo_bitbucket.store.schema import deliveries, hook_reports, hooks
from probo_bitbucket.store.sql import insert

REMOVED = "remove"  # the deed after which nothing is known of a place


@frozen
class KeptReport:
    """How a place's webhook was found, or what came of a *deed*: look, add, repair, remove or test."""

    place: str
    deed: str
    grade: str
    what: str
    advice: str
    uuid: str
    at: float


def keep(tx: sa.Connection, reports: Collection[KeptReport]) -> None:
    """Remember *reports* in place of what was known of their places."""
    if reports:
        made = insert(tx, hook_reports)
        values = {column.name: made.excluded[column.name] for column in hook_reports.c if not column.primary_key}
        # A test does not say which webhook it was of.
        values["uuid"] = sa.case((made.excluded.uuid != "", made.excluded.uuid), else_=hook_reports.c.uuid)
        kept = made.on_conflict_do_update(index_elements=["place"], set_=values)
        tx.execute(kept, [asdict(report) for report in reports])


_OF_ONE_MADE_HERE = sa.exists().where(hooks.c.place == hook_reports.c.place)


def standing(tx: sa.Connection, grade: str, named: Collection[str], limit: int) -> list[KeptReport]:
    """The reports of a *grade*, the latest first, of webhooks that have delivered nothing since.

    Of a place where none was made here, and none was found that leads here, it is told only if it is one of those
    *named*: somebody may have mistyped it.
    """
    ours = sa.or_(hook_reports.c.uuid != "", hook_reports.c.place.in_(named), _OF_ONE_MADE_HERE)
    since = sa.and_(deliveries.c.hook_uuid == hook_reports.c.uuid, deliveries.c.received_at > hook_reports.c.at)
    delivered = sa.and_(hook_reports.c.uuid != "", sa.exists().where(since))
    found = sa.select(hook_reports).where(hook_reports.c.grade == grade, ours, ~delivered)
    return [KeptReport(**row._mapping) for row in tx.execute(found.order_by(hook_reports.c.at.desc()).limit(limit))]


def kept(tx: sa.Connection, places: Collection[str]) -> dict[str, KeptReport]:
    """What is known of *places*."""
    rows = tx.execute(sa.select(hook_reports).where(hook_reports.c.place.in_(places)))
    return {row.place: KeptReport(**row._mapping) for row in rows}


def forget(tx: sa.Connection, place: str) -> None:
    tx.execute(sa.delete(hook_reports).where(hook_reports.c.place == place))


def prune(tx: sa.Connection, before: float, limit: int) -> int:
    """Delete up to *limit* reports made before a time, but for those of webhooks made here. Returns how many."""
    old = sa.select(hook_reports.c.place).where(hook_reports.c.at < before, ~_OF_ONE_MADE_HERE).limit(limit)
    return tx.execute(sa.delete(hook_reports).where(hook_reports.c.place.in_(old))).rowcount
