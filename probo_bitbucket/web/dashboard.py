"""The dashboard: how everything is, and what came in and became of it, as pages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.web.http import Request

from probo_bitbucket.bodies import BodyError
from probo_bitbucket.errors import UpstreamError
from probo_bitbucket.flow.builds.again import NotThere
from probo_bitbucket.flow.builds.anew import NotNow
from probo_bitbucket.flow.builds.requests import NotWanted
from probo_bitbucket.flow.oversight.glance import Glance
from probo_bitbucket.model import DeliveryState, InvalidName
from probo_bitbucket.store import Database, StoreUnavailable, Transaction, failures
from probo_bitbucket.store.failures import Failure
from probo_bitbucket.store.views import builds, deliveries, pull_requests, repositories
from probo_bitbucket.store.views.filters import Filter
from probo_bitbucket.store.views.outcome import Outcome
from probo_bitbucket.store.views.paging import BadCursor
from probo_bitbucket.web.answers import BodyTooLarge, status_of
from probo_bitbucket.web.api import headers, there
from probo_bitbucket.web.asked import Asked, asked
from probo_bitbucket.web.browsers import Handler, Route, Stranger
from probo_bitbucket.web.forms import address, decoded, query
from probo_bitbucket.web.forms import number as parsed
from probo_bitbucket.web.own_forms import OwnForms
from probo_bitbucket.web.pages import page, trouble
from probo_bitbucket.web.struck_out import strike_out

LATEST = 8  # lines of each list on the first page
SHOWN = 64 * 1024  # characters of a body that a page shows

# What was done, as the page tells that the browser is sent to then.
SAID = {
    "sent": "It is sent again.",
    "rebuilt": "This is the new build.",
    "ending": "It is taken down.",
}


@define(eq=False, slots=False)
class Dashboard:
    """The pages. Each can be read without JavaScript."""

    store: Database
    glance: Glance
    forms: OwnForms
    clock: IReactorTime

    @property
    def routes(self) -> tuple[Route, ...]:
        return (
            ("GET", "/", in_words(self.overview)),
            ("GET", "/pull-requests", in_words(self.pull_requests)),
            ("GET", "/pull-requests/<owner>/<repo>/<number>", in_words(self.shown_pull_request)),
            ("GET", "/builds", in_words(self.builds)),
            ("GET", "/builds/<build_id>", in_words(self.build)),
            ("GET", "/deliveries", in_words(self.deliveries)),
            ("GET", "/deliveries/<delivery_id>", in_words(self.delivery)),
            ("GET", "/repositories", in_words(self.repositories)),
        )

    async def overview(self, request: Request) -> bytes:
        now = await self.glance.look()
        try:
            latest = await self.store.transact(_latest)
        except StoreUnavailable:
            latest = (), (), ()  # is among the findings
        return await self._page(request, "overview.html", glance=now, latest=latest)

    async def pull_requests(self, request: Request) -> bytes:
        wanted = asked(request, Outcome)
        found = await self.store.transact(pull_requests.page, wanted.filter, wanted.after)
        return await self._list(request, "pull_requests.html", wanted, found)

    async def shown_pull_request(self, request: Request, owner: str, repo: str, number: str) -> bytes:
        name, wanted = f"{decoded(owner)}/{decoded(repo)}", asked(request)
        found = await self.store.transact(pull_requests.story, name, parsed(number, "the number"), wanted.after)
        story = there(found, f"pull request {name}#{number}")
        return await self._list(request, "pull_request.html", wanted, story.builds, pull_request=story.newest)

    async def builds(self, request: Request) -> bytes:
        wanted = asked(request, Outcome)
        found = await self.store.transact(builds.page, wanted.filter, wanted.after)
        return await self._list(request, "builds.html", wanted, found, states=Outcome)

    async def build(self, request: Request, build_id: str) -> bytes:
        found = await self.store.transact(builds.story_of, decoded(build_id))
        return await self._page(request, "build.html", story=there(found, f"build {build_id}"))

    async def deliveries(self, request: Request) -> bytes:
        wanted = asked(request, DeliveryState)
        found = await self.store.transact(deliveries.page, wanted.filter, wanted.after)
        return await self._list(request, "deliveries.html", wanted, found, states=DeliveryState)

    async def delivery(self, request: Request, delivery_id: str) -> bytes:
        found = await self.store.transact(deliveries.story, parsed(delivery_id, "the id of a delivery"))
        story = there(found, f"delivery {delivery_id}")
        body = strike_out(story.body)
        return await self._page(
            request,
            "delivery.html",
            story=story,
            headers=headers(story),
            body=body[:SHOWN],
            cut_off=len(body) > SHOWN,
        )

    async def repositories(self, request: Request) -> bytes:
        wanted = asked(request)
        found = await self.store.transact(repositories.page, wanted.after, wanted.words)
        return await self._list(request, "repositories.html", wanted, found)

    async def _list(self, request: Request, template: str, wanted: Asked, found: Any, **values: Any) -> bytes:
        path = request.path.decode("latin-1")
        older = address(path, **{**wanted.fields, "after": found.after}) if found.after else ""
        newest = path if not wanted.fields else address(path, **{**wanted.fields, "after": ""})
        return await self._page(
            request, template, asked=wanted, found=found.items, older=older, newest=newest, **values
        )

    async def _page(self, request: Request, template: str, **values: Any) -> bytes:
        return page(
            request,
            template,
            now=self.clock.seconds(),
            token=await self.forms.token(),
            said=SAID.get(query(request).get("said", ""), ""),
            **values,
        )


def _latest(tx: Transaction) -> tuple[Sequence[Any], Sequence[Any], Sequence[Failure]]:
    pulled, delivered = pull_requests.page(tx, Filter()), deliveries.page(tx, Filter())
    return pulled.items[:LATEST], delivered.items[:LATEST], failures.given_up(tx, LATEST)


# What people can do something about. The rest is answered, and logged, as everywhere.
_TOLD = (
    NotThere, NotNow, NotWanted, Stranger, BodyError, BadCursor, BodyTooLarge, InvalidName, UpstreamError,
    StoreUnavailable,
)  # fmt: skip


def in_words(handler: Handler) -> Handler:
    """*handler*, with what goes wrong told on a page."""

    @wraps(handler)
    async def shown(request: Request, **parts: str) -> bytes:
        try:
            return await handler(request, **parts)
        except _TOLD as error:
            return trouble(request, status_of(error), str(error), _came_from(request))

    return shown


def _came_from(request: Request) -> str:
    """The page of ours whose form was sent; empty where it is none, or not known."""
    try:
        referer = urlsplit((request.getHeader(b"referer") or b"").decode("latin-1"))
    except ValueError:
        return ""
    ours = referer.netloc.encode("latin-1") == (request.getHeader(b"host") or b"") and request.method == b"POST"
    return referer._replace(scheme="", netloc="").geturl() if ours and referer.path.startswith("/") else ""
