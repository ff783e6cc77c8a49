"""The page of webhooks: how each repository's is, and buttons to make, mend, try and remove it.

To look at one takes requests to Bitbucket. So what was found is kept, and shown for as long as LIFE.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.web.http import Request

from probo_bitbucket.bitbucket.hooks import Place
from probo_bitbucket.flow.oversight.hooks import Hooks
from probo_bitbucket.flow.oversight.trial import PATIENCE, Trial
from probo_bitbucket.model import InvalidName, Repository
from probo_bitbucket.store import Database, Transaction, hook_reports, hooks
from probo_bitbucket.store.hook_reports import REMOVED, KeptReport
from probo_bitbucket.web.asked import Asked, asked
from probo_bitbucket.web.browsers import Route
from probo_bitbucket.web.dashboard import in_words
from probo_bitbucket.web.forms import address
from probo_bitbucket.web.own_forms import OwnForms
from probo_bitbucket.web.pages import page, see_other

PATH = "/hooks"
SIZE = 20  # webhooks on a page; each takes a request or two
LIFE = 600.0  # seconds after which Bitbucket is asked again: an open page of 20 takes some 150 requests an hour

_ENTERED = "entered"  # the field of the address that holds a name that is none
_DEEDS = {"add": "Add", "repair": "Repair", REMOVED: "Remove", "test": "Test"}


@frozen
class Line:
    """A place; how its webhook is, as far as that is known; and when that last delivered."""

    place: str
    report: KeptReport | None
    last_delivery: float | None


@frozen
class Entry:
    """The name that was entered for a new webhook, and what is wrong with it."""

    name: str
    problem: str = ""

    @classmethod
    def of(cls, name: str) -> Entry:
        try:
            Place.parse(name)
        except InvalidName as error:
            return cls(name, str(error))
        return cls(name)


@define(eq=False, slots=False)
class HookPages:
    hooks: Hooks
    trial: Trial
    forms: OwnForms
    store: Database
    clock: IReactorTime

    @property
    def routes(self) -> tuple[Route, ...]:
        return (
            ("GET", PATH, in_words(self.shown_hooks)),
            ("POST", f"{PATH}/look", in_words(self.look_again)),
            ("POST", f"{PATH}/add", in_words(self.add_hook)),
            ("POST", f"{PATH}/repair", in_words(self.repair_hook)),
            ("POST", f"{PATH}/remove", in_words(self.remove_hook)),
            ("POST", f"{PATH}/test", in_words(self.try_hook)),
        )

    async def shown_hooks(self, request: Request) -> bytes:
        """Those that are looked after, by their names; above them what came of a button."""
        wanted = asked(request)
        places = await self._places(wanted)
        shown = places[:SIZE]
        known = await self.store.transact(hook_reports.kept, list(map(str, shown)))
        if stale := [place for place in shown if not self._fresh(known.get(str(place)))]:
            await self.hooks.inspection.reports(stale)
        older = address(PATH, q=wanted.words, after=shown[-1]) if len(places) > SIZE else ""
        return page(
            request,
            "hooks.html",
            said="",
            now=self.clock.seconds(),
            token=await self.forms.token(),
            url=self.hooks.inspection.url,
            patience=PATIENCE,
            done=await self._done(wanted),
            deeds=_DEEDS,
            entry=Entry.of(wanted.fields[_ENTERED]) if _ENTERED in wanted.fields else Entry(""),
            found=await self.store.transact(_lines, list(map(str, shown))),
            look=address(f"{PATH}/look", q=wanted.words, after=wanted.after),
            asked=wanted,
            older=older,
            newest=address(PATH, q=wanted.words),
        )

    async def look_again(self, request: Request) -> bytes:
        """Ask Bitbucket anew, whatever is known."""
        await self.forms.check(request)
        wanted = asked(request)
        if places := await self._places(wanted):
            await self.hooks.inspection.reports(places[:SIZE])
        return see_other(request, address(PATH, q=wanted.words, after=wanted.after))

    async def add_hook(self, request: Request) -> bytes:
        entry = Entry.of((await self.forms.check(request)).get("name", "").strip())
        if entry.problem:
            return see_other(request, address(PATH, **{_ENTERED: entry.name}))  # a page that can be loaded again
        place = Place.parse(entry.name)
        await self.hooks.add([place])
        return _to_result(request, place)

    async def repair_hook(self, request: Request) -> bytes:
        place = Place.parse((await self.forms.check(request)).get("name", ""))
        await self.hooks.repair([place])
        return _to_result(request, place)

    async def remove_hook(self, request: Request) -> bytes:
        place = Place.parse((await self.forms.check(request)).get("name", ""))
        await self.hooks.remove([place])
        return _to_result(request, place)

    async def try_hook(self, request: Request) -> bytes:
        """Takes as long as Bitbucket does to deliver."""
        repository = Repository.parse((await self.forms.check(request)).get("name", ""))
        await self.trial.run(repository)
        return _to_result(request, Place(repository.workspace, repository.slug))

    async def _places(self, wanted: Asked) -> list[Place]:
        places = [place for place in await self.hooks.inspection.places() if str(place) > wanted.after]
        return [place for place in places if wanted.words.lower() in str(place).lower()]

    async def _done(self, wanted: Asked) -> KeptReport | None:
        """What came of the button that led to this page, unless the webhook was looked at since."""
        place = wanted.fields.get("done", "")
        report = (await self.store.transact(hook_reports.kept, [place])).get(place) if place else None
        return report if report and report.deed in _DEEDS else None

    def _fresh(self, report: KeptReport | None) -> bool:
        return report is not None and self.clock.seconds() - report.at < LIFE


def _lines(tx: Transaction, places: Sequence[str]) -> list[Line]:
    known = hook_reports.kept(tx, places)
    return [_line(tx, place, known.get(place)) for place in places]


def _line(tx: Transaction, place: str, report: KeptReport | None) -> Line:
    return Line(place, report, hooks.last_delivery(tx, report.uuid) if report and report.uuid else None)


def _to_result(request: Request, place: Place) -> bytes:
    return see_other(request, address(PATH, done=place))
