"""Commenter: keeps one comment on each pull request up to date."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket import origins
from probo_bitbucket.bitbucket.api import Bitbucket
from probo_bitbucket.bitbucket.scopes import ScopeMissing
from probo_bitbucket.errors import Permanent
from probo_bitbucket.flow.statuses.comment import marker
from probo_bitbucket.flow.work.leases import latest
from probo_bitbucket.store import Database, Lease, comments
from probo_bitbucket.store.comments import StoredComment


@define(eq=False)
class Commenter:
    """The step from a desired comment to Bitbucket. Statuses come first: nothing waits for a comment."""

    store: Database
    clock: IReactorTime
    bitbucket: Bitbucket
    instance_name: str

    name = "commenter"
    concurrency = 8
    log = Logger()

    async def claim(self, lease: Lease, limit: int, busy: Collection[str]) -> Sequence[StoredComment]:
        return await self.store.transact(comments.claim_pending, lease, limit, busy=busy)

    def repository(self, job: StoredComment) -> str:
        return job.desired.repository.full_name

    async def work(self, job: StoredComment) -> None:
        number = await self._write(job)
        await self.store.transact(comments.written, job, number)
        self.log.info("Comment written", event="comment.written", **_fields(job))

    async def _write(self, job: StoredComment) -> int:
        """Edit our comment, or make one where there is none. Returns its id.

        Whether there is one is looked up before it is made: the answer to an earlier try may have been lost.
        """
        if job.number is not None and await self._edited(job, job.number):
            return job.number
        found = await self.bitbucket.comments_with(job.desired, marker(self.instance_name))
        # To read many comments takes longer than may pass before one is written: that would never come to its end.
        job = await self.store.transact(comments.keep, job, self.clock.seconds())
        for number in found:
            if number != job.number and await self._edited(job, number):
                return number
        return await self.bitbucket.add_comment(job.desired, not_after=latest(job.claimed_at))

    async def _edited(self, job: StoredComment, number: int) -> bool:
        """Edit a comment, unless it belongs to somebody else: anybody can write our mark, and accounts change."""
        try:
            await self.bitbucket.edit_comment(job.desired, number, not_after=latest(job.claimed_at))
        except ScopeMissing:
            raise
        except Permanent as error:
            if error.status != 403:
                raise
            return False
        return True

    async def postpone(self, job: StoredComment, due_at: float, error: Exception) -> None:
        self.log.info("Comment not written, trying again", event="comment.postponed", **_fields(job, error))
        await self.store.transact(comments.postpone, job, due_at=due_at, error=str(error))

    async def give_up(self, job: StoredComment, error: Exception) -> None:
        self.log.warn("No comment until the next build", event="comment.failed", **_fields(job, error))
        await self.store.transact(comments.refuse, job, str(error))


def _fields(job: StoredComment, error: Exception | None = None) -> dict[str, Any]:
    return {
        "delivery": origins.delivery_of(job.origin),
        "build": job.build_id,
        "repository": job.desired.repository.full_name,
        "pull_request": job.desired.pull_request,
        "reason": str(error) if error else None,
    }
