"""Builds as they are shown: a list, and the story of one with its steps."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from probo_bitbucket import origins
from probo_bitbucket.model import SHORTEST_HASH, Build, BuildKind, BuildState, PullRequestState, Status, StatusState
from probo_bitbucket.store import happenings
from probo_bitbucket.store.columns import inside, load
from probo_bitbucket.store.happenings import Happening
from probo_bitbucket.store.schema import builds, deliveries, pull_requests, removals, statuses, steps
from probo_bitbucket.store.views.filters import Filter, begins_with, mentions
from probo_bitbucket.store.views.outcome import Outcome, having, outcome
from probo_bitbucket.store.views.paging import SEARCHED, SIZE, BadCursor, Page, cut
from probo_bitbucket.store.views.tries import Tries


@frozen
class StatusLine:
    """One step of a build, or its environment: what it told, and what Bitbucket was told of it.

    *shown*: Bitbucket shall show it; a later build of the same commit has not taken its place there.
    """

    key: str
    context: str
    state: StatusState
    description: str
    url: str
    began_at: float | None  # when it was first told of; None of a summary, which follows from the others
    ended_at: float | None
    changed_at: float
    shown: bool
    reported: StatusState | None
    reported_at: float | None
    failed: bool  # given up
    tries: Tries


@frozen
class RemovalLine:
    """That a build is to be taken down, or was."""

    wanted_at: float
    done_at: float | None
    words: str  # why
    failed: bool  # given up
    tries: Tries


@frozen
class StrangerLine:
    """A build that is not known here, which was found at the Container Manager and is to be taken down, or was."""

    id: str
    removal: RemovalLine


@frozen
class BuildLine:
    """A build in a list, with its steps."""

    id: str
    kind: BuildKind
    state: BuildState
    outcome: Outcome
    reason: str
    repository: str
    source: str  # where the commit is: a fork perhaps
    pull_request: int | None
    pull_request_state: PullRequestState | None  # None of no pull request, and of one that is not known any more
    commit: str
    branch: str
    title: str
    author: str
    url: str  # of the pull request on Bitbucket
    created_at: float
    configured_at: float | None  # when the configuration had been read
    started_at: float | None  # when the Container Manager had it
    changed_at: float  # of the state, or of any status
    tries: Tries
    statuses: Sequence[StatusLine]
    origin: str  # what asked for it, as `delivery 17`
    ended_by: str  # what wanted no more of it, as `delivery 17`; empty where nothing did
    removal: RemovalLine | None
    stands: bool  # there is something of it that could be taken down

    @property
    def can_be_rebuilt(self) -> bool:
        """Whether a new build like it makes sense: not while it waits itself, nor of a closed pull request."""
        return self.outcome is not Outcome.WAITING and self.pull_request_state in (None, PullRequestState.OPEN)

    @property
    def environment(self) -> str:
        """Where the environment is to be seen; empty where it is not."""
        shown = (status.url for status in self.statuses if status.context.endswith("/env"))
        return next(shown, "") if self.stands and self.outcome is Outcome.SUCCEEDED else ""


@frozen
class BuildStory:
    """A build, the deliveries that asked for it, by their ids, and what happened on its way."""

    build: BuildLine
    deliveries: Sequence[int]
    happenings: Sequence[Happening]


# What was sent to the Container Manager, perhaps, and was not taken down; or waits to be sent.
_STANDING = (
    BuildState.QUEUED,
    BuildState.READY,
    BuildState.STARTING,
    BuildState.RUNNING,
    BuildState.ENDED,
    BuildState.FAILED,
)
SHORTEST_NAME = 6  # characters of a build's id that stand for it
LATEST_FIRST = (builds.c.created_at.desc(), builds.c.id.desc())


def page(tx: sa.Connection, wanted: Filter, after: str = "") -> Page[BuildLine]:
    """Builds, the latest first, with their steps. Raises BadCursor."""
    return cut_builds(tx, sa.select(builds).where(*matching(tx, wanted, after)))


def cut_builds(tx: sa.Connection, query: sa.Select[Any]) -> Page[BuildLine]:
    """The first page of the builds that *query* finds, the latest first."""
    found = cut(tx, query.order_by(*LATEST_FIRST), lambda row: f"{row.created_at!r}_{row.id}")
    return Page(_lines(tx, found.items), found.after)


def matching(tx: sa.Connection, wanted: Filter, after: str) -> Iterator[sa.ColumnElement[bool]]:
    """The conditions for the builds that are wanted, behind a place in their list. Raises BadCursor."""
    columns = builds.c
    if wanted.failed:
        yield having(Outcome.FAILED)
    if wanted.state:
        yield having(Outcome(wanted.state))
    if wanted.repository:
        yield columns.repository == wanted.repository
    if wanted.pull_request is not None:
        yield columns.pull_request == wanted.pull_request
    if wanted.words or (wanted.pull_request is not None and not wanted.repository):
        latest = sa.select(columns.created_at).order_by(columns.created_at.desc()).limit(SEARCHED).subquery()
        yield columns.created_at >= sa.select(sa.func.min(latest.c.created_at)).scalar_subquery()
    if wanted.build:
        yield columns.id == wanted.build
    if wanted.commit:
        yield begins_with(columns.commit, wanted.commit)
    if wanted.words:
        texts = ("name",), ("branch",), ("pull_request", "author")
        yield mentions([columns.repository, *(inside(tx, columns.build, *path) for path in texts)], wanted.words)
    if after:
        yield _behind(after)


def _behind(after: str) -> sa.ColumnElement[bool]:
    created_at, _, id = after.partition("_")
    try:
        place = sa.tuple_(sa.literal(float(created_at), sa.Double), sa.literal(id))
    except ValueError as error:
        raise BadCursor(f"{after[:80]!r} is no place in a list of builds") from error
    return sa.tuple_(builds.c.created_at, builds.c.id) < place


def story_of(tx: sa.Connection, id: str) -> BuildStory | None:
    """The whole story of a build; None where there is no such build (any more)."""
    row = tx.execute(sa.select(builds).where(builds.c.id == id)).first()
    if row is None:
        return None
    (build,) = _lines(tx, [row])
    asked = sa.select(deliveries.c.id).where(deliveries.c.build_id == id).order_by(deliveries.c.id).limit(SEARCHED)
    return BuildStory(build, list(tx.scalars(asked)), happenings.of(tx, ("build", "status", "removal"), id))


def ended_by(tx: sa.Connection, delivery: int) -> Sequence[BuildLine]:
    """The builds that a delivery has ended, the latest first: as many as fit on a page."""
    return cut_builds(tx, sa.select(builds).where(builds.c.ended_by == origins.delivery(delivery))).items


def strangers_ended_by(tx: sa.Connection, delivery: int) -> Sequence[StrangerLine]:
    """The builds that are not known here and that a delivery has ended, the latest first: as many as fit on a page."""
    known = sa.exists().where(builds.c.id == removals.c.build_id)
    ended = sa.select(removals).where(removals.c.origin == origins.delivery(delivery), ~known)
    rows = tx.execute(ended.order_by(removals.c.wanted_at.desc(), removals.c.build_id).limit(SIZE))
    return [StrangerLine(row.build_id, _removal(row)) for row in rows]


def ids_of(tx: sa.Connection, name: str) -> list[str]:
    """The builds that *name* stands for: an id, the first characters of one, or a commit, whose newest it is."""
    columns = builds.c
    if len(name) < SHORTEST_NAME or tx.execute(sa.select(columns.id).where(columns.id == name)).first():
        return [name]
    found = list(tx.scalars(sa.select(columns.id).where(begins_with(columns.id, name)).order_by(columns.id).limit(5)))
    of_commit = sa.select(columns.id).where(begins_with(columns.commit, name)).order_by(*LATEST_FIRST).limit(1)
    return found or (list(tx.scalars(of_commit)) if len(name) >= SHORTEST_HASH else [])


def newest_of(tx: sa.Connection, repository: str) -> BuildLine | None:
    """The newest build of a repository."""
    query = sa.select(builds).where(builds.c.repository == repository).order_by(*LATEST_FIRST).limit(1)
    return next(iter(_lines(tx, tx.execute(query).all())), None)


def statuses_of(tx: sa.Connection, ids: Collection[str]) -> dict[str, list[StatusLine]]:
    """What some builds told: each one's environment first, then its steps as they began; a summary is the last."""
    told = tx.execute(sa.select(steps).where(steps.c.build_id.in_(ids))).all()
    shown = {
        (row.build_id, row.key): row for row in tx.execute(sa.select(statuses).where(statuses.c.build_id.in_(ids)))
    }
    found: dict[str, list[StatusLine]] = {id: [] for id in ids}
    for row in sorted(told, key=lambda row: (not row.context.endswith("/env"), row.began_at, row.context)):
        found[row.build_id].append(_step(row, shown.pop((row.build_id, row.key), None)))
    for row in shown.values():
        found[row.build_id].append(_summary(row))
    return found


def _lines(tx: sa.Connection, rows: Collection[sa.Row[Any]]) -> list[BuildLine]:
    ids = [row.id for row in rows]
    shown, gone = statuses_of(tx, ids), _removals_of(tx, ids)
    states = _states_of(tx, rows)
    return [_line(row, states.get(row.lane), shown[row.id], gone.get(row.id)) for row in rows]


def _states_of(tx: sa.Connection, rows: Collection[sa.Row[Any]]) -> dict[str, PullRequestState]:
    """How the pull requests of some builds are, by their lanes."""
    lanes = {row.lane for row in rows if row.pull_request is not None}
    found = tx.execute(sa.select(pull_requests.c.lane, pull_requests.c.state).where(pull_requests.c.lane.in_(lanes)))
    return {row.lane: PullRequestState(row.state) for row in found}


def _removals_of(tx: sa.Connection, ids: Collection[str]) -> dict[str, RemovalLine]:
    rows = tx.execute(sa.select(removals).where(removals.c.build_id.in_(ids)))
    return {row.build_id: _removal(row) for row in rows}


def _removal(row: sa.Row[Any]) -> RemovalLine:
    return RemovalLine(row.wanted_at, row.done_at, row.words, not row.pending and bool(row.last_error), Tries.of(row))


def _step(row: sa.Row[Any], shown: sa.Row[Any] | None) -> StatusLine:
    return _line_of(load(row.told, Status), row, shown, row.began_at, row.ended_at)


def _summary(row: sa.Row[Any]) -> StatusLine:
    return _line_of(load(row.desired, Status), row, row, None, None)


def _line_of(
    told: Status, row: sa.Row[Any], shown: sa.Row[Any] | None, began_at: float | None, ended_at: float | None
) -> StatusLine:
    return StatusLine(
        key=told.key,
        context=row.context,
        state=told.state,
        description=told.description,
        url=told.url,
        began_at=began_at,
        ended_at=ended_at,
        changed_at=row.changed_at,
        shown=shown is not None,
        reported=load(shown.reported, Status).state if shown and shown.reported else None,
        reported_at=shown.reported_at if shown else None,
        failed=bool(shown and shown.failed),
        tries=Tries.of(shown) if shown else Tries.NONE,
    )


def _line(
    row: sa.Row[Any],
    pull_request_state: PullRequestState | None,
    shown: Sequence[StatusLine],
    removal: RemovalLine | None,
) -> BuildLine:
    build, state = load(row.build, Build), BuildState(row.state)
    return BuildLine(
        id=row.id,
        kind=build.kind,
        state=state,
        outcome=outcome(state, StatusState(row.result) if row.result else None),
        reason=row.reason,
        repository=row.repository,
        source=row.source,
        pull_request=row.pull_request,
        pull_request_state=pull_request_state,
        commit=row.commit,
        branch=build.branch,
        title=build.name,
        author=build.pull_request.author if build.pull_request else "",
        url=build.pull_request.url if build.pull_request else "",
        created_at=row.created_at,
        configured_at=row.configured_at,
        started_at=row.started_at,
        changed_at=row.changed_at,
        tries=Tries.of(row),
        statuses=shown,
        origin=row.origin,
        ended_by=row.ended_by,
        removal=removal,
        stands=state in _STANDING and (removal is None or removal.failed),
    )
