"""Each kind of credentials through a whole build, and accounts side by side."""

from __future__ import annotations

from typing import Any, ClassVar

from probo_bitbucket.sandbox.stage import CONFIGURATION, KEY, SECRET
from tests.canaries import canary
from tests.staged import StageTestCase

NO_CONSUMER = {"bbClientKey": "", "bbClientSecret": "", "bbRefreshToken": ""}
SCOPES = ("pullrequest",)


class Kind(StageTestCase):
    async def states_of_a_build(self) -> set[str]:
        return set((await self.built(self.repository.open_pull_request())).values())


class StaticRefreshToken(Kind):
    async def prepare(self) -> None:
        self.cloud.add_consumer(KEY, SECRET, rotating=False)
        self.stage.refresh_token = self.cloud.credentials.issue_refresh_token(KEY)

    async def test_a_build_succeeds_and_the_token_stays(self) -> None:
        assert await self.states_of_a_build() == {"SUCCESSFUL"}
        assert self.rows("SELECT refresh_token FROM chains") == [(self.stage.refresh_token,)]


class ConsumerAlone(Kind):
    settings: ClassVar[dict[str, Any]] = {"bbRefreshToken": ""}

    async def test_a_build_succeeds_by_client_credentials(self) -> None:
        assert await self.states_of_a_build() == {"SUCCESSFUL"}
        assert self.cloud.credentials.granted == {"client_credentials": 1}


class AccessTokenOfTheRepository(Kind):
    settings: ClassVar[dict[str, Any]] = {**NO_CONSUMER, "bbAccessToken": canary("token-of-the-site")}

    async def prepare(self) -> None:
        self.cloud.credentials.add_access_token(canary("token-of-the-site"), SCOPES, "acme/site")

    async def test_a_build_succeeds_and_nothing_is_ever_refreshed(self) -> None:
        assert await self.states_of_a_build() == {"SUCCESSFUL"}
        assert not self.asked("/site/oauth2/", "POST")


class ApiTokenOfAUser(Kind):
    settings: ClassVar[dict[str, Any]] = {
        **NO_CONSUMER,
        "bbEmail": "ada@example.com",
        "bbApiToken": canary("token-of-ada"),
    }

    async def prepare(self) -> None:
        self.cloud.credentials.add_api_token("ada@example.com", canary("token-of-ada"), SCOPES)

    async def test_a_build_is_asked_for_and_its_download_which_cannot_work_is_reported(self) -> None:
        pull_request = self.repository.open_pull_request()
        states = await self.built(pull_request)
        assert states["ProboCI/env"] == "FAILED"
        assert any("Bearer" in status.description for status in pull_request.shown())


class SideBySide(StageTestCase):
    settings: ClassVar[dict[str, Any]] = {
        **NO_CONSUMER,
        "accounts": [
            {"name": "acme", "repositories": "acme/*", "bbAccessToken": canary("token-of-acme")},
            {"name": "globex", "repositories": "globex/*", "bbAccessToken": canary("token-of-globex")},
        ],
    }

    async def prepare(self) -> None:
        for workspace in ("acme", "globex"):
            self.cloud.credentials.add_access_token(canary(f"token-of-{workspace}"), SCOPES, workspace)

    async def test_each_workspace_is_reached_by_its_own_account_only(self) -> None:
        other = self.cloud.add_repository("globex/shop", {".probo.yaml": CONFIGURATION})
        self.stage.watch("globex/shop")
        for repository in (self.repository, other):
            assert set((await self.built(repository.open_pull_request())).values()) == {"SUCCESSFUL"}
        for part, token in (("/acme/site/", canary("token-of-acme")), ("/globex/shop/", canary("token-of-globex"))):
            assert {each.headers["authorization"] for each in self.asked(part)} == {f"Bearer {token}"}
            assert {each.headers["authorization"] for each in self.asked(part, "POST")} == {f"Bearer {token}"}
