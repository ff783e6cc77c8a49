"""Trial: proves the whole way of a webhook, from Bitbucket to the store.

A build status is posted to the newest commit of the default branch. Bitbucket tells of it by a delivery of its own,
which has to come in at the public URL, through TLS and proxy, with a signature that fits, and to be written down.
Whoever tests a webhook wants builds: so that those who build do not answer is said, too.
"""

from __future__ import annotations

from secrets import token_hex

import msgspec
from attrs import define, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from probo_bitbucket.bitbucket import statuses
from probo_bitbucket.bitbucket.api import Bitbucket
from probo_bitbucket.bitbucket.hooks import Place
from probo_bitbucket.bitbucket.scopes import ScopeMissing
from probo_bitbucket.errors import UpstreamError
from probo_bitbucket.flow.deliveries.signatures import Refused, RefusedDeliveries
from probo_bitbucket.flow.oversight.build_side import BuildSide
from probo_bitbucket.flow.oversight.front_door import FrontDoor
from probo_bitbucket.flow.oversight.inspection import HookReport, Inspection, Sight
from probo_bitbucket.flow.oversight.verdict import Grade, Verdict, advice_on
from probo_bitbucket.model import Phase, Repository
from probo_bitbucket.store import Database, StoreUnavailable, Transaction, hooks

EVENT = "repo:commit_status_created"
PATIENCE = 30.0  # seconds that Bitbucket may take to deliver
PAUSE = 0.1  # seconds between two looks into the store: another node may have taken the delivery in

_ON_ITS_PAGE = "“View requests” of the webhook in Bitbucket shows what it got; a firewall may keep it out"


class _Status(msgspec.Struct):
    key: str = ""


class _Body(msgspec.Struct):
    commit_status: _Status


@frozen
class Arrived:
    """The delivery came in, *seconds* after the status was posted."""

    seconds: float


@define(eq=False)
class Trial:
    """*instance_name* begins the key of the status, as it does for all others."""

    bitbucket: Bitbucket
    inspection: Inspection
    front_door: FrontDoor
    build_side: BuildSide
    refused: RefusedDeliveries
    store: Database
    clock: IReactorTime
    instance_name: str
    site_url: str

    async def run(self, repository: Repository) -> Verdict:
        """Whether the webhook of *repository* works, or what is wrong and where."""
        subject = repository.full_name
        try:
            verdict = await self._run(subject, repository)
        except (UpstreamError, StoreUnavailable) as error:
            verdict = Verdict.of(subject, error, self.inspection.renew)
        await self.inspection.keep("test", [HookReport(subject, verdict.grade, verdict.what, verdict.advice)])
        return verdict

    async def _run(self, subject: str, repository: Repository) -> Verdict:
        try:
            sight: Sight | None = await self.inspection.look(Place(repository.workspace, repository.slug))
        except ScopeMissing as missing:  # to look at the webhook; it may work all the same
            sight, unseen = None, missing
        if sight and sight.faults:
            return Verdict.wrong(subject, "; ".join(sight.faults), sight.advice)
        outcome = await self._provoke(repository, sight)
        if outcome is None:
            return await self._explain_silence(subject)
        if isinstance(outcome, Refused):
            return _explain_refusal(subject, outcome, sight)
        works = f"works, {outcome.seconds:.1f} s"
        if sight is None:
            return Verdict.warning(subject, f"{works}, but: {unseen}", unseen.advice)
        builders = await self.build_side.try_it()
        if builders.grade is not Grade.OK:
            what = f"the webhook {works}, but nothing can be built: {builders.what}"
            return Verdict.wrong(subject, what, builders.advice)
        return Verdict.ok(subject, works)

    async def _provoke(self, repository: Repository, sight: Sight | None) -> Arrived | Refused | None:
        """Post a status, and wait for what comes of it; None: nothing in time."""
        before = await self.store.transact(hooks.newest_delivery)
        _, commit = await self.bitbucket.head(repository)
        key = statuses.key(f"{self.instance_name}/webhook-{token_hex(4)}")
        began = self.clock.seconds()
        await self.bitbucket.post_status(
            statuses.compose(
                repository,
                commit.hash,
                context=key,
                phase=Phase.SUCCEEDED,
                final=True,
                description="Posted to see whether the webhook works.",
                urls=(),
                refname="",
                site_url=self.site_url,
            )
        )
        mine = {hook.uuid for _, hook in sight.found} if sight else None
        while self.clock.seconds() - began < PATIENCE:
            if key in await self.store.transact(_keys_after, before):
                return Arrived(self.clock.seconds() - began)
            for refused in self.refused.since(began):
                if refused.event_key == EVENT and (mine is None or refused.hook_uuid in mine):
                    return refused
            await deferLater(self.clock, PAUSE)
        return None

    async def _explain_silence(self, subject: str) -> Verdict:
        silence = f"Bitbucket has the status, but delivered nothing here within {PATIENCE:g} s"
        door = await self.front_door.try_it()
        if door.grade is Grade.WRONG:
            return Verdict.wrong(subject, f"{silence}; {door.what}", door.advice)
        return Verdict.wrong(subject, f"{silence}, though the public URL answers from here", _ON_ITS_PAGE)


def _explain_refusal(subject: str, refused: Refused, sight: Sight | None) -> Verdict:
    what = f"the delivery arrived, but was refused: {refused.error}"
    if isinstance(refused.error, StoreUnavailable):
        return Verdict.wrong(subject, what, advice_on(refused.error))
    at = sight.found[0][0] if sight else subject
    return Verdict.wrong(subject, what, f"probo-bitbucket hooks repair {at}")


def _keys_after(tx: Transaction, before: int) -> set[str]:
    """The keys of the statuses that Bitbucket told of after the delivery *before*."""
    return {_key(body) for body in hooks.bodies_after(tx, before, EVENT)}


def _key(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Body).commit_status.key
    except msgspec.DecodeError:  # somebody else's, and strange
        return ""
