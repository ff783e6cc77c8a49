"""Hooks: webhooks made, mended and removed.

The operator has no secret to copy: those that webhooks are given here are in the store, where `signatures` finds them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket.bitbucket.hooks import Hook, Place, Webhooks
from probo_bitbucket.errors import DeadCredentials, NotFound, Permanent, RateLimited, Spared, Unauthorized
from probo_bitbucket.flow.deliveries.signatures import Signatures
from probo_bitbucket.flow.oversight.inspection import (
    NO_PUBLIC_URL,
    SET_PUBLIC_URL,
    TWO_WEBHOOKS,
    HookReport,
    Inspection,
)
from probo_bitbucket.flow.oversight.verdict import Grade
from probo_bitbucket.store import Database, Transaction, hook_reports, hooks
from probo_bitbucket.store.hook_reports import REMOVED
from probo_bitbucket.store.hooks import GRACE, KnownHook

# After these Bitbucket has done nothing. After all others it may have.
_NOTHING_DONE = (Permanent, RateLimited, Unauthorized, DeadCredentials, Spared)


@define(eq=False)
class Hooks:
    """All that changes webhooks. *inspection* tells what is there."""

    inspection: Inspection
    webhooks: Webhooks
    signatures: Signatures
    store: Database
    clock: IReactorTime
    _sending: int = field(default=0, init=False)  # webhooks that are just being made or mended
    _in_doubt_at: float = field(default=float("-inf"), init=False)  # when last nobody knew what became of one

    log = Logger()

    async def add(self, places: Iterable[Place]) -> list[HookReport]:
        """Make the webhooks of *places*, or mend those that are there."""
        return await self._change("add", places, self._mend)

    async def repair(self, places: Iterable[Place] = (), *, new_secret: bool = False) -> list[HookReport]:
        """Make the webhooks of *places*, or all that were made here, what they should be.

        With *new_secret* they get another one. The one before stays valid until all webhooks have it.
        Raises StoreUnavailable.
        """
        if new_secret:
            await self.store.transact(hooks.new_secret, self.clock.seconds())
        made_here = await self.store.transact(hooks.known)
        wanted = list(places) or [Place.parse(place) for place in made_here]
        return await self._change("repair", wanted, self._mend)

    async def remove(self, places: Iterable[Place]) -> list[HookReport]:
        """Remove the webhooks of *places* that lead here."""
        return await self._change(REMOVED, places, self._remove)

    async def _change(
        self, what: str, places: Iterable[Place], work: Callable[[Place], Coroutine[Deferred[Any], Any, HookReport]]
    ) -> list[HookReport]:
        """The outcome of *work* at each place. A secret that no webhook has in the end is forgotten.

        One that Bitbucket may have is left to the janitor: what is signed with it would be refused. Where there is no
        other secret, everybody is believed, and would not be any more for one that perhaps no webhook has.
        """
        try:
            return await self.inspection.keep(what, await self.inspection.each(places, work))
        finally:
            await self.store.transact(self._tidy_up)
            self.signatures.read_again()

    def _tidy_up(self, tx: Transaction) -> None:
        in_doubt = self._sending or self.clock.seconds() - self._in_doubt_at <= GRACE
        if not (in_doubt and (self.signatures.given or hooks.known(tx))):
            hooks.forget_unused(tx)

    @contextmanager
    def _giving_secret(self) -> Iterator[None]:
        """Bitbucket gets a secret in here, and has it if the answer is lost, or nobody waits for it any more."""
        self._sending += 1
        try:
            yield
        except _NOTHING_DONE:
            raise
        except BaseException:
            self._in_doubt_at = self.clock.seconds()
            raise
        finally:
            self._sending -= 1

    async def _mend(self, place: Place) -> HookReport:
        """Make the webhook, or make it what it should be: its secret is set too, because nobody can read it."""
        url = self.inspection.url
        if not url:
            return HookReport(str(place), Grade.WRONG, NO_PUBLIC_URL, SET_PUBLIC_URL)
        known = await self.store.transact(hooks.known)
        found, others = await self.inspection.ours(place, known)
        generation, secret = await self._secret()
        faults: list[str] = []
        what = "made"
        if found:
            last = await self.store.transact(hooks.last_delivery, found[0].uuid)
            refusals = self.inspection.refusals(place, found[0], known, last)
            faults = [*self.inspection.faults(found, others), *refusals]
            what = f"mended what was wrong: {'; '.join(faults)}" if faults else "nothing was wrong; its secret is new"
        with self._giving_secret():
            if found:
                hook = await self.webhooks.update(place, found[0].uuid, url, secret)
            else:
                hook = await self.webhooks.create(place, url, secret)
            now = self.clock.seconds()
            await self.store.transact(hooks.keep, KnownHook(str(place), hook.uuid, generation, now), secret)
        for other in found[1:]:
            await self.webhooks.delete(place, other.uuid)
        self.log.info("Webhook set: {what}", event="hook.set", what=what, repository=str(place))
        advice = f"what it missed is built by: probo-bitbucket build {place} NUMBER" if faults and place.slug else ""
        report = HookReport(str(place), Grade.OK, what, advice, url=hook.url, uuid=hook.uuid)
        return await self._beside_others(place, report, known)

    async def _secret(self) -> tuple[int, str]:
        """The secret for webhooks, with its generation. It is in the store, and counts here, before Bitbucket has it.

        Asked for only when Bitbucket has answered once: a place that cannot be reached needs none.
        """
        newest = await self.store.transact(hooks.newest_secret, self.clock.seconds())
        self.signatures.read_again()
        return newest

    async def _beside_others(self, place: Place, report: HookReport, known: Mapping[str, KnownHook]) -> HookReport:
        """The report, with a warning where a webhook of the workspace serves the same repository as one of its own."""
        twice = await self.inspection.own_beside_shared(place, known)
        if twice is None:
            return report
        advice = f"probo-bitbucket hooks remove {twice}"
        return evolve(report, grade=Grade.WARNING, what=f"{report.what}; {TWO_WEBHOOKS}", advice=advice)

    async def _remove(self, place: Place) -> HookReport:
        found: list[Hook] = []
        what = "there was none"
        try:
            found, _ = await self.inspection.ours(place, await self.store.transact(hooks.known))
        except NotFound as error:  # it went with its repository
            what = f"{what}: {error}"
        for hook in found:
            await self.webhooks.delete(place, hook.uuid)
        await self.store.transact(_forget, str(place))
        if found:
            self.log.info("Webhook removed", event="hook.removed", repository=str(place))
        return HookReport(str(place), Grade.OK, "removed" if found else what)


def _forget(tx: Transaction, place: str) -> None:
    hooks.forget(tx, place)
    hook_reports.forget(tx, place)
