"""Hand-on: tells the coordinator of renewed tokens, so that every project that shares a chain has the newest.

What is to be handed on is written down with the new pair, in one transaction. Nobody who asked for a token waits.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import define
from twisted.logger import Logger

from probo_bitbucket.probo.container_manager import ContainerManager
from probo_bitbucket.store import Database, Lease, hand_ons
from probo_bitbucket.store.hand_ons import HandOn

PROJECT = "project "  # begins the name of who holds a chain; the project's id follows


@define(eq=False)
class HandingOn:
    """The step from a chain with a newer pair to the coordinator."""

    store: Database
    coordinator: ContainerManager

    name = "hand-on"
    concurrency = 16
    log = Logger()

    async def claim(self, lease: Lease, limit: int, busy: Collection[str]) -> Sequence[HandOn]:
        return await self.store.transact(hand_ons.claim_pending, lease, limit, holders=PROJECT, busy=busy)

    def repository(self, job: HandOn) -> str:
        return job.chain.origin

    async def work(self, job: HandOn) -> None:
        chain = job.chain
        await self.coordinator.store_tokens(
            project_id=job.holder.removeprefix(PROJECT),
            token=chain.access_token,
            refresh_token=chain.refresh_token,
            previous=job.held,
            created_at=chain.refreshed_at,
            expires_in=chain.expires_at - chain.refreshed_at,
        )
        await self.store.transact(hand_ons.taken, job)
        self.log.info("The coordinator has the renewed tokens", event="credentials.handed_on", account=job.holder)

    async def postpone(self, job: HandOn, due_at: float, error: Exception) -> None:
        words = "The coordinator did not take the renewed tokens yet"
        self._log_trouble(words, "credentials.hand_on_postponed", job, error)
        await self.store.transact(hand_ons.postpone, job, due_at=due_at, error=str(error))

    async def give_up(self, job: HandOn, error: Exception) -> None:
        self._log_trouble("Renewed tokens given up", "credentials.not_handed_on", job, error)
        await self.store.transact(hand_ons.give_up, job, str(error))

    def _log_trouble(self, words: str, event: str, job: HandOn, error: Exception) -> None:
        self.log.warn(
            words,
            event=event,
            account=job.holder,
            attempt=job.effort.attempts,
            reason=str(error),
        )
