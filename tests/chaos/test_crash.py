"""A daemon that is killed between a refresh and the first use of what it gave: its chain of refresh tokens lives.

Tokens that were not stored are lost for ever; only that Bitbucket takes the spent one for ten minutes more saves the
chain. From then on the sandbox kills it at once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import treq
from attrs import frozen
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool, ResponseNeverReceived
from twisted.web.server import Request

from probo_bitbucket.sandbox.faults import Fault, LoseAnswer
from probo_bitbucket.sandbox.pullrequest import PullRequest
from probo_bitbucket.sandbox.stage import CONFIGURATION, KEY, SECRET, Stage
from tests.chaos.node import Node

TOKENS = "/site/oauth2/access_token"
SHORT, LONG = 60, 7200  # seconds that an access token lives: so short that each is replaced at once, and as usual
GRACE = 600.0  # seconds that a refresh token lives after its use at the real Bitbucket


class OneNode(Stage):
    """The stage, with a daemon in the place of the handler."""

    def __init__(self, reactor: Any, directory: Path) -> None:
        super().__init__(reactor, directory / "data", reconcile="never")
        self.node = Node(directory / "data" / "settings.yaml", directory / "daemon.log", "none", 0.0)

    def start_handler(self) -> None:
        self.settings()  # which writes them to a file
        self.node.tend()
        self.url = f"http://127.0.0.1:{self.node.port}"
        setting = self.container_manager.setting
        setting.handler_url, setting.auth_url, setting.archive_url = self.url, f"{self.url}/auth_lookup", self.cloud.url

    async def stop_handler(self) -> None:
        self.node.kill()


@frozen
class Killed:
    """Bitbucket does what it was asked for, and the daemon is killed before a byte of the answer is sent."""

    node: Node

    def apply(self, request: Request, clock: IReactorTime, proceed: Callable[[], None]) -> None:
        LoseAnswer().apply(request, clock, proceed)
        self.node.kill()


class Crash(TestCase):
    """Killed at one point between Bitbucket's rotation and the access token's first use, and started again."""

    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        folder = tempfile.TemporaryDirectory()
        self.stage = OneNode(reactor, Path(folder.name))
        self.addCleanup(folder.cleanup)
        self.addCleanup(self.stage.close)  # which is done first
        self.cloud, self.node = self.stage.cloud, self.stage.node
        self.agent = Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False))

    async def begin(self, grace: float) -> None:
        """Have a daemon refresh a few times, and end it; a used token lives *grace* seconds longer."""
        self.cloud.add_consumer(KEY, SECRET, grace=grace)
        self.first = self.stage.refresh_token = self.cloud.credentials.issue_refresh_token(KEY)
        self.cloud.credentials.expires_in = SHORT
        await self.stage.open()
        await self.until(lambda: self.node.listens)
        while self.refreshes() < 3:
            await self.look_up(self.first)
        self.node.kill()
        self.members = self.tokens()

    def tokens(self) -> list[str]:
        """The chain as Bitbucket knows it, from its beginning."""
        given = list(self.cloud.credentials._refresh_tokens)
        return given[given.index(self.first) :]

    async def crash(self, bug: str = "none") -> None:
        """Start a daemon that is killed in its first refresh, while somebody waits for an access token."""
        self.node.bug = bug
        self.node.tend()
        await self.until(lambda: self.node.listens)
        await self.assertFailure(Deferred.fromCoroutine(self.look_up(self.first)), ResponseNeverReceived)
        await self.until(lambda: not self.node.runs)
        assert len(self.tokens()) == len(self.members) + 1  # Bitbucket has rotated

    async def check_recovered(self) -> None:
        """A new daemon answers for every token that the old one knew, works with Bitbucket, and builds."""
        self.cloud.credentials.expires_in = LONG
        self.node.bug = "none"
        self.node.tend()
        await self.until(lambda: self.node.listens)
        for token in self.members:
            await self.look_up(token)
        repository = self.cloud.add_repository("acme/site", {".probo.yaml": CONFIGURATION})
        self.stage.watch("acme/site")
        pull_request = repository.open_pull_request()
        await self.until(lambda: states(pull_request).get("ProboCI/Shell/Fine") == "SUCCESSFUL")

    def refreshes(self) -> int:
        return self.cloud.credentials.granted["refresh_token"]

    async def look_up(self, token: str) -> None:
        """What /auth_lookup gives for a refresh token must be an access token that Bitbucket takes."""
        url = f"{self.stage.url}/auth_lookup?type=bitbucket&refreshToken={quote(token, safe='')}"
        response = await treq.get(url, agent=self.agent)
        document = await response.json()
        assert response.code == 200, document
        assert self.cloud.credentials.bearer(document["access_token"]) is not None

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until *condition* holds; the test's timeout bounds it."""
        while not condition():
            await deferLater(cast(IReactorTime, reactor), 0.02)

    async def test_tokens_that_nobody_has_read_are_asked_for_again_within_bitbuckets_grace(self) -> None:
        await self.begin(GRACE)
        self.cloud.faults.add(Fault(Killed(self.node), TOKENS, times=1))
        await self.crash()
        await self.check_recovered()

    async def test_tokens_that_were_read_and_not_stored_are_asked_for_again_within_bitbuckets_grace(self) -> None:
        await self.begin(GRACE)
        await self.crash("die-before-storing")
        await self.check_recovered()

    async def test_tokens_that_were_stored_and_not_used_are_gone_on_with_where_the_old_one_is_dead_at_once(
        self,
    ) -> None:
        await self.begin(grace=0.0)
        await self.crash("die-before-using")
        await self.check_recovered()


def states(pull_request: PullRequest) -> dict[str, str]:
    return {status.key: str(status.state) for status in pull_request.shown()}
