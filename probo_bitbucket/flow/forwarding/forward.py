"""Forward: passes updates on to the handlers of other providers, unchanged and in order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from attrs import define
from twisted.logger import Logger

from probo_bitbucket.errors import Permanent
from probo_bitbucket.probo.handlers import OtherHandler
from probo_bitbucket.store import Database, Lease, forwarded
from probo_bitbucket.store.forwarded import StoredUpdate


@define(eq=False)
class Forward:
    """The step from an update that is written down to the handler that it is for. *handlers* go by provider."""

    store: Database
    handlers: Mapping[str, OtherHandler]

    name = "forward"
    concurrency = 64
    log = Logger()

    async def claim(self, lease: Lease, limit: int, busy: Collection[str]) -> Sequence[StoredUpdate]:
        return await self.store.transact(forwarded.claim_pending, lease, limit, busy=busy)

    def repository(self, job: StoredUpdate) -> str:
        """The provider: it is their handlers, not their repositories, that must not hold each other up."""
        return job.update.provider

    async def work(self, job: StoredUpdate) -> None:
        handler = self.handlers.get(job.update.provider)
        if handler is None:
            raise Permanent(f"the settings have no `forward.{job.update.provider}` any more")
        await handler.post(job.update.path, job.update.content_type, job.update.body, job.update.trail)
        await self.store.transact(forwarded.passed_on, job)
        self.log.info("Update passed on", event="forward.passed_on", **_fields(job))

    async def postpone(self, job: StoredUpdate, due_at: float, error: Exception) -> None:
        self.log.info("Update not passed on, trying again", event="forward.postponed", **_fields(job, error))
        await self.store.transact(forwarded.postpone, job, due_at=due_at, error=str(error))

    async def give_up(self, job: StoredUpdate, error: Exception) -> None:
        self.log.error("Update given up", event="forward.failed", **_fields(job, error))
        await self.store.transact(forwarded.give_up, job, str(error))


def _fields(job: StoredUpdate, error: Exception | None = None) -> dict[str, Any]:
    return {
        "upstream": job.update.provider,
        "build": job.update.build_id,
        "repository": job.update.repository,
        "context": job.update.context,
        "reason": str(error) if error else None,
    }
