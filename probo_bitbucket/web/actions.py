"""What can be done on the dashboard: forms that end on the page of what they were about."""

from __future__ import annotations

from urllib.parse import quote

from attrs import define
from twisted.web.http import Request

from probo_bitbucket.bodies import clean
from probo_bitbucket.flow.builds.again import Again
from probo_bitbucket.web.browsers import Route
from probo_bitbucket.web.dashboard import in_words
from probo_bitbucket.web.forms import decoded, number
from probo_bitbucket.web.own_forms import OwnForms
from probo_bitbucket.web.pages import see_other

_NAME = 300  # characters of the longest name of something that was given up on


@define(eq=False, slots=False)
class Actions:
    again: Again
    forms: OwnForms

    @property
    def routes(self) -> tuple[Route, ...]:
        return (
            ("POST", "/deliveries/<delivery_id>/send-again", in_words(self.send_delivery)),
            ("POST", "/builds/<build_id>/send-again", in_words(self.send_build)),
            ("POST", "/builds/<build_id>/rebuild", in_words(self.rebuild)),
            ("POST", "/builds/<build_id>/take-down", in_words(self.take_down)),
            ("POST", "/failures/send-again", in_words(self.send_given_up)),
            ("POST", "/builds/<build_id>/statuses/<key>/send-again", in_words(self.send_status)),
        )

    async def send_delivery(self, request: Request, delivery_id: str) -> bytes:
        await self.forms.check(request)
        id = number(delivery_id, "the id of a delivery")
        await self.again.send_delivery(id)
        return see_other(request, f"/deliveries/{id}?said=sent")

    async def send_build(self, request: Request, build_id: str) -> bytes:
        await self.forms.check(request)
        await self.again.send_build(decoded(build_id))
        return _to_build(request, decoded(build_id), "sent")

    async def rebuild(self, request: Request, build_id: str) -> bytes:
        await self.forms.check(request)
        return _to_build(request, await self.again.rebuild(decoded(build_id)), "rebuilt")

    async def take_down(self, request: Request, build_id: str) -> bytes:
        await self.forms.check(request)
        await self.again.take_down(decoded(build_id))
        return _to_build(request, decoded(build_id), "ending")

    async def send_given_up(self, request: Request) -> bytes:
        fields = await self.forms.check(request)
        await self.again.send_given_up(clean(fields.get("name"), _NAME))
        return see_other(request, "/?said=sent")

    async def send_status(self, request: Request, build_id: str, key: str) -> bytes:
        await self.forms.check(request)
        await self.again.send_status(decoded(build_id), decoded(key))
        return _to_build(request, decoded(build_id), "sent")


def _to_build(request: Request, id: str, said: str) -> bytes:
    return see_other(request, f"/builds/{quote(id, safe='')}?said={said}")
