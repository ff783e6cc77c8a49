"""The secrets that not every handler has: a coordinator's token and tokens, and the password of a database."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorTime
from twisted.internet.threads import deferToThread

from probo_bitbucket.probo.container_manager import ContainerManager
from probo_bitbucket.sandbox.coordinator import Coordinator
from probo_bitbucket.sandbox.faults import HTML, Answer, Fault
from tests.canaries import canary, forget_secrets_at_starts, keep_log, reprs, songs
from tests.postgres import running_cluster
from tests.staged import StageTestCase

TOKEN = canary("coordinator-token")
PASSWORD = canary("pass/word")
SPELLED = canary("pass%2Fword")  # in a URL


class Elsewhere(StageTestCase):
    timeout = 120

    async def prepare(self) -> None:
        self.log_path = keep_log(self)
        forget_secrets_at_starts(self)

    async def breaks(self, *_: Any, **__: Any) -> Any:
        """In place of a call: an error that nobody expected, with a secret in its words."""
        raise ValueError(self.secret)

    secret: str = ""

    async def defect(self) -> None:
        """Have a build meet that error, and then succeed."""
        start = ContainerManager.start
        self.patch(ContainerManager, "start", self.breaks)
        pull_request = self.repository.open_pull_request("Break it", "break", {"a": b"a"})
        await self.until(lambda: "step.failed" in self.log_path.read_text())
        self.patch(ContainerManager, "start", start)
        await self.until(lambda: self.states(pull_request).get("ProboCI/Shell/Fine") == "SUCCESSFUL")
        assert self.flushLoggedErrors(ValueError)

    def silent(self, *texts: str) -> None:
        assert "step.failed" in self.log_path.read_text()
        for text in texts:
            assert songs(text) == []
        assert [text[:60] for text in reprs() if songs(text)] == []


class OfACoordinator(Elsewhere):
    secret = TOKEN

    async def prepare(self) -> None:
        await super().prepare()
        auth = {"refreshToken": self.cloud.credentials.issue_refresh_token(self.stage.consumer.key)}
        provider = {"type": "bitbucket", "slug": "bitbucket"}
        project = {"id": "p-1", "slug": "acme/site", "owner": "acme", "repo": "site", "provider": provider}
        projects = {"acme/site": {**project, "service": "bitbucket", "service_auth": auth}}
        clock = cast(IReactorTime, reactor)
        self.coordinator = Coordinator(clock, self.container_manager, token=TOKEN, projects=projects)
        self.stage._given |= {
            "api": {"url": await self.coordinator.listen(reactor), "token": TOKEN},
            "bbRefreshToken": "",
        }

    async def tearDown(self) -> None:  # type: ignore[override]
        await super().tearDown()
        await self.coordinator.stop()

    async def test_nothing_is_heard_of_its_token_and_of_the_tokens_that_it_keeps(self) -> None:
        said = f"Bearer {TOKEN} is not liked".encode()
        for effect in (Answer(401), Answer(500, said, HTML), Answer(403, b'{"error": "%s"}' % said)):
            self.coordinator.faults.add(Fault(effect, times=1))
            await self.call("GET", "/branches/acme/site")
        await self.defect()
        await self.until(lambda: self.coordinator.tokens)
        await self.call("GET", "/branches/acme/site")
        await self.settled()
        self.silent()


class OfADatabase(Elsewhere):
    secret = PASSWORD

    async def prepare(self) -> None:
        await super().prepare()
        cluster = running_cluster()
        self.cluster = await deferToThread(next, cluster)
        self.addCleanup(lambda: deferToThread(next, cluster, None))
        url = (await deferToThread(self.cluster.new_database)).replace("probo@", f"probo:{SPELLED}@")
        self.stage._given["database"] = url

    async def test_nothing_is_heard_of_its_password(self) -> None:
        await self.defect()
        await deferToThread(self.cluster.stop, "immediate")
        away = [await self.call("GET", path) for path in ("/readyz", "/auth_lookup?refreshToken=x")]
        assert [answer.status for answer in away] == [503, 503]
        said = await deferToThread(self.commands)
        await deferToThread(self.cluster.start)
        self.silent(said, *(answer.body.decode() for answer in away))

    def commands(self) -> str:
        """What the commands say that need the database."""
        words = ("migrate", "failed", "send-again x")
        return "".join(self.command(*word.split()) for word in words)

    def command(self, name: str, *arguments: str) -> str:
        settings = str(self.folder / "settings.yaml")
        command = [sys.executable, "-m", "probo_bitbucket", name, "-c", settings, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done
        return done.stdout + done.stderr
