"""Inspection: each repository's webhook beside what it should be, and when it last delivered."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from attrs import define, evolve, frozen
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.bitbucket.hooks import EVENTS, Hook, Place, Webhooks
from probo_bitbucket.credentials import has_wildcards
from probo_bitbucket.errors import UpstreamError
from probo_bitbucket.flow.deliveries.signatures import BadSignature, Refused, RefusedDeliveries
from probo_bitbucket.flow.oversight.verdict import Grade, advice_on
from probo_bitbucket.flow.work.together import together
from probo_bitbucket.store import Database, StoreUnavailable, hook_reports, hooks
from probo_bitbucket.store.hook_reports import KeptReport
from probo_bitbucket.store.hooks import KnownHook

AT_ONCE = 8  # places looked at side by side
RECENT = 3600.0  # seconds for which it is told of a webhook that nothing else is known of
FEW = 5  # webhooks of which it is told what was seen of them: of more there may be any number

NO_PUBLIC_URL = "the settings do not say where Bitbucket reaches this daemon"
SET_PUBLIC_URL = "set publicUrl, such as https://probo.example.com"
TWO_WEBHOOKS = "there are two webhooks, and everything comes twice"

_is_uuid = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


@frozen
class HookReport:
    """How a place's webhook is, or what became of it. *what* and *advice* are for people."""

    place: str
    grade: Grade
    what: str
    advice: str = ""
    url: str = ""  # that it has
    uuid: str = ""
    last_delivery: float | None = None


@frozen
class Sight:
    """The webhooks that serve a place, at the place itself or at its workspace, and what is wrong, in words."""

    place: Place
    found: tuple[tuple[Place, Hook], ...]
    faults: tuple[str, ...]

    @property
    def hook(self) -> Hook | None:
        return self.found[0][1] if self.found else None

    @property
    def advice(self) -> str:
        if NO_PUBLIC_URL in self.faults:
            return SET_PUBLIC_URL
        if len(self.found) > 1 and self.found[0][0] != self.found[1][0]:
            return f"probo-bitbucket hooks remove {self.place}"
        at = self.found[0][0] if self.found else self.place
        return f"probo-bitbucket hooks {'repair' if self.found else 'add'} {at}"


@define(eq=False)
class Inspection:
    """*public_url* is where Bitbucket reaches us, "" where nobody said; *repositories* are the settings' globs.

    *renew* says where new credentials are given.
    """

    webhooks: Webhooks
    store: Database
    refused: RefusedDeliveries
    public_url: str
    webhook_path: str
    repositories: Sequence[str]
    renew: str
    clock: IReactorTime

    @property
    def url(self) -> str:
        """The URL that a webhook should have; empty where the settings do not tell."""
        return self.public_url and self.public_url + self.webhook_path

    async def places(self) -> list[Place]:
        """Those that are looked after: the webhooks that were made here, the settings' names, and what was built."""
        known, built = await self.store.transact(lambda tx: (hooks.known(tx), hooks.repositories(tx)))
        return [Place.parse(text) for text in sorted({*known, *self._named, *built})]

    @property
    def _named(self) -> list[str]:
        """The repositories that the settings name."""
        return [glob for glob in self.repositories if not has_wildcards(glob)]

    async def reports(self, places: Iterable[Place] = ()) -> list[HookReport]:
        """How the webhooks of *places* are, or of all that are looked after."""
        asked = list(places) or await self.places()
        known = await self.store.transact(hooks.known)
        shared = {name: await self._of_workspace(name, known) for name in sorted({place.workspace for place in asked})}
        return await self.keep("look", await self.each(asked, partial(self._report, known, shared)))

    async def known_troubles(self) -> list[HookReport]:
        """What is wrong by all that was seen of webhooks before: asks nobody outside. Raises StoreUnavailable."""
        standing = await self.store.transact(hook_reports.standing, Grade.WRONG, self._named, FEW)
        found = [HookReport(each.place, Grade.WRONG, each.what, each.advice, uuid=each.uuid) for each in standing]
        return [*found, *await self.strangers({each.uuid for each in found})]

    async def strangers(self, reported: Collection[str]) -> list[HookReport]:
        """The webhooks whose newest delivery was refused here, but for those *reported*, which are uuids.

        All that is known of them is what their deliveries said themselves, and anybody can say that: a few are enough.
        Raises StoreUnavailable.
        """
        by_hook: dict[str, list[Refused]] = {}
        for refused in self.refused.since(self.clock.seconds() - RECENT):
            if refused.hook_uuid not in reported and isinstance(refused.error, BadSignature):
                by_hook.setdefault(refused.hook_uuid, []).append(refused)
        found: list[HookReport] = []
        for uuid in list(filter(_is_uuid, by_hook))[:FEW]:
            accepted_at = await self.store.transact(hooks.last_delivery, uuid) or 0.0
            if since := [each for each in by_hook[uuid] if each.at > accepted_at]:
                found.append(_stranger(uuid, since, self.clock.seconds()))
        return found

    async def each(
        self, places: Iterable[Place], work: Callable[[Place], Coroutine[Deferred[Any], Any, HookReport]]
    ) -> list[HookReport]:
        """The outcome of *work* at each place: what goes wrong at one keeps nobody from the others."""

        async def at(place: Place) -> HookReport:
            try:
                return await work(place)
            except (UpstreamError, StoreUnavailable) as error:
                return HookReport(str(place), Grade.WRONG, str(error), advice_on(error, self.renew))

        few = DeferredSemaphore(AT_ONCE)
        return await together(few.run(at, place) for place in places)

    async def keep(self, deed: str, reports: list[HookReport]) -> list[HookReport]:
        """Have *reports* of a deed remembered; returns them. What the store does not take is told all the same."""
        now = self.clock.seconds()
        kept = [KeptReport(each.place, deed, each.grade, each.what, each.advice, each.uuid, now) for each in reports]
        with suppress(StoreUnavailable):
            await self.store.transact(hook_reports.keep, kept)
        return reports

    async def look(self, place: Place) -> Sight:
        """The webhooks that serve a place. Raises UpstreamError or StoreUnavailable."""
        known = await self.store.transact(hooks.known)
        return await self._look(known, {place.workspace: await self._of_workspace(place.workspace, known)}, place)

    async def ours(self, place: Place, known: Mapping[str, KnownHook]) -> tuple[list[Hook], list[Hook]]:
        """The webhooks of a place that were made here or lead here, and those of others."""
        mine = known.get(str(place))
        found = await self.webhooks.of(place)
        ours = [hook for hook in found if hook.url == self.url or (mine and hook.uuid == mine.uuid)]
        return ours, [hook for hook in found if hook not in ours]

    async def own_beside_shared(self, place: Place, known: Mapping[str, KnownHook]) -> Place | None:
        """The repository with a webhook of its own beside that of its workspace, if *place* is one of the two.

        Of a workspace's repositories those are asked about whose webhooks were made here.
        """
        if place.slug:
            return place if await self._of_workspace(place.workspace, known) else None
        for name in known:
            own = Place.parse(name)
            if own.slug and own.workspace == place.workspace and (await self.ours(own, known))[0]:
                return own
        return None

    async def _of_workspace(self, name: str, known: Mapping[str, KnownHook]) -> list[Hook]:
        """None where they may not be seen: only a workspace's administrator may."""
        try:
            return (await self.ours(Place(name), known))[0]
        except UpstreamError:
            return []

    async def _look(self, known: Mapping[str, KnownHook], shared: Mapping[str, Sequence[Hook]], place: Place) -> Sight:
        own, others = await self.ours(place, known)
        above = shared[place.workspace] if place.slug else ()
        found = (*((place, hook) for hook in own), *((Place(place.workspace), hook) for hook in above))
        return Sight(place, found, tuple(self.faults([hook for _, hook in found], others)))

    def faults(self, found: Sequence[Hook], others: Sequence[Hook] = ()) -> Iterator[str]:
        """What is wrong with webhooks that should be one, in words. *others* are there besides."""
        if not self.url:
            yield NO_PUBLIC_URL
        elif not found:
            wrong = [hook.url for hook in others if hook.url.endswith(self.webhook_path)]
            yield f"there is no webhook to {self.url}" + (f", but one to {wrong[0]}" if wrong else "")
        for hook in found[:1]:
            yield from self._faults_of(hook)
        if len(found) > 1:
            yield TWO_WEBHOOKS

    def _faults_of(self, hook: Hook) -> Iterator[str]:
        if self.url and hook.url != self.url:
            yield f"its URL is {hook.url}, not {self.url}"
        if not hook.active:
            yield "it is inactive"
        if missing := [event for event in EVENTS if event not in hook.events]:
            yield f"events are missing: {', '.join(missing)}"
        if not hook.secret_set:
            yield "it has no secret"

    async def _report(
        self, known: Mapping[str, KnownHook], shared: Mapping[str, Sequence[Hook]], place: Place
    ) -> HookReport:
        sight = await self._look(known, shared, place)
        if not sight.found:
            return HookReport(str(place), Grade.WRONG, "; ".join(sight.faults), sight.advice)
        at, hook = sight.found[0]
        last = await self.store.transact(hooks.last_delivery, hook.uuid)
        sight = evolve(sight, faults=(*sight.faults, *self.refusals(at, hook, known, last)))
        return HookReport(
            place=str(place),
            grade=Grade.WRONG if sight.faults else Grade.OK,
            what="; ".join(sight.faults) or ("as it should be" if at == place else f"that of {at} serves it"),
            advice=sight.advice if sight.faults else "",
            url=hook.url,
            uuid=hook.uuid,
            last_delivery=last,
        )

    def refusals(self, at: Place, hook: Hook, known: Mapping[str, KnownHook], last: float | None) -> list[str]:
        """Why what came of the webhook *at* a place after its *last* delivery was refused; nothing where none was."""
        changed_at = known[str(at)].changed_at if str(at) in known else 0.0
        for refused in self.refused.since(max(last or 0.0, changed_at)):
            if refused.hook_uuid == hook.uuid:
                return [f"its last delivery was refused: {refused.error}"]
        return []


def _stranger(uuid: str, refused: Sequence[Refused], now: float) -> HookReport:
    """*refused* are the deliveries of one webhook, the newest first."""
    first = f"the first {(now - refused[-1].at) / 60:.0f} min ago"
    what = f"its deliveries are refused, {len(refused)} until now, {first}: {refused[0].error}"
    advice = "give it a secret that is valid here, or have one made: probo-bitbucket hooks add WORKSPACE/REPOSITORY"
    return HookReport(uuid, Grade.WARNING, what, advice, uuid=uuid)
