"""Reporter: makes Bitbucket agree with the desired state of every status."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from probo_bitbucket.bitbucket.api import Bitbucket
from probo_bitbucket.flow.work import log_fields
from probo_bitbucket.flow.work.leases import latest
from probo_bitbucket.flow.work.schedule import told_already
from probo_bitbucket.store import Database, Lease, statuses
from probo_bitbucket.store.statuses import StoredStatus


@define(eq=False)
class Reporter:
    """The step from a desired state to Bitbucket."""

    store: Database
    clock: IReactorTime
    bitbucket: Bitbucket

    name = "reporter"
    concurrency = 128
    log = Logger()

    async def claim(self, lease: Lease, limit: int, busy: Collection[str]) -> Sequence[StoredStatus]:
        return await self.store.transact(statuses.claim_pending, lease, limit, busy=busy)

    def repository(self, job: StoredStatus) -> str:
        return job.desired.repository.full_name

    async def work(self, job: StoredStatus) -> None:
        only_words = job.reported is not None and job.reported.state is job.desired.state
        await self.bitbucket.post_status(job.desired, only_words=only_words, not_after=latest(job.claimed_at))
        await self.store.transact(statuses.reported, job, self.clock.seconds())
        self._log("Status reported", "status.reported", job)

    async def postpone(self, job: StoredStatus, due_at: float, error: Exception) -> None:
        told = told_already(error)
        self._log("Status not reported, trying again", "status.postponed", job, str(error), told=told)
        now = self.clock.seconds()
        await self.store.transact(statuses.postpone, job, due_at=due_at, error=str(error), now=now)

    async def give_up(self, job: StoredStatus, error: Exception) -> None:
        self.log.error(
            "Status given up",
            event="status.failed",
            reason=str(error),
            **log_fields.of_status(job),
        )
        await self.store.transact(statuses.give_up, job, str(error), self.clock.seconds())

    def _log(self, words: str, event: str, job: StoredStatus, reason: str | None = None, *, told: bool = False) -> None:
        self.log.emit(
            LogLevel.debug if told else LogLevel.info,
            words,
            event=event,
            reason=reason,
            **log_fields.of_status(job),
        )
