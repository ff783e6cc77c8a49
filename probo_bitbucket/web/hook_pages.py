"""The page of webhooks: how each repository's is, and buttons to make, mend, try and remove it.

To look at them takes requests to Bitbucket, so this page does not renew itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.web.http import Request

from probo_bitbucket.bitbucket.hooks import Place
from probo_bitbucket.flow.hooks import Hooks
from probo_bitbucket.flow.inspection import HookReport
from probo_bitbucket.flow.trial import Trial
from probo_bitbucket.flow.verdict import Verdict
from probo_bitbucket.model import Repository
from probo_bitbucket.web.asked import asked
from probo_bitbucket.web.browsers import Route
from probo_bitbucket.web.dashboard import in_words
from probo_bitbucket.web.forms import address
from probo_bitbucket.web.own_forms import OwnForms
from probo_bitbucket.web.pages import page

PATH = "/hooks"
SIZE = 20  # webhooks on a page; each takes a request or two


@define(eq=False, slots=False)
class HookPages:
    hooks: Hooks
    trial: Trial
    forms: OwnForms
    clock: IReactorTime

    @property
    def routes(self) -> tuple[Route, ...]:
        return (
            ("GET", PATH, in_words(self.shown_hooks)),
            ("POST", f"{PATH}/add", in_words(self.add_hook)),
            ("POST", f"{PATH}/repair", in_words(self.repair_hook)),
            ("POST", f"{PATH}/remove", in_words(self.remove_hook)),
            ("POST", f"{PATH}/test", in_words(self.try_hook)),
        )

    async def shown_hooks(self, request: Request) -> bytes:
        """Those that are looked after, by their names."""
        wanted, inspection = asked(request), self.hooks.inspection
        places = [place for place in await inspection.places() if str(place) > wanted.after]
        places = [place for place in places if wanted.words.lower() in str(place).lower()]
        found = await inspection.reports(places[:SIZE]) if places else []
        older = address(PATH, **{**wanted.fields, "after": str(places[SIZE - 1])}) if len(places) > SIZE else ""
        return await self._page(request, found, asked=wanted, older=older, newest=PATH, done="")

    async def add_hook(self, request: Request) -> bytes:
        fields = await self.forms.check(request)
        place = Place.parse(fields.get("name", "").strip())
        return await self._done(request, "Add", await self.hooks.add([place]))

    async def repair_hook(self, request: Request) -> bytes:
        place = Place.parse((await self.forms.check(request)).get("name", ""))
        return await self._done(request, "Repair", await self.hooks.repair([place]))

    async def remove_hook(self, request: Request) -> bytes:
        place = Place.parse((await self.forms.check(request)).get("name", ""))
        return await self._done(request, "Remove", await self.hooks.remove([place]))

    async def try_hook(self, request: Request) -> bytes:
        """Takes as long as Bitbucket does to deliver."""
        repository = Repository.parse((await self.forms.check(request)).get("name", ""))
        return await self._done(request, "Test", [_as_report(await self.trial.run(repository))])

    async def _done(self, request: Request, what: str, reports: Sequence[HookReport]) -> bytes:
        return await self._page(request, reports, done=what)

    async def _page(self, request: Request, found: Sequence[HookReport], **values: Any) -> bytes:
        return page(
            request,
            "hooks.html",
            path=PATH,
            said="",
            now=self.clock.seconds(),
            token=await self.forms.token(),
            url=self.hooks.inspection.url,
            found=found,
            **values,
        )


def _as_report(verdict: Verdict) -> HookReport:
    return HookReport(verdict.subject, verdict.grade, verdict.what, verdict.advice)
