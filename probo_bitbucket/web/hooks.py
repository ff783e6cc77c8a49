"""The routes for webhooks and for the check, as the command and the dashboard call them."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, cast

import msgspec
from attrs import define
from twisted.web.http import Request

from probo_bitbucket.bitbucket.hooks import EVENTS, Place
from probo_bitbucket.bodies import BodyError, decode
from probo_bitbucket.flow.oversight.check import Check
from probo_bitbucket.flow.oversight.hooks import Hooks
from probo_bitbucket.flow.oversight.trial import Trial
from probo_bitbucket.model import Repository
from probo_bitbucket.web.answers import answer
from probo_bitbucket.web.browsers import Route

T = TypeVar("T")

PATH = "/api/hooks"
CHECK_PATH = "/api/check"

_Places = Annotated[list[str], msgspec.Meta(max_length=1000)]
_SomePlaces = Annotated[list[str], msgspec.Meta(min_length=1, max_length=1000)]


class _Meant(msgspec.Struct):
    """`workspace` or `workspace/slug`, each."""

    places: _SomePlaces


class _Repair(msgspec.Struct):
    """Without places: all webhooks that were made here."""

    places: _Places = []
    new_secret: bool = False


class _Try(msgspec.Struct):
    repository: str


@define(eq=False)
class HookRoutes:
    hooks: Hooks
    trial: Trial
    check: Check

    @property
    def routes(self) -> tuple[Route, ...]:
        return (
            ("GET", PATH, self.list_hooks),
            ("POST", f"{PATH}/add", self.add_hooks),
            ("POST", f"{PATH}/repair", self.repair_hooks),
            ("POST", f"{PATH}/remove", self.remove_hooks),
            ("POST", f"{PATH}/test", self.test_hook),
            ("POST", CHECK_PATH, self.check_all),
        )

    async def list_hooks(self, request: Request) -> bytes:
        """Those of each `place` in the query, or all that are looked after, beside what they should be."""
        inspection = self.hooks.inspection
        meant = [each.decode("utf-8", "replace") for each in cast(Any, request).args.get(b"place", [])]
        reports = await inspection.reports(_places(meant))
        if not meant:
            reports += await inspection.strangers({each.uuid for each in reports})
        return answer(request, 200, {"url": inspection.url, "events": list(EVENTS), "hooks": reports})

    async def add_hooks(self, request: Request) -> bytes:
        return answer(request, 200, {"hooks": await self.hooks.add(_places(_posted(request, _Meant).places))})

    async def repair_hooks(self, request: Request) -> bytes:
        wanted = _posted(request, _Repair)
        reports = await self.hooks.repair(_places(wanted.places), new_secret=wanted.new_secret)
        return answer(request, 200, {"hooks": reports})

    async def remove_hooks(self, request: Request) -> bytes:
        return answer(request, 200, {"hooks": await self.hooks.remove(_places(_posted(request, _Meant).places))})

    async def test_hook(self, request: Request) -> bytes:
        """Takes as long as Bitbucket does to deliver."""
        repository = Repository.parse(_posted(request, _Try).repository)
        return answer(request, 200, await self.trial.run(repository))

    async def check_all(self, request: Request) -> bytes:
        return answer(request, 200, {"verdicts": await self.check.run()})


def _posted(request: Request, shape: type[T]) -> T:
    return decode(cast(Any, request).content.read(), shape, BodyError)


def _places(names: list[str]) -> list[Place]:
    return [Place.parse(name) for name in dict.fromkeys(names)]
