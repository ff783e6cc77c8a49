"""Decision: turns one delivery into what it asks for, or into a reason why it asks for nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket import origins
from probo_bitbucket.bitbucket import payloads
from probo_bitbucket.flow import log_fields
from probo_bitbucket.flow.responder import Responder, Response
from probo_bitbucket.model import DeliveryState, Event
from probo_bitbucket.store import Database, Lease, Transaction, deliveries, repositories
from probo_bitbucket.store.deliveries import WaitingDelivery


@define
class Decision:
    """The step from a delivery to builds, or to their end. *wake* tells the next steps that there is something."""

    store: Database
    clock: IReactorTime
    site_url: str
    responder: Responder
    reconcile: float  # seconds after news of a repository until it is looked at, 0 for never
    wake: Callable[[], None]

    name = "decision"
    concurrency = 100
    log = Logger()

    async def claim(self, lease: Lease, limit: int, busy: Collection[str]) -> Sequence[WaitingDelivery]:
        return await self.store.transact(deliveries.claim_waiting, lease, limit, busy=busy)

    def repository(self, job: WaitingDelivery) -> str:
        return job.repository

    async def work(self, job: WaitingDelivery) -> None:
        event = payloads.read(job.delivery.event_key, job.delivery.body, self.site_url)
        response = await self.store.transact(self._decide, job, event)
        self._log(job, response)
        self.wake()

    def _decide(self, tx: Transaction, job: WaitingDelivery, event: Event) -> Response:
        """Respond and write the decision down, in one transaction: that is what makes it one build."""
        now = self.clock.seconds()
        origin = origins.delivery(job.id, found=job.delivery.event_key == payloads.FOUND)
        response = self.responder.respond(tx, event, now, origin)
        if self.reconcile and event.repository is not None:
            repositories.active(tx, event.repository, now, self.reconcile)
        if job.accepted and response.state is DeliveryState.IGNORED:
            deliveries.let_stand(tx, job, response.reason, now)
        else:
            deliveries.decide(tx, job.id, response.state, response.reason, now, build_id=response.build_id)
        return response

    def _log(self, job: WaitingDelivery, response: Response) -> None:
        for build in response.builds:
            fields = log_fields.of_build(build)
            self.log.info("A build is wanted", event="build.wanted", branch=build.branch, **fields)
        told = {**_fields(job), "reason": response.reason}
        if response.state is DeliveryState.REFUSED:
            self.log.info("A build is not allowed", event="build.not_allowed", **told)
        elif response.state is DeliveryState.IGNORED:
            event = "build.known" if response.known else "build.none"
            self.log.info("No new build", event=event, build=response.build_id, **told)
        elif not response.builds:
            self.log.info("Builds are not wanted any more", event="delivery.done", **told)
        self.log.debug("Delivery decided", event="delivery.decided", state=response.state, **_fields(job))

    async def postpone(self, job: WaitingDelivery, due_at: float, error: Exception) -> None:
        self._log_trouble("Delivery not decided yet", "delivery.postponed", job, str(error))
        now = self.clock.seconds()
        await self.store.transact(deliveries.postpone, job, due_at=due_at, error=str(error), now=now)

    async def give_up(self, job: WaitingDelivery, error: Exception) -> None:
        self._log_trouble("Delivery given up", "delivery.failed", job, str(error))
        await self.store.transact(deliveries.give_up, job.id, str(error), self.clock.seconds())

    def _log_trouble(self, words: str, event: str, job: WaitingDelivery, reason: str) -> None:
        self.log.warn(
            words,
            event=event,
            attempt=job.effort.attempts,
            reason=reason,
            **_fields(job),
        )


def _fields(job: WaitingDelivery) -> dict[str, Any]:
    return {
        "delivery": job.id,
        "event_key": job.delivery.event_key,
        "repository": job.repository,
        "pull_request": job.pull_request,
    }
