"""Statuses: what Bitbucket shall show for one (repository, commit, key), and what it was last told."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from probo_bitbucket.model import Phase, Repository, Status
from probo_bitbucket.store import happenings, steps
from probo_bitbucket.store.columns import dump, load
from probo_bitbucket.store.schema import builds, statuses
from probo_bitbucket.store.sql import ANEW, Claims, Effort, Lease, done, postponed


@frozen
class StoredStatus:
    """A desired state, its version, and what Bitbucket has (None before the first report)."""

    build_id: str
    context: str
    desired: Status
    reported: Status | None
    version: int
    settled: bool
    tasks: dict[str, Phase]
    effort: Effort
    failed: bool
    error: str
    milestone: int | None  # None but for a summary, which follows from the other statuses of its build
    pull_request: int | None  # of the build, while that is known
    origin: str  # of the build, empty where that is not known
    claimed_at: float = 0.0

    @property
    def is_summary(self) -> bool:
        return self.milestone is not None


_ITS_BUILD = builds.c.id == statuses.c.build_id
_WITH_ITS_BUILD = (
    statuses,
    sa.select(builds.c.pull_request).where(_ITS_BUILD).scalar_subquery().label("pull_request"),
    sa.select(builds.c.origin).where(_ITS_BUILD).scalar_subquery().label("origin"),
)


@frozen
class Wish:
    """A new desired state, with what it comes from."""

    build_id: str
    context: str
    status: Status
    tasks: dict[str, Phase]
    settled: bool
    due_at: float = 0.0
    worth_reporting: bool = True
    milestone: int | None = None


_KEY = sa.and_(*(statuses.c[name] == sa.bindparam(f"_{name}") for name in ("repository", "commit", "key")))
_FIND = sa.select(*_WITH_ITS_BUILD).where(_KEY).with_for_update()
_INSERT = sa.insert(statuses)
_UPDATE = sa.update(statuses).where(_KEY)
_UPDATE_PENDING = _UPDATE.where(statuses.c.pending)
_NEWER = statuses.c.version > sa.bindparam("_version")
_POSTPONE = _UPDATE_PENDING.where(~_NEWER)
_LET_GO = _UPDATE_PENDING.where(_NEWER).values(leased_by="", leased_until=0.0)
_REOPEN = _UPDATE.where(~statuses.c.pending, ~statuses.c.failed, _NEWER).values(pending=True, due_at=0.0)
_REPORTED = _UPDATE.values(**{**done(statuses), "pending": _NEWER, "failed": False})
_GIVE_UP = _UPDATE_PENDING.values(**{**done(statuses), "pending": _NEWER, "failed": ~_NEWER}).returning(
    statuses.c.failed
)
_WITHDRAW = sa.delete(statuses).where(
    statuses.c.repository == sa.bindparam("_repository"), statuses.c.commit == sa.bindparam("_commit")
)
_OF_BUILD = (
    sa.select(*_WITH_ITS_BUILD)
    .where(statuses.c.build_id == sa.bindparam("_build_id"))
    .order_by(statuses.c.key)
    .with_for_update()
)


def find(tx: sa.Connection, status: Status) -> StoredStatus | None:
    """What is stored under the (repository, commit, key) of *status*; locked until the transaction ends."""
    row = tx.execute(_FIND, _key(status)).first()
    return None if row is None else _stored(row)


def desire(tx: sa.Connection, wish: Wish, previous: StoredStatus | None, now: float) -> None:
    """Make *wish* what Bitbucket shall show, in place of *previous*.

    A version that is just being reported stays pending: whoever reports it sees that there is a newer one.
    """
    if wish.milestone is None:  # of a summary each step was told by itself
        steps.tell(tx, wish.build_id, wish.context, wish.status, now)
    values: dict[str, Any] = {
        "build_id": wish.build_id,
        "context": wish.context,
        "rank": 0 if wish.status.state.final else 1,
        "settled": wish.settled,
        "tasks": dump(wish.tasks),
        "desired": dump(wish.status),
        "milestone": wish.milestone,
        "changed_at": now,
    }
    if previous is None:
        key = {"repository": wish.status.repository.full_name, "commit": wish.status.commit, "key": wish.status.key}
        fresh = {"version": 1, "pending": wish.worth_reporting, "due_at": wish.due_at}
        tx.execute(_INSERT, {**key, **values, **fresh})
        return
    if wish.worth_reporting:
        values |= {"version": previous.version + 1, "pending": True, "failed": False}
        values |= {} if _waits(wish, previous) else {"due_at": wish.due_at, "attempts": 0, "failing_since": None}
    tx.execute(_UPDATE, {**_key(wish.status), **values})


def _waits(wish: Wish, previous: StoredStatus) -> bool:
    """Whether *wish* goes on with the effort of *previous*, which could not be reported.

    The first final state does not. What the budget has no request for in the meantime, it may have one for at the end;
    and however long the states before it waited, it has a first try of its own.
    """
    first_final = wish.status.state.final and not previous.desired.state.final
    return previous.effort.attempts > 0 and not first_final


_CLAIMS = Claims(statuses, sa.select(*_WITH_ITS_BUILD).order_by(statuses.c.rank, statuses.c.due_at))


def claim_pending(tx: sa.Connection, lease: Lease, limit: int, *, busy: Collection[str] = ()) -> list[StoredStatus]:
    """Lease up to *limit* statuses that Bitbucket does not have yet, final states first.

    Repositories named in *busy* are passed over: they have as many requests on their way as one may have.
    """
    return [_stored(row, lease.now) for row in _CLAIMS.take(tx, lease, limit, busy)]


def reported(tx: sa.Connection, stored: StoredStatus, now: float) -> None:
    """Bitbucket has the version that *stored* has. A newer one stays to be reported."""
    values = {"_version": stored.version, "reported": dump(stored.desired), "reported_at": now}
    tx.execute(_REPORTED, {**_key(stored.desired), **values})


def postpone(tx: sa.Connection, stored: StoredStatus, *, due_at: float, error: str, now: float) -> None:
    """Put a status back, to be reported at *due_at*, unless another node has reported it meanwhile.

    A newer version has its own time: the trouble that the older one met is none of its own. One that another node
    reported is reported once more: a request that failed here may have reached Bitbucket after that one.
    """
    which = {**_key(stored.desired), "_version": stored.version}
    tx.execute(_REOPEN, which)
    if tx.execute(_POSTPONE, {**which, **postponed(stored.effort, due_at=due_at, error=error)}).rowcount:
        happenings.note(tx, "status", stored.build_id, error, now, stored.desired.key)
    tx.execute(_LET_GO, which)


def give_up(tx: sa.Connection, stored: StoredStatus, error: str, now: float) -> None:
    """Leave a status unreported, unless there is a newer version of it. It stays visible with its *error*.

    A newer one that another node reported meanwhile is reported once more, as where this one is postponed.
    """
    which = {**_key(stored.desired), "_version": stored.version}
    tx.execute(_REOPEN, which)
    if tx.scalar(_GIVE_UP, {**which, "last_error": error}):
        happenings.note(tx, "status", stored.build_id, happenings.given_up(error), now, stored.desired.key)


def send_again(tx: sa.Connection, stored: StoredStatus, now: float) -> None:
    """Report a status anew."""
    tx.execute(_UPDATE, {**_key(stored.desired), **ANEW, "failed": False})
    happenings.note(tx, "status", stored.build_id, happenings.SENT_AGAIN, now, stored.desired.key)


def withdraw(tx: sa.Connection, repository: Repository, commit: str) -> None:
    """Forget what is shown of a commit that was known by its short hash only: what follows is under the full one."""
    tx.execute(_WITHDRAW, {"_repository": repository.full_name, "_commit": commit})


def of_build(tx: sa.Connection, build_id: str) -> list[StoredStatus]:
    """All statuses of one build, in the order of their keys."""
    return [_stored(row) for row in tx.execute(_OF_BUILD, {"_build_id": build_id})]


def _key(status: Status) -> dict[str, str]:
    return {"_repository": status.repository.full_name, "_commit": status.commit, "_key": status.key}


def _stored(row: sa.Row[Any], claimed_at: float = 0.0) -> StoredStatus:
    return StoredStatus(
        build_id=row.build_id,
        context=row.context,
        desired=load(row.desired, Status),
        reported=load(row.reported, Status) if row.reported else None,
        version=row.version,
        settled=row.settled,
        tasks=load(row.tasks, dict[str, Phase]),
        effort=Effort.of(row),
        failed=row.failed,
        error=row.last_error,
        milestone=row.milestone,
        pull_request=row.pull_request,
        origin=row.origin or "",
        claimed_at=claimed_at,
    )


def prune(tx: sa.Connection, before: float, limit: int) -> int:
    """Delete up to *limit* statuses that were reported and last changed before a time. Returns how many."""
    fields = (statuses.c.repository, statuses.c.commit, statuses.c.key)
    old = sa.select(*fields).where(statuses.c.changed_at < before, ~statuses.c.pending).limit(limit)
    return tx.execute(sa.delete(statuses).where(sa.tuple_(*fields).in_(old))).rowcount
