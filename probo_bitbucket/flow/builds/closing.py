"""Closing: looks for what a closed pull request has left behind, once nothing of it is on its way any more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket import origins
from probo_bitbucket.flow.builds.environments import Environments
from probo_bitbucket.model import RemovalReason
from probo_bitbucket.store import Database, Lease, Transaction, builds, pull_requests, removals
from probo_bitbucket.store.builds import StoredBuild
from probo_bitbucket.store.pull_requests import KnownPullRequest
from probo_bitbucket.store.removals import Removal


@define(eq=False)
class Closing:
    """The step from a closed pull request to the removal of builds that the store may not know."""

    store: Database
    clock: IReactorTime
    environments: Environments
    wake: Callable[[], None]

    name = "closing"
    concurrency = 4
    log = Logger()

    async def claim(self, lease: Lease, limit: int, busy: Collection[str]) -> Sequence[KnownPullRequest]:
        return await self.store.transact(pull_requests.claim_closed, lease, limit, busy=busy)

    def repository(self, job: KnownPullRequest) -> str:
        return job.repository.full_name

    async def work(self, job: KnownPullRequest) -> None:
        build_ids = await self.environments.left_by(job)
        await self.store.transact(self._want, job, build_ids)
        self.wake()

    def _want(self, tx: Transaction, job: KnownPullRequest, build_ids: Sequence[str]) -> None:
        known = pull_requests.find(tx, job.repository, job.number)
        if known is None or known.open:
            return  # it was told of meanwhile
        words, name = f"pull request #{job.number} is {job.state.lower()}", job.repository.full_name
        for id in build_ids:
            if _is_elsewhere(builds.find(tx, id), job):
                continue
            removal = Removal(id, name, job.number, RemovalReason.CLOSED, words, known.closed_by)
            if removals.want(tx, removal, self.clock.seconds()):
                builds.ended(tx, id, known.closed_by)
        pull_requests.looked(tx, job)

    async def postpone(self, job: KnownPullRequest, due_at: float, error: Exception) -> None:
        words = "What a pull request has left behind was not found out yet"
        self.log.warn(words, event="closing.postponed", attempt=job.effort.attempts, **_fields(job, error))
        await self.store.transact(pull_requests.postpone, job, due_at=due_at, error=str(error))

    async def give_up(self, job: KnownPullRequest, error: Exception) -> None:
        words = "What a pull request has left behind was not found out"
        self.log.error(words, event="closing.failed", **_fields(job, error))
        await self.store.transact(pull_requests.looked, job, str(error))


def _is_elsewhere(stored: StoredBuild | None, job: KnownPullRequest) -> bool:
    """Whether we know a build as another pull request's: our word counts more than how a project is called there."""
    if stored is None:
        return False
    build = stored.build
    number = build.pull_request.number if build.pull_request else None
    return (build.repository.identity, number) != (job.repository.identity, job.number)


def _fields(job: KnownPullRequest, error: Exception) -> dict[str, Any]:
    return {
        "delivery": origins.delivery_of(job.closed_by),
        "repository": job.repository.full_name,
        "pull_request": job.number,
        "reason": str(error),
    }
