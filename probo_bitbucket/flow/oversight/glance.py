"""Glance: how everything is now, for who looks at the dashboard or asks the API. Asks nobody outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket import __version__
from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.flow.deliveries.signatures import UNSIGNED, Signatures
from probo_bitbucket.flow.oversight.health import Finding, Health
from probo_bitbucket.flow.oversight.inspection import Inspection
from probo_bitbucket.flow.oversight.silence import Silence
from probo_bitbucket.flow.oversight.verdict import Grade
from probo_bitbucket.store import Database, StoreUnavailable
from probo_bitbucket.store.views import queue
from probo_bitbucket.store.views.queue import Queue

# Of the queues whose names in the store are no words.
_QUEUES = {"hand_ons": "tokens to hand on", "closings": "closed pull requests"}


def queue_name(work: str) -> str:
    """How the queue of a step is called."""
    return _QUEUES.get(work, work)


@frozen
class Left:
    """What is left of the requests that Bitbucket takes from one consumer in an hour."""

    consumer: str
    left: int
    limit: int


@frozen
class Now:
    """*ok*: deliveries are dealt with. *queues* are empty where the store cannot be read.

    *warnings* stand in nobody's way, and should not stay.
    """

    ok: bool
    findings: Sequence[Finding]
    warnings: Sequence[Finding]
    queues: Sequence[Queue]
    budgets: Sequence[Left]
    version: str
    node: str
    started_at: float
    at: float


@define(eq=False)
class Glance:
    """*budgets* are by the name of the consumer whose requests Bitbucket counts together."""

    store: Database
    health: Health
    signatures: Signatures
    silence: Silence
    inspection: Inspection
    budgets: Mapping[str, Budget]
    clock: IReactorTime
    node: str
    _started_at: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._started_at = self.clock.seconds()

    async def look(self) -> Now:
        findings = await self.health.look()
        queues = await self._queues()
        now = self.clock.seconds()
        return Now(
            ok=not any(finding.trouble for finding in findings),
            findings=findings,
            warnings=[*await self._warnings(), *_in_vain(findings, queues)],
            queues=queues,
            budgets=[Left(name, budget.left(now), budget.limit) for name, budget in sorted(self.budgets.items())],
            version=__version__,
            node=self.node,
            started_at=self._started_at,
            at=now,
        )

    async def _warnings(self) -> Sequence[Finding]:
        try:
            unsigned = () if await self.signatures.any() else (Finding("signatures", UNSIGNED),)
            silence = await self.silence.look()
            troubles = await self.inspection.known_troubles()
        except StoreUnavailable:
            return ()  # is among the findings
        webhooks = [Finding(f"webhook {each.place}", f"{each.what}: {each.advice}") for each in troubles]
        if silence is None or silence.grade is Grade.OK:
            return [*unsigned, *webhooks]
        return [*unsigned, Finding(silence.subject, f"{silence.what}: {silence.advice}"), *webhooks]

    async def _queues(self) -> Sequence[Queue]:
        try:
            return await self.store.transact(queue.queues)
        except StoreUnavailable:
            return ()  # is among the findings


def _in_vain(findings: Sequence[Finding], queues: Sequence[Queue]) -> Iterator[Finding]:
    """What waits because its last try failed, where none of the *findings* says why."""
    if any(finding.trouble for finding in findings):
        return
    for each in queues:
        if each.trouble:
            yield Finding(f"{queue_name(each.work)} waiting", f"{each.waiting}, since a try failed: {each.trouble}")
