"""Decision: turns one delivery into what it asks for, or into a reason why it asks for nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from attrs import define, evolve, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket import origins
from probo_bitbucket.bitbucket import payloads
from probo_bitbucket.flow.deliveries.responder import Responder, Response
from probo_bitbucket.flow.work import log_fields
from probo_bitbucket.flow.work.leases import latest
from probo_bitbucket.model import DeliveryState
from probo_bitbucket.store import Database, Effort, Lease, StoreUnavailable, Transaction, deliveries, repositories
from probo_bitbucket.store.deliveries import WaitingDelivery


@frozen
class Taken:
    """A delivery that was taken out of the store, and what became of it, if it is decided."""

    waiting: WaitingDelivery
    response: Response | None
    effort: Effort

    @property
    def tried(self) -> WaitingDelivery:
        """The delivery, and what was tried on it meanwhile."""
        return evolve(self.waiting, effort=self.effort)


@define(eq=False)
class Decision:
    """The step from a delivery to builds, or to their end.

    *build* tells who starts builds that there may be some, *wake* those who end them and tell of it.
    """

    store: Database
    clock: IReactorTime
    site_url: str
    responder: Responder
    reconcile: float  # seconds after news of a repository until it is looked at, 0 for never
    build: Callable[[], None]
    wake: Callable[[], None]

    name = "decision"
    concurrency = 100
    log = Logger()

    async def claim(self, lease: Lease, limit: int, busy: Collection[str]) -> Sequence[Taken]:
        """Take deliveries and decide them at once: that asks nobody, and so nobody needs a lease for it.

        Where that fails for one of them, they are only taken, so that each is decided on its own. What is decided is
        told here: nobody works on it where the service is stopped meanwhile.
        """
        decided = self.store.transact(self._decide_due, lease.now, limit, busy)
        self.build()  # who looks for builds comes right behind it, and shares its commit, too
        try:
            taken = await decided
        except StoreUnavailable:
            raise
        except Exception:  # noqa: BLE001 (it comes again where its delivery is known)
            waiting = await self.store.transact(deliveries.claim_waiting, lease, limit, busy=busy)
            return [Taken(each, None, each.effort) for each in waiting]
        for each, response in taken:
            self._log(each, response)
        if self.clock.seconds() > latest(lease.now):
            self.wake()
            return []  # what is taken so late is left to others, but of this nothing is left
        return [Taken(each, response, each.effort) for each, response in taken]

    def _decide_due(
        self, tx: Transaction, now: float, limit: int, busy: Collection[str]
    ) -> list[tuple[WaitingDelivery, Response]]:
        return [(each, self._decide(tx, each)) for each in deliveries.waiting(tx, now, limit, busy=busy)]

    def repository(self, job: Taken) -> str:
        return job.waiting.repository

    async def work(self, job: Taken) -> None:
        if job.response is None:
            decided = self.store.transact(self._decide, job.waiting)
            self.build()
            self._log(job.waiting, await decided)
        self.wake()

    def _decide(self, tx: Transaction, job: WaitingDelivery) -> Response:
        """Respond and write the decision down, in one transaction: that is what makes it one build."""
        event = payloads.read(job.delivery.event_key, job.delivery.body, self.site_url)
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

    async def postpone(self, job: Taken, due_at: float, error: Exception) -> None:
        self._log_trouble("Delivery not decided yet", "delivery.postponed", job.tried, str(error))
        now = self.clock.seconds()
        await self.store.transact(deliveries.postpone, job.tried, due_at=due_at, error=str(error), now=now)

    async def give_up(self, job: Taken, error: Exception) -> None:
        self._log_trouble("Delivery given up", "delivery.failed", job.tried, str(error))
        await self.store.transact(deliveries.give_up, job.waiting.id, str(error), self.clock.seconds())

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
