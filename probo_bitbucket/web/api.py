"""The API: what the dashboard shows, and what can be done there, as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar, cast

from attrs import define, frozen
from msgspec import Meta, Raw, Struct
from twisted.web.http import Request

from probo_bitbucket.bodies import BodyError, decode
from probo_bitbucket.flow.builds.again import Again, NotThere
from probo_bitbucket.flow.deliveries.orders import Orders
from probo_bitbucket.flow.oversight.glance import Glance
from probo_bitbucket.model import DeliveryState
from probo_bitbucket.store import Database, Transaction, failures
from probo_bitbucket.store.happenings import Happening
from probo_bitbucket.store.views import builds, deliveries, pull_requests, repositories
from probo_bitbucket.store.views.builds import BuildLine, BuildStory, StrangerLine
from probo_bitbucket.store.views.deliveries import DeliveryLine, DeliveryStory
from probo_bitbucket.store.views.outcome import Outcome
from probo_bitbucket.web.answers import answer
from probo_bitbucket.web.asked import asked
from probo_bitbucket.web.browsers import Route
from probo_bitbucket.web.forms import decoded
from probo_bitbucket.web.forms import number as parsed
from probo_bitbucket.web.struck_out import strike_out

PATH = "/api"
FAILURES = 1000  # told at once

T = TypeVar("T")


@frozen
class Told:
    """The story of a delivery. *body* is that of the delivery, with secrets struck out; what it *ended* are builds."""

    delivery: DeliveryLine
    headers: dict[str, str]
    body: Raw
    happenings: Sequence[Happening]
    build: BuildStory | None
    ended: Sequence[BuildLine]
    ended_strangers: Sequence[StrangerLine]


class _Order(Struct):
    """`POST /api/builds`: one of the two."""

    repository: str
    pull_request: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    commit: str | None = None


@define(eq=False, slots=False)
class Api:
    """The routes below PATH."""

    store: Database
    glance: Glance
    again: Again
    orders: Orders

    @property
    def routes(self) -> tuple[Route, ...]:
        build = f"{PATH}/builds/<build_id>"
        return (
            ("GET", f"{PATH}/status", self.api_status),
            ("GET", f"{PATH}/deliveries", self.api_deliveries),
            ("GET", f"{PATH}/deliveries/<delivery_id>", self.api_delivery),
            ("POST", f"{PATH}/deliveries/<delivery_id>/send-again", self.api_send_delivery),
            ("GET", f"{PATH}/builds", self.api_builds),
            ("POST", f"{PATH}/builds", self.api_order),
            ("GET", build, self.api_build),
            ("POST", f"{build}/send-again", self.api_send_build),
            ("POST", f"{build}/rebuild", self.api_rebuild),
            ("POST", f"{build}/take-down", self.api_take_down),
            ("POST", f"{build}/statuses/<key>/send-again", self.api_send_status),
            ("GET", f"{PATH}/pull-requests", self.api_pull_requests),
            ("GET", f"{PATH}/pull-requests/<owner>/<repo>/<number>", self.api_pull_request),
            ("GET", f"{PATH}/repositories", self.api_repositories),
            ("GET", f"{PATH}/failures", self.api_failures),
        )

    async def api_status(self, request: Request) -> bytes:
        return answer(request, 200, await self.glance.look())

    async def api_deliveries(self, request: Request) -> bytes:
        wanted = asked(request, DeliveryState)
        return answer(request, 200, await self.store.transact(deliveries.page, wanted.filter, wanted.after))

    async def api_delivery(self, request: Request, delivery_id: str) -> bytes:
        found = await self.store.transact(deliveries.story, parsed(delivery_id, "the id of a delivery"))
        story = there(found, f"delivery {delivery_id}")
        body = Raw(strike_out(story.body).encode())
        told = Told(
            delivery=story.delivery,
            headers=headers(story),
            body=body,
            happenings=story.happenings,
            build=story.build,
            ended=story.ended,
            ended_strangers=story.ended_strangers,
        )
        return answer(request, 200, told)

    async def api_send_delivery(self, request: Request, delivery_id: str) -> bytes:
        await self.again.send_delivery(parsed(delivery_id, "the id of a delivery"))
        return answer(request, 202, {"ok": True})

    async def api_builds(self, request: Request) -> bytes:
        wanted = asked(request, Outcome)
        return answer(request, 200, await self.store.transact(builds.page, wanted.filter, wanted.after))

    async def api_order(self, request: Request) -> bytes:
        """Have a pull request or a commit built."""
        wanted = decode(cast(Any, request).content.read(), _Order, BodyError)
        if wanted.pull_request is not None and wanted.commit is None:
            made = await self.orders.pull_request(wanted.repository, wanted.pull_request)
        elif wanted.commit is not None and wanted.pull_request is None:
            made = await self.orders.commit(wanted.repository, wanted.commit)
        else:
            raise BodyError("the body must have either `pull_request` or `commit`")
        said = {"ok": True, "build": made.id, "repository": made.repository.full_name, "commit": made.commit}
        return answer(request, 202, said)

    async def api_build(self, request: Request, build_id: str) -> bytes:
        """The build may also be named by the first characters of its id, or by its commit."""
        found = await self.store.transact(_story_of, decoded(build_id))
        return answer(request, 200, there(found, f"build {build_id}"))

    async def api_send_build(self, request: Request, build_id: str) -> bytes:
        await self.again.send_build(decoded(build_id))
        return answer(request, 202, {"ok": True})

    async def api_rebuild(self, request: Request, build_id: str) -> bytes:
        return answer(request, 202, {"ok": True, "build": await self.again.rebuild(decoded(build_id))})

    async def api_take_down(self, request: Request, build_id: str) -> bytes:
        await self.again.take_down(decoded(build_id))
        return answer(request, 202, {"ok": True})

    async def api_send_status(self, request: Request, build_id: str, key: str) -> bytes:
        await self.again.send_status(decoded(build_id), decoded(key))
        return answer(request, 202, {"ok": True})

    async def api_pull_requests(self, request: Request) -> bytes:
        wanted = asked(request, Outcome)
        return answer(request, 200, await self.store.transact(pull_requests.page, wanted.filter, wanted.after))

    async def api_pull_request(self, request: Request, owner: str, repo: str, number: str) -> bytes:
        name, after = f"{decoded(owner)}/{decoded(repo)}", asked(request).after
        found = await self.store.transact(pull_requests.story, name, parsed(number, "the number"), after)
        return answer(request, 200, there(found, f"pull request {name}#{number}"))

    async def api_repositories(self, request: Request) -> bytes:
        wanted = asked(request)
        return answer(request, 200, await self.store.transact(repositories.page, wanted.after, wanted.words))

    async def api_failures(self, request: Request) -> bytes:
        return answer(request, 200, await self.store.transact(failures.given_up, FAILURES))


def _story_of(tx: Transaction, name: str) -> BuildStory | None:
    """The story of the one build that *name* stands for. Raises NotThere where there are several."""
    ids = builds.ids_of(tx, name)
    if len(ids) > 1:
        raise NotThere(f"{name!r} stands for more than one build: {', '.join(ids)}")
    return builds.story_of(tx, ids[0]) if ids else None


def there(found: T | None, what: str) -> T:
    """*found*, if it is there; raises NotThere."""
    if found is None:
        raise NotThere(f"there is no {what[:200]}, or not any more")
    return found


def headers(story: DeliveryStory) -> dict[str, str]:
    """The headers of a delivery that are kept. Its signature is not."""
    return {
        "X-Event-Key": story.delivery.event_key,
        "X-Hook-UUID": story.hook_uuid,
        "X-Request-UUID": story.request_uuid,
        "X-Attempt-Number": str(story.attempt),
    }
