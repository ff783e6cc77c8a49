"""Builds: asked for once, started once, and known until they are pruned."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

import sqlalchemy as sa
from attrs import evolve, frozen

from probo_bitbucket import origins
from probo_bitbucket.model import FULL_HASH, SHORT_HASH, Build, BuildState, PullRequestState, Repository
from probo_bitbucket.store import happenings, watches
from probo_bitbucket.store.columns import dump, load
from probo_bitbucket.store.removals import GOING
from probo_bitbucket.store.schema import builds, pull_requests, removals
from probo_bitbucket.store.sql import (
    ANEW,
    LEASE,
    Claims,
    Effort,
    Lease,
    LeaseLost,
    done,
    first_of_lane,
    insert_by,
    postponed,
)
from probo_bitbucket.store.statuses import withdraw

# Seconds after a lease in which what was sent under it may still arrive: that is sent at most 10 after the lease began,
# is given 30 to be answered, and the clock of another node may be 10 ahead.
IN_FLIGHT = 10.0 + 30.0 + 10.0 - LEASE
TICK = 0.001  # seconds between two builds of a lane at least: the Container Manager is told no less


@frozen
class StoredBuild:
    """A build and how far it is. *document* is the JSON text for the Container Manager, without credentials."""

    build: Build
    state: BuildState
    reason: str
    document: str
    effort: Effort
    leased_by: str
    ready_at: float | None = None  # when the Container Manager said that its environment is there
    trouble: str = ""  # why it waits to be tried again, or was given up on


def request(tx: sa.Connection, build: Build, now: float) -> str:
    """Ask for a build, unless the same was asked for before. Returns the id of the one that there is then."""
    build = _in_order(tx, build)
    number = build.pull_request.number if build.pull_request else None
    values = {
        "id": build.id,
        "claim": build.claim,
        "lane": _lane(build),
        "state": BuildState.QUEUED,
        "pending": True,
        "origin": build.origin,
        "created_at": build.created_at,
        "changed_at": now,
        "repository": build.repository.full_name,
        "source": build.source.full_name,
        "pull_request": number,
        "commit": build.commit,
        "build": dump(build),
    }
    return str(tx.scalar(_request(tx.dialect.name), values))


_NEWEST = sa.select(sa.func.max(builds.c.created_at)).where(builds.c.lane == sa.bindparam("_lane"))


def _in_order(tx: sa.Connection, build: Build) -> Build:
    """The build, later than all of its lane: their times are their order, and the clocks of nodes differ."""
    newest = tx.scalar(_NEWEST, {"_lane": _lane(build)})
    return build if newest is None else evolve(build, created_at=max(build.created_at, newest + TICK))


def _lane(build: Build) -> str:
    number = build.pull_request.number if build.pull_request else None
    return build.repository.lane(number or build.branch or build.id)


def _in_pull_request(repository: Repository, number: int) -> dict[str, Any]:
    return {"_lane": repository.lane(number), "_number": number}


@cache
def _request(dialect: str) -> Any:
    # An update that changes nothing: unlike "do nothing" it returns the row, and no other node can release it between.
    same = {"index_elements": ["claim"], "set_": {"claim": builds.c.claim}}
    return insert_by(dialect, builds).on_conflict_do_update(**same).returning(builds.c.id)


def request_now(tx: sa.Connection, build: Build, lease: Lease) -> StoredBuild:
    """Ask for a build that was not asked for before, and lease it at once."""
    request(tx, build, lease.now)
    _update(tx, build.id, lease.values)
    return _stored(tx.execute(_FIND, {"_id": build.id}).one())


_ORDER = ("created_at", "id")
_NOT_IN_FLIGHT = sa.or_(builds.c.state != BuildState.STARTING, builds.c.leased_until <= sa.bindparam("landed"))
_CLAIMS = Claims(builds, sa.select(builds).where(first_of_lane(builds, *_ORDER), _NOT_IN_FLIGHT).order_by(*_ORDER))


def claim_pending(tx: sa.Connection, lease: Lease, limit: int, *, busy: Collection[str] = ()) -> list[StoredBuild]:
    """Lease up to *limit* builds that are to be started, each the oldest of its lane, oldest first.

    Those of the repositories named in *busy* are passed over, and those that a node has sent of which nothing was heard
    since, until that has arrived: before, nobody could tell whether the Container Manager is going to have them.
    """
    rows = _CLAIMS.take(tx, lease, limit, busy, landed=lease.now - IN_FLIGHT)
    return [evolve(_stored(row), leased_by=lease.holder) for row in rows]


def _stored(row: sa.Row[Any]) -> StoredBuild:
    build, state = load(row.build, Build), BuildState(row.state)
    return StoredBuild(
        build, state, row.reason, row.document, Effort.of(row), row.leased_by, row.ready_at, row.last_error
    )


_FIND = sa.select(builds).where(builds.c.id == sa.bindparam("_id"))


_LOCK = sa.select(builds.c.id).where(builds.c.id == sa.bindparam("_id")).with_for_update()


def find(tx: sa.Connection, id: str) -> StoredBuild | None:
    row = tx.execute(_FIND, {"_id": id}).first()
    return None if row is None else _stored(row)


def asked_for_by(tx: sa.Connection, origin: str) -> str | None:
    """The id of the build that *origin* asked for, if there is one."""
    return tx.scalar(sa.select(builds.c.id).where(builds.c.origin == origin))


def home_of_pull_request(tx: sa.Connection, source: str, number: int) -> Repository | None:
    """Where pull request *number* is whose commits are in the repository named *source*, if we built any of them.

    A project names the repository that the source is downloaded from: for a fork, that is not the one with the pull
    request.
    """
    query = sa.select(builds).where(builds.c.source == source, builds.c.pull_request == number)
    row = tx.execute(query.order_by(builds.c.created_at.desc()).limit(1)).first()
    return None if row is None else _stored(row).build.repository


def identified(tx: sa.Connection, named: Repository) -> Repository:
    """A repository with its uuid, where we built anything of it: so a build belongs to the same project as all others.

    Where its uuid is told, it is the one that counts.
    """
    if named.uuid:
        return named
    same = builds.c.repository == named.full_name
    row = tx.execute(sa.select(builds).where(same).order_by(builds.c.created_at.desc()).limit(1)).first()
    return named if row is None else _stored(row).build.repository


_WANTED = (BuildState.QUEUED, BuildState.READY, BuildState.STARTING, BuildState.RUNNING, BuildState.ENDED)
_IN_PULL_REQUEST = sa.and_(builds.c.lane == sa.bindparam("_lane"), builds.c.pull_request == sa.bindparam("_number"))
_OF_PULL_REQUEST = (
    sa.select(builds).where(_IN_PULL_REQUEST).order_by(builds.c.created_at.desc(), builds.c.id.desc()).with_for_update()
)


def of_pull_request(tx: sa.Connection, repository: Repository, number: int) -> list[StoredBuild]:
    """All builds of a pull request, the newest first; locked until the transaction ends."""
    return [_stored(row) for row in tx.execute(_OF_PULL_REQUEST, _in_pull_request(repository, number))]


def has_commit(tx: sa.Connection, repository: Repository, number: int, commit: str) -> bool:
    """Whether there is, or was, a build of a commit of a pull request."""
    same = sa.func.substr(builds.c.commit, 1, SHORT_HASH) == commit[:SHORT_HASH]
    query = sa.select(builds.c.id).where(_IN_PULL_REQUEST, same).limit(1)
    return tx.scalar(query, _in_pull_request(repository, number)) is not None


_NEWER = (
    sa.select(builds.c.id)
    .where(_IN_PULL_REQUEST, builds.c.created_at > sa.bindparam("_created_at"), builds.c.state.in_(_WANTED))
    .limit(1)
)


def is_superseded(tx: sa.Connection, build: Build) -> bool:
    """Whether a newer build of its pull request is there, or going to be."""
    if build.pull_request is None:
        return False
    which = _in_pull_request(build.repository, build.pull_request.number)
    return tx.scalar(_NEWER, {**which, "_created_at": build.created_at}) is not None


def lock_pull_request(tx: sa.Connection, id: str) -> None:
    """Lock all builds of the pull request that a build is of, in one order everywhere.

    Who is going to end the others needs them before its own: two that each had one would wait for each other.
    """
    stored = find(tx, id)
    if stored is not None and stored.build.pull_request is not None:
        of_pull_request(tx, stored.build.repository, stored.build.pull_request.number)


def lock(tx: sa.Connection, id: str) -> None:
    """Keep a build as it is until the transaction ends."""
    tx.execute(_LOCK, {"_id": id})


_UNTRIED: dict[str, Any] = {"attempts": 0, "failing_since": None}
_UPDATE = sa.update(builds).where(builds.c.id == sa.bindparam("_id"))
# Still to be started, by the one who had it when it was read.
_UPDATE_HELD = _UPDATE.where(builds.c.pending, builds.c.leased_by == sa.bindparam("_holder"))
_CONCLUDE = _UPDATE.values(**done(builds))
_CONCLUDE_HELD = _UPDATE_HELD.values(**done(builds))
_STARTED = _CONCLUDE.where(builds.c.state == BuildState.STARTING).values(state=BuildState.RUNNING, reason="")
_READY = _UPDATE.values(ready_at=sa.func.coalesce(builds.c.ready_at, sa.bindparam("_now")))
_TOUCH = _UPDATE.values(
    state=sa.case((builds.c.state == BuildState.ENDED, BuildState.RUNNING.value), else_=builds.c.state)
)
_HEARD = _TOUCH.values(told_at=sa.func.coalesce(builds.c.told_at, sa.bindparam("_now")))
_RELEASE_PULL_REQUEST = sa.update(builds).where(_IN_PULL_REQUEST).values(claim=sa.null())
_RELEASE_OTHERS = _RELEASE_PULL_REQUEST.where(builds.c.id != sa.bindparam("_newest"))


def advance(tx: sa.Connection, stored: StoredBuild, state: BuildState, now: float, *, configured: bool = False) -> None:
    """Note how far a build is that goes on being worked on, and renew its lease.

    Of one that has just been *configured*, what that took does not count when it is started.

    Raises LeaseLost: a node that stood still for long must not start what another one has started meanwhile.
    """
    values = {
        "state": state,
        "changed_at": now,
        **({"configured_at": now, **_UNTRIED} if configured else {}),
        "build": dump(stored.build),
        "commit": stored.build.commit,
        "document": stored.document,
        **Lease(stored.leased_by, now).values,
    }
    if not tx.execute(_UPDATE_HELD, {**_held(stored), **values}).rowcount:
        raise LeaseLost(f"build {stored.build.id} is in other hands")


def put_back(tx: sa.Connection, stored: StoredBuild) -> None:
    """Let a build be worked on as soon as it is its turn again."""
    tx.execute(_UPDATE_HELD, {**_held(stored), "leased_by": "", "leased_until": 0.0})


def conclude(
    tx: sa.Connection, id: str, state: BuildState, now: float, reason: str = "", *, by_hand: bool = False
) -> None:
    """Nothing is left to do to start this build.

    One that is not there may be asked for again, unless it was ended *by_hand*: no edit of a title brings it back.
    """
    tx.execute(_CONCLUDE, {"_id": id, **_concluded(state, now, reason, by_hand=by_hand)})


def conclude_held(tx: sa.Connection, stored: StoredBuild, state: BuildState, now: float, reason: str) -> bool:
    """The same, unless the build is in other hands meanwhile, or done with. Returns whether it was not."""
    ours = bool(tx.execute(_CONCLUDE_HELD, {**_held(stored), **_concluded(state, now, reason)}).rowcount)
    if ours and state is BuildState.FAILED:
        happenings.note(tx, "build", stored.build.id, happenings.given_up(reason), now)
    return ours


def _concluded(state: BuildState, now: float, reason: str, *, by_hand: bool = False) -> dict[str, Any]:
    gone = (BuildState.REFUSED, BuildState.CANCELLED, BuildState.REMOVED)
    released = {"claim": None} if state in gone and not by_hand else {}
    return {**released, "state": state, "changed_at": now, "reason": reason}


def started(tx: sa.Connection, id: str, now: float) -> None:
    """The Container Manager has a build that was sent to it. What became of it since that was known stays."""
    tx.execute(_STARTED, {"_id": id, "started_at": now, "changed_at": now})


def postpone(tx: sa.Connection, stored: StoredBuild, *, due_at: float, error: str, now: float) -> None:
    """Put a build back, to be tried again at *due_at*, unless another node has it meanwhile."""
    values = postponed(stored.effort, due_at=due_at, error=error)
    if tx.execute(_UPDATE_HELD, {**_held(stored), **values}).rowcount:
        happenings.note(tx, "build", stored.build.id, error, now)


def _held(stored: StoredBuild) -> dict[str, str]:
    return {"_id": stored.build.id, "_holder": stored.leased_by}


def claimant(tx: sa.Connection, build: Build) -> StoredBuild | None:
    """The build that the same cannot be asked for besides."""
    row = tx.execute(sa.select(builds).where(builds.c.claim == build.claim)).first()
    return None if row is None else _stored(row)


def release(tx: sa.Connection, build: Build) -> None:
    """Let the same be asked for again, which gives a new build."""
    tx.execute(sa.update(builds).where(builds.c.claim == build.claim).values(claim=None))


def release_pull_request(tx: sa.Connection, repository: Repository, number: int) -> None:
    """Let every commit of a pull request be asked for again."""
    tx.execute(_RELEASE_PULL_REQUEST, _in_pull_request(repository, number))


def newest_of_branch(tx: sa.Connection, build: Build) -> StoredBuild | None:
    """The newest build of the branch that *build* is of, not counting those of its pull requests."""
    query = sa.select(builds).where(builds.c.lane == _lane(build), builds.c.pull_request.is_(None))
    row = tx.execute(query.order_by(builds.c.created_at.desc()).limit(1)).first()
    return None if row is None else _stored(row)


_OF_BRANCH = (
    sa.select(builds)
    .where(builds.c.lane == sa.bindparam("_lane"), builds.c.pull_request.is_(None))
    .order_by(builds.c.created_at.desc(), builds.c.id.desc())
    .with_for_update()
)


def of_branch(tx: sa.Connection, build: Build) -> list[StoredBuild]:
    """The builds of the branch that *build* is of, not counting those of pull requests; locked as in a pull request."""
    return [_stored(row) for row in tx.execute(_OF_BRANCH, {"_lane": build.repository.lane(build.branch)})]


def release_others(tx: sa.Connection, newest: Build) -> None:
    """Let the other commits of a pull request be asked for again: it has gone on, and may come back to any of them."""
    if newest.pull_request is not None:
        which = _in_pull_request(newest.repository, newest.pull_request.number)
        tx.execute(_RELEASE_OTHERS, {**which, "_newest": newest.id})


def ready(tx: sa.Connection, id: str, now: float) -> None:
    """The environment is there. A build that is run again is as old as it was."""
    tx.execute(_READY, {"_id": id, "_now": now})


def ended(tx: sa.Connection, id: str, origin: str) -> None:
    """Note what told that a build is not wanted any more."""
    _update(tx, id, {"ended_by": origins.teller(origin)})


def explain(tx: sa.Connection, id: str, reason: str) -> None:
    """Note why a build is going to fail, for what is reported of it later."""
    _update(tx, id, {"reason": reason})


def touch(tx: sa.Connection, id: str, now: float) -> None:
    """Something new is known of this build. One that had ended is run again."""
    tx.execute(_TOUCH, {"_id": id, "changed_at": now})


def heard(tx: sa.Connection, id: str, now: float) -> None:
    """The Container Manager has just told us something of this build. One that had ended is run again."""
    tx.execute(_HEARD, {"_id": id, "changed_at": now, "_now": now})


def told_at(tx: sa.Connection, after: float, before: float, limit: int) -> list[float | None]:
    """When each of the newest builds that were started between two times first told something; None: not yet."""
    started = sa.select(builds.c.told_at).where(builds.c.created_at > after, builds.c.started_at < before)
    return list(tx.scalars(started.order_by(builds.c.created_at.desc(), builds.c.id.desc()).limit(limit)))


def ask_about_others(tx: sa.Connection, build: Build, now: float) -> None:
    """Have it asked what became of the other builds of the commit of *build*, which wrote over what they told."""
    others = (builds.c.source == build.source.full_name, builds.c.commit == build.commit, builds.c.id != build.id)
    there = builds.c.state.in_((BuildState.RUNNING, BuildState.ENDED))
    going = sa.exists().where(removals.c.build_id == builds.c.id, GOING)
    asked = sa.update(builds).where(*others, there, ~going).values(state=BuildState.RUNNING)
    for id in tx.scalars(asked.returning(builds.c.id)).all():
        watches.heard(tx, id, build.source.full_name, now, due_at=now)


def send_again(tx: sa.Connection, id: str, now: float) -> None:
    """Have a build that was given up on tried again, from where it stopped; not one that is on its way meanwhile."""
    lock(tx, id)
    stored = _stored(tx.execute(_FIND, {"_id": id}).one())
    if stored.state is not BuildState.FAILED:
        return
    build, state = stored.build, BuildState.STARTING if stored.document else BuildState.QUEUED
    if len(build.commit) < FULL_HASH:
        withdraw(tx, build.source, build.commit)
    _update(tx, id, {**ANEW, "state": state, "reason": "", "changed_at": now})
    happenings.note(tx, "build", id, happenings.SENT_AGAIN, now)


def _update(tx: sa.Connection, id: str, values: dict[str, Any]) -> None:
    tx.execute(_UPDATE, {"_id": id, **values})


def prune(tx: sa.Connection, before: float, limit: int) -> int:
    """Delete up to *limit* builds that nothing was heard of since a time. Returns how many.

    The newest of an open pull request stays: an edit of its title would have the same commit built again.
    """
    still_open = sa.exists().where(
        pull_requests.c.lane == builds.c.lane,
        pull_requests.c.number == builds.c.pull_request,
        pull_requests.c.state == PullRequestState.OPEN,
    )
    claimed = sa.and_(builds.c.claim.is_not(None), still_open)
    old = sa.select(builds.c.id).where(builds.c.changed_at < before, ~builds.c.pending, ~claimed).limit(limit)
    return tx.execute(sa.delete(builds).where(builds.c.id.in_(old))).rowcount
