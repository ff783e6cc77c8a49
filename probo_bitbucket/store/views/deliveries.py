"""Deliveries as they are shown: a list, and the story of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from probo_bitbucket.model import BuildState, DeliveryState, StatusState
from probo_bitbucket.store import happenings
from probo_bitbucket.store.columns import inside
from probo_bitbucket.store.happenings import Happening
from probo_bitbucket.store.schema import builds, deliveries, pull_requests
from probo_bitbucket.store.views.builds import (
    BuildLine,
    BuildStory,
    StrangerLine,
    ended_by,
    story_of,
    strangers_ended_by,
)
from probo_bitbucket.store.views.filters import Filter, begins_with, mentions
from probo_bitbucket.store.views.outcome import Outcome, having, outcome
from probo_bitbucket.store.views.paging import SEARCHED, BadCursor, Page, cut
from probo_bitbucket.store.views.tries import Tries

# In the words of the index: SQLite does not know that `noise <> 1` fits it, too.
TELLING = ~deliveries.c.noise
_OF_FAILED_BUILDS = sa.select(builds.c.id).where(having(Outcome.FAILED))
# Those that were given up, and those whose build failed: each by an index of its own.
_FAILED = sa.union_all(
    sa.select(deliveries.c.id).where(deliveries.c.state == DeliveryState.FAILED),
    sa.select(deliveries.c.id).where(deliveries.c.build_id.in_(_OF_FAILED_BUILDS)),
)
_OF_DELIVERY = [column for column in deliveries.c if column.name != "body"]


@frozen
class DeliveryLine:
    """A delivery in a list, with how far its build is."""

    id: int
    received_at: float
    event_key: str
    repository: str
    pull_request: int | None
    state: DeliveryState
    reason: str
    decided_at: float | None
    tries: Tries
    build: str | None
    outcome: Outcome | None  # of the build
    title: str  # of the build, else of the pull request


@frozen
class DeliveryStory:
    """A delivery from when it came in to the last status of its build, and to the end of those that it *ended*.

    *body* is as Bitbucket sent it.
    """

    delivery: DeliveryLine
    hook_uuid: str
    request_uuid: str
    attempt: int
    body: bytes
    happenings: Sequence[Happening]
    build: BuildStory | None
    ended: Sequence[BuildLine]
    ended_strangers: Sequence[StrangerLine]


def page(tx: sa.Connection, wanted: Filter, after: str = "") -> Page[DeliveryLine]:
    """Deliveries, the latest first. Raises BadCursor."""
    query = _lines(tx).where(*_matching(tx, wanted, after)).order_by(deliveries.c.id.desc())
    found = cut(tx, query, lambda row: str(row.id))
    return Page([_line(row) for row in found.items], found.after)


def _matching(tx: sa.Connection, wanted: Filter, after: str) -> Iterator[sa.ColumnElement[bool]]:
    columns = deliveries.c
    if not wanted.noise:
        yield TELLING
    if wanted.failed:
        yield columns.id.in_(_FAILED)
    if wanted.state:
        yield columns.state == wanted.state
    if wanted.repository:
        yield columns.repository == wanted.repository
    if wanted.pull_request is not None:
        yield columns.pull_request == wanted.pull_request
    if wanted.repository and wanted.pull_request is not None:
        yield columns.lane == f"{wanted.repository}#{wanted.pull_request}"  # has an index
    elif wanted.words or wanted.pull_request is not None:
        latest = sa.select(columns.id).order_by(columns.id.desc()).limit(SEARCHED).subquery()
        yield columns.id >= sa.select(sa.func.min(latest.c.id)).scalar_subquery()
    if wanted.build:
        yield columns.build_id == wanted.build
    if wanted.commit:
        of_commit = sa.select(builds.c.id).where(begins_with(builds.c.commit, wanted.commit)).limit(SEARCHED)
        yield columns.build_id.in_(of_commit)
    if wanted.words:
        yield mentions([columns.repository, columns.event_key, columns.reason, _title(tx)], wanted.words)
    if after:
        yield columns.id < _place(after)


def _place(after: str) -> int:
    if not (after.isascii() and after.isdigit() and len(after) < 19):
        raise BadCursor(f"{after[:40]!r} is no place in the list of deliveries")
    return int(after)


def find(tx: sa.Connection, id: int) -> DeliveryLine | None:
    row = tx.execute(_lines(tx).where(deliveries.c.id == id)).first()
    return None if row is None else _line(row)


def story(tx: sa.Connection, id: int) -> DeliveryStory | None:
    """The whole story of a delivery; None where there is no such delivery (any more)."""
    row = tx.execute(_lines(tx).add_columns(deliveries.c.body).where(deliveries.c.id == id)).first()
    if row is None:
        return None
    build = story_of(tx, row.build_id) if row.build_id else None
    return DeliveryStory(
        delivery=_line(row),
        hook_uuid=row.hook_uuid,
        request_uuid=row.request_uuid,
        attempt=row.attempt,
        body=row.body,
        happenings=happenings.of(tx, ("delivery",), str(id)),
        build=build,
        ended=ended_by(tx, id),
        ended_strangers=strangers_ended_by(tx, id),
    )


def _title(tx: sa.Connection) -> sa.ColumnElement[str]:
    """Of the build, else of the pull request, by the name that its repository had: another may have had that before."""
    named = (
        pull_requests.c.repository == deliveries.c.repository,
        pull_requests.c.number == deliveries.c.pull_request,
    )
    title = sa.select(inside(tx, pull_requests.c.pull_request, "title")).where(*named)
    newest = title.order_by(pull_requests.c.changed_at.desc()).limit(1).scalar_subquery()
    return sa.func.coalesce(inside(tx, builds.c.build, "name"), newest)


def _lines(tx: sa.Connection) -> sa.Select[Any]:
    """Without the bodies, which are large."""
    of_build = (builds.c.state.label("build_state"), builds.c.result, _title(tx).label("title"))
    return sa.select(*_OF_DELIVERY, *of_build).outerjoin(builds, builds.c.id == deliveries.c.build_id)


def _line(row: sa.Row[Any]) -> DeliveryLine:
    return DeliveryLine(
        id=row.id,
        received_at=row.received_at,
        event_key=row.event_key,
        repository=row.repository,
        pull_request=row.pull_request,
        state=DeliveryState(row.state),
        reason=row.reason,
        decided_at=row.decided_at,
        tries=Tries.of(row),
        build=row.build_id,
        outcome=_outcome(row) if row.build_state else None,
        title=row.title or "",
    )


def _outcome(row: sa.Row[Any]) -> Outcome:
    return outcome(BuildState(row.build_state), StatusState(row.result) if row.result else None)
