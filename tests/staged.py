"""Tests on the stage: real sockets, a real SQLite file, the two simulators."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool

from probo_bitbucket.sandbox.pullrequest import PullRequest
from probo_bitbucket.sandbox.stage import CONFIGURATION, Stage


class StageTestCase(TestCase):
    """A stage that is open, with the repository `acme/site` on it. `settings` are those of its handler."""

    timeout = 30
    settings: ClassVar[dict[str, Any]] = {}

    async def setUp(self) -> None:  # type: ignore[override] # trial waits for coroutines, too
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.stage = Stage(reactor, Path(folder.name), **self.settings)
        self.pool = HTTPConnectionPool(reactor, persistent=False)
        self.client = HTTPClient(Agent(reactor, pool=self.pool))
        await self.stage.open()
        self.cloud = self.stage.cloud
        self.container_manager = self.stage.container_manager
        self.repository = self.cloud.add_repository("acme/site", {".probo.yaml": CONFIGURATION})
        self.stage.watch("acme/site")

    async def tearDown(self) -> None:  # type: ignore[override]
        await self.stage.close()
        await self.pool.closeCachedConnections()

    def states(self, pull_request: PullRequest) -> dict[str, str]:
        """The states that the page of a pull request shows, by key."""
        return {status.key: str(status.state) for status in pull_request.shown()}

    async def until(self, condition: Any) -> Any:
        """The first true value of *condition*, asked for again and again; the test's timeout bounds it."""
        while not (value := condition()):
            await deferLater(reactor, 0.01)
        return value
