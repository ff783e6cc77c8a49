"""Teardown: takes the environments down that nobody wants any more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from attrs import define, evolve
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket import origins
from probo_bitbucket.flow.builds.ending import Ending
from probo_bitbucket.flow.builds.environments import Environments
from probo_bitbucket.flow.work import log_fields
from probo_bitbucket.model import BuildState, RemovalReason
from probo_bitbucket.store import Database, Effort, Lease, Transaction, builds, removals, watches
from probo_bitbucket.store.builds import StoredBuild
from probo_bitbucket.store.removals import Removal

PINNED_PAUSE = 3600.0  # seconds until an environment that somebody has pinned is asked about again


@define(eq=False)
class Teardown:
    """The step from a build that is not wanted to an environment that is not there.

    *wake* tells the reporter that there is a status.
    """

    store: Database
    clock: IReactorTime
    environments: Environments
    ending: Ending
    wake: Callable[[], None]

    name = "teardown"
    concurrency = 8
    log = Logger()

    async def claim(self, lease: Lease, limit: int, busy: Collection[str]) -> Sequence[Removal]:
        return await self.store.transact(removals.claim_pending, lease, limit, busy=busy)

    def repository(self, job: Removal) -> str:
        return job.repository

    async def work(self, job: Removal) -> None:
        if await self.environments.take_down(job):
            stored = await self.store.transact(self._removed, job)
            self.wake()
            known = log_fields.of_build(stored.build) if stored else {}
            self.log.info("Environment taken down", event="build.removed", **{**known, **_fields(job, job.words)})
        else:
            await self._leave(job, "it is pinned")

    async def _leave(self, job: Removal, reason: str) -> None:
        """Ask again later, however long it takes: this is no failure."""
        await self.store.transact(self._leave_pinned, job, reason)
        self.log.info("Environment left alone", event="build.pinned", **_fields(job, reason))

    def _leave_pinned(self, tx: Transaction, job: Removal, reason: str) -> None:
        """Its statuses are its own from now on: it is asked for what they were before they were stopped."""
        now, unharmed = self.clock.seconds(), evolve(job, effort=Effort(0, None), pinned=True)
        stored = builds.find(tx, job.build_id)
        if stored is not None and not job.pinned:
            builds.touch(tx, job.build_id, now)
            watches.heard(tx, job.build_id, stored.build.source.full_name, now, due_at=now)
        removals.postpone(tx, unharmed, due_at=now + PINNED_PAUSE, error=reason, now=now)

    def _removed(self, tx: Transaction, job: Removal) -> StoredBuild | None:
        now = self.clock.seconds()
        removals.end(tx, job.build_id, now)
        stored = self._shown_no_more(tx, job, now)
        self.ending.gone(tx, job, now)
        if stored is not None and stored.state is not BuildState.CANCELLED:
            by_hand = job.reason is RemovalReason.BY_HAND
            builds.conclude(tx, job.build_id, BuildState.REMOVED, now, job.words, by_hand=by_hand)
        return stored

    def _shown_no_more(self, tx: Transaction, job: Removal, now: float) -> StoredBuild | None:
        """Stop the statuses that a pinned build had back: nothing is told of it any more. Returns the build."""
        stored = builds.find(tx, job.build_id)
        if stored is not None and job.pinned:
            self.ending.stop_statuses(tx, stored.build, job.words, now)
        return stored

    async def postpone(self, job: Removal, due_at: float, error: Exception) -> None:
        words = "Environment not taken down yet"
        self.log.warn(words, event="build.removal_postponed", attempt=job.effort.attempts, **_fields(job, str(error)))
        now = self.clock.seconds()
        await self.store.transact(removals.postpone, job, due_at=due_at, error=str(error), now=now)

    async def give_up(self, job: Removal, error: Exception) -> None:
        self.log.error("Environment not taken down", event="build.removal_failed", **_fields(job, str(error)))
        await self.store.transact(self._given_up, job, str(error))

    def _given_up(self, tx: Transaction, job: Removal, error: str) -> None:
        now = self.clock.seconds()
        removals.give_up(tx, job.build_id, error, now)
        self._shown_no_more(tx, job, now)


def _fields(job: Removal, reason: str) -> dict[str, Any]:
    return {
        "build": job.build_id,
        "repository": job.repository,
        "pull_request": job.pull_request,
        "ending_delivery": origins.delivery_of(job.origin),
        "reason": reason,
    }
