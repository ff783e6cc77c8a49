"""Decision: turns one delivery into a build, or into a reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from uuid import uuid4

from attrs import define, evolve
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket.bitbucket import payloads
from probo_bitbucket.flow import log_fields
from probo_bitbucket.model import SHORT_HASH, Build, BuildKind, DeliveryState, Ignored, PullRequestChanged
from probo_bitbucket.store import Database, Lease, Transaction, builds, deliveries
from probo_bitbucket.store.deliveries import WaitingDelivery


@define
class Decision:
    """The step from a delivery to a build. *wake* tells the builder that there is one."""

    store: Database
    clock: IReactorTime
    site_url: str
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
        if isinstance(event, Ignored):
            await self._ignore(job, event.reason)
        else:
            await self._build(job, event)

    async def _ignore(self, job: WaitingDelivery, reason: str) -> None:
        now = self.clock.seconds()
        await self.store.transact(deliveries.decide, job.id, DeliveryState.IGNORED, reason, now)

    async def _build(self, job: WaitingDelivery, event: PullRequestChanged) -> None:
        build = _wanted(event, self.clock.seconds())
        id, reason = await self.store.transact(_request, job.id, build)
        new = id == build.id
        self.log.info(
            "A build is wanted" if new else "No new build",
            event="build.wanted" if new else "build.known",
            delivery=job.id,
            reason=reason or None,
            **log_fields.of_build(evolve(build, id=id)),
        )
        self.wake()

    async def postpone(self, job: WaitingDelivery, due_at: float, error: Exception) -> None:
        self._log_trouble("Delivery not decided yet", "delivery.postponed", job, str(error))
        await self.store.transact(deliveries.postpone, job, due_at=due_at, error=str(error))

    async def give_up(self, job: WaitingDelivery, error: Exception) -> None:
        self._log_trouble("Delivery given up", "delivery.failed", job, str(error))
        now = self.clock.seconds()
        await self.store.transact(deliveries.decide, job.id, DeliveryState.FAILED, str(error), now)

    def _log_trouble(self, words: str, event: str, job: WaitingDelivery, reason: str) -> None:
        self.log.warn(
            words,
            event=event,
            delivery=job.id,
            event_key=job.delivery.event_key,
            repository=job.repository,
            attempt=job.effort.attempts,
            reason=reason,
        )


def _wanted(event: PullRequestChanged, now: float) -> Build:
    return Build(
        id=str(uuid4()),
        kind=BuildKind.PULL_REQUEST,
        repository=event.repository,
        source=event.pull_request.source,
        commit=event.pull_request.commit,
        name=event.pull_request.title,
        created_at=now,
        branch=event.pull_request.branch,
        pull_request=event.pull_request,
    )


def _request(tx: Transaction, delivery_id: int, build: Build) -> tuple[str, str]:
    """Ask for the build and write the decision down, in one transaction: that is what makes it one build."""
    id = builds.request(tx, build, build.created_at)
    new = id == build.id
    state = DeliveryState.ACCEPTED if new else DeliveryState.IGNORED
    reason = "" if new else f"commit {build.commit[:SHORT_HASH]} is known already: it is build {id}"
    deliveries.decide(tx, delivery_id, state, reason, build.created_at, build_id=id)
    return id, reason
