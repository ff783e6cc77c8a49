"""Pull requests: what is known of each, so that late news is known for what it is."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from probo_bitbucket.model import (
    SHORT_HASH,
    PullRequest,
    PullRequestChanged,
    PullRequestClosed,
    PullRequestState,
    Repository,
)
from probo_bitbucket.store.columns import dump, load
from probo_bitbucket.store.schema import builds, pull_requests
from probo_bitbucket.store.sql import ANEW, Claims, Effort, Lease, done, insert_by, postponed


@frozen
class KnownPullRequest:
    """A pull request as it was last told of. *pull_request* is None where that was when it was closed only."""

    repository: Repository
    number: int
    state: PullRequestState
    branch: str
    pull_request: PullRequest | None
    updated_at: float  # by Bitbucket's clock, 0 where that is not known
    approved: str  # the short hash of the fork's commit that a member allowed to be built
    policy: str  # what the settings said of such pull requests when it was last told of
    closed_by: str  # what told that it is closed, such as `delivery 17`; empty while it is open
    effort: Effort

    @property
    def open(self) -> bool:
        return self.state is PullRequestState.OPEN


_FIND = sa.select(pull_requests).where(pull_requests.c.lane == sa.bindparam("_lane")).with_for_update()


def find(tx: sa.Connection, repository: Repository, number: int) -> KnownPullRequest | None:
    """Pull request *number* of a repository, whatever that is called; locked until the transaction ends."""
    row = tx.execute(_FIND, {"_lane": repository.lane(number)}).first()
    return None if row is None else _known(row)


def tell_open(tx: sa.Connection, event: PullRequestChanged, now: float, policy: str = "") -> None:
    """Remember what *event* tells, and the *policy* by which it is decided, if it is."""
    told = event.pull_request
    values = {
        "source": told.source.full_name,
        "branch": told.branch,
        "pull_request": dump(told),
        "state": told.state,
        "updated_at": told.updated_at,
        "policy": policy,
        "closed_by": "",
        "pending": False,  # of one that is open again nothing has to be looked for
    }
    _tell(tx, event.repository, event.number, values, {}, now)


def tell_closed(tx: sa.Connection, event: PullRequestClosed, now: float, origin: str, *, look: bool) -> None:
    """Remember that it is closed, and that *origin* told so.

    Where asked to *look*, what it left behind is to be looked for.
    """
    told = {"state": event.state, "updated_at": event.updated_at, "closed_by": origin}
    values = {**told, **(ANEW if look else {"pending": False})}
    unknown = {"source": "", "branch": event.branch, "pull_request": ""}
    _tell(tx, event.repository, event.number, values, unknown, now)


def _tell(
    tx: sa.Connection,
    repository: Repository,
    number: int,
    values: dict[str, Any],
    where_new: dict[str, Any],
    now: float,
) -> None:
    values = {**values, "repository": repository.full_name, "home": dump(repository), "changed_at": now}
    key = {"lane": repository.lane(number), "identity": repository.identity, "number": number}
    tx.execute(_telling(tx.dialect.name, tuple(values)), {**key, **where_new, **values})


@cache
def _telling(dialect: str, changed: tuple[str, ...]) -> Any:
    """Writes a row, or the columns *changed* of the one that is there."""
    made = insert_by(dialect, pull_requests)
    set_ = {name: made.excluded[name] for name in changed}
    return made.on_conflict_do_update(index_elements=["lane"], set_=set_)


def open_numbers(tx: sa.Connection, repository: Repository) -> set[int]:
    """The numbers of the pull requests of a repository that are known as open."""
    return set(tx.scalars(sa.select(pull_requests.c.number).where(*_open_in(repository))))


def any_open_called(tx: sa.Connection, repository: str) -> bool:
    """Whether an open pull request is known whose repository had that full name when it was last told of."""
    called = (pull_requests.c.repository == repository, pull_requests.c.state == PullRequestState.OPEN)
    return tx.scalar(sa.select(pull_requests.c.number).where(*called).limit(1)) is not None


def open_from(tx: sa.Connection, repository: Repository, branch: str) -> list[KnownPullRequest]:
    """The open pull requests of the repository that ask for this branch of it, as far as they are known."""
    its_own = (pull_requests.c.source == pull_requests.c.repository, pull_requests.c.branch == branch)
    query = sa.select(pull_requests).where(*_open_in(repository), *its_own)
    return [_known(row) for row in tx.execute(query.order_by(pull_requests.c.number))]


def _open_in(repository: Repository) -> tuple[sa.ColumnElement[bool], ...]:
    return pull_requests.c.identity == repository.identity, pull_requests.c.state == PullRequestState.OPEN


def approve(tx: sa.Connection, repository: Repository, number: int, commit: str) -> bool:
    """Let a commit of a fork be built: the rules ask for it where `forks: approve` is set.

    Returns whether the pull request is known. Another commit needs another approval.
    """
    values = {"approved": commit[:SHORT_HASH]}
    return bool(tx.execute(sa.update(pull_requests).where(_key(repository, number)).values(**values)).rowcount)


_ON_ITS_WAY = sa.exists().where(
    builds.c.pending,
    builds.c.lane == pull_requests.c.lane,
    builds.c.pull_request == pull_requests.c.number,
)
_CLAIMS = Claims(pull_requests, sa.select(pull_requests).where(~_ON_ITS_WAY).order_by(pull_requests.c.changed_at))


def claim_closed(tx: sa.Connection, lease: Lease, limit: int, *, busy: Collection[str] = ()) -> list[KnownPullRequest]:
    """Lease closed pull requests whose remains are to be looked for, once none of their builds is on its way."""
    return [_known(row) for row in _CLAIMS.take(tx, lease, limit, busy)]


def looked(tx: sa.Connection, known: KnownPullRequest, error: str = "") -> None:
    """Nothing is left to be looked for; with an *error*, because it was given up."""
    _update(tx, known, {**done(pull_requests), "last_error": error})


def postpone(tx: sa.Connection, known: KnownPullRequest, *, due_at: float, error: str) -> None:
    """Put it back, to be looked at again at *due_at*."""
    _update(tx, known, postponed(known.effort, due_at=due_at, error=error))


def send_again(tx: sa.Connection, repository: str, number: int) -> None:
    """Have one looked after again that was given up on, by the name that it has in the list of these."""
    named = (pull_requests.c.repository == repository, pull_requests.c.number == number)
    which = sa.and_(*named, ~pull_requests.c.pending, pull_requests.c.last_error != "")
    tx.execute(sa.update(pull_requests).where(which).values(**ANEW))


def _update(tx: sa.Connection, known: KnownPullRequest, values: dict[str, Any]) -> None:
    which = sa.and_(_key(known.repository, known.number), pull_requests.c.pending)
    tx.execute(sa.update(pull_requests).where(which).values(**values))


def _key(repository: Repository, number: int) -> sa.ColumnElement[bool]:
    return pull_requests.c.lane == repository.lane(number)


def _known(row: sa.Row[Any]) -> KnownPullRequest:
    return KnownPullRequest(
        repository=load(row.home, Repository),
        number=row.number,
        state=PullRequestState(row.state),
        branch=row.branch,
        pull_request=load(row.pull_request, PullRequest) if row.pull_request else None,
        updated_at=row.updated_at,
        approved=row.approved,
        policy=row.policy,
        closed_by=row.closed_by,
        effort=Effort.of(row),
    )


def prune(tx: sa.Connection, before: float, limit: int) -> int:
    """Delete up to *limit* pull requests that were closed before a time. Returns how many."""
    closed = (pull_requests.c.state != PullRequestState.OPEN, ~pull_requests.c.pending)
    old = sa.select(pull_requests.c.lane).where(pull_requests.c.changed_at < before, *closed).limit(limit)
    return tx.execute(sa.delete(pull_requests).where(pull_requests.c.lane.in_(old))).rowcount
