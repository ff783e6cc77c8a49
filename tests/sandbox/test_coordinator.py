"""The simulated coordinator: whom it lets in, what it knows of projects, what it keeps of tokens."""

from __future__ import annotations

import json
from typing import Any

import treq
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent

from probo_bitbucket.sandbox.container_manager import ContainerManager
from probo_bitbucket.sandbox.coordinator import Coordinator

PROJECT = "/projects?service=bitbucket&slug=acme%2Fsite&single=true"
TOKENS = {
    "projectid": "acme-site",
    "providertype": "bitbucket",
    "token": "c4n4ry-AT1",
    "refreshtoken": "c4n4ry-RT1",
    "tokencreatedat": "1795367437",
    "tokenexpiresin": "7200",
}


class CoordinatorTests(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        clock = Clock()
        machine = ContainerManager(clock, handler_url="", auth_url="", archive_url="")
        projects = {
            f"acme/{name}": {"id": f"acme-{name}", "slug": f"acme/{name}", "service_auth": {"refreshToken": refresh}}
            for name, refresh in (("site", "c4n4ry-RT0"), ("shop", "c4n4ry-RT0"), ("blog", "c4n4ry-RTx"))
        }
        self.coordinator = Coordinator(clock, machine, token="c4n4ry-secret", projects=projects)
        self.url = await self.coordinator.listen(reactor)

    async def tearDown(self) -> None:  # type: ignore[override]
        await self.coordinator.stop()

    async def ask(self, method: str, path: str, authorization: str = "Bearer c4n4ry-secret", **how: Any) -> Any:
        headers = {"Authorization": authorization, "Connection": "close", **how.pop("headers", {})}
        answer = await treq.request(method, self.url + path, headers=headers, agent=Agent(reactor), **how)
        return answer.code, json.loads(await answer.content())

    async def refresh_tokens(self) -> list[str]:
        slugs = ("site", "shop", "blog")
        answers = [await self.ask("GET", PROJECT.replace("site", slug)) for slug in slugs]
        return [project["service_auth"]["refreshToken"] for _, project in answers]

    async def test_nobody_without_the_token_is_let_in(self) -> None:
        for method, path in (("GET", PROJECT), ("POST", "/startbuild"), ("POST", "/projects/tokens")):
            assert (await self.ask(method, path, authorization="Bearer c4n4ry-guess"))[0] == 401

    async def test_a_project_is_found_by_its_slug(self) -> None:
        assert (await self.ask("GET", PROJECT))[1]["id"] == "acme-site"
        assert (await self.ask("GET", PROJECT.replace("acme", "other")))[0] == 404

    async def test_tokens_reach_every_project_of_the_chain(self) -> None:
        assert (await self.ask("POST", "/projects/tokens", headers=TOKENS))[0] == 200
        assert await self.refresh_tokens() == ["c4n4ry-RT1", "c4n4ry-RT0", "c4n4ry-RTx"]
        await self.ask("POST", "/projects/tokens", headers={**TOKENS, "previousrefreshtoken": "c4n4ry-RT0"})
        assert await self.refresh_tokens() == ["c4n4ry-RT1", "c4n4ry-RT1", "c4n4ry-RTx"]
        assert self.coordinator.tokens[-1].created_at == 1795367437

    async def test_incomplete_tokens_are_refused(self) -> None:
        for name in TOKENS:
            headers = {key: value for key, value in TOKENS.items() if key != name}
            assert (await self.ask("POST", "/projects/tokens", headers=headers))[0] == 400

    async def test_a_closed_pull_request_is_noted(self) -> None:
        closed = {"projectId": "acme-site", "branchName": "feature/readme"}
        assert (await self.ask("POST", "/pr-closed", json=closed))[0] == 200
        assert self.coordinator.closed == [("acme-site", "feature/readme")]
        assert (await self.ask("POST", "/pr-closed", json={}))[0] == 400

    async def test_a_build_that_cannot_be_started_is_refused_as_the_container_manager_does(self) -> None:
        assert await self.ask("POST", "/startbuild", json={"build": {}}) == (
            500,
            {"error": "Cannot read properties of undefined (reading 'slug')"},
        )
