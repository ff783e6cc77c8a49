"""What was given up on stays visible with its reason, and is sent again when an operator says so."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs

from probo_bitbucket.sandbox.faults import Answer, Fault
from tests.other_handler import OtherHandler
from tests.staged import StageTestCase


class GivenUp(StageTestCase):
    settings: ClassVar[dict[str, Any]] = {"retryFor": 0}

    async def test_a_build_that_could_not_be_started_is_started_after_all(self) -> None:
        fault = self.container_manager.faults.add(Fault(Answer(503), path="/startbuild"))
        pull_request = self.repository.open_pull_request("Wait", "waiting", {"a": b"1"})
        await self.until(lambda: self.states(pull_request).get("ProboCI/env") == "FAILED")
        said = await self.run_command("failed")
        self.assertIn("could not be started: the Container Manager answered 503", said)
        [name] = [line.split()[1] for line in said.splitlines() if line.startswith("build")]

        self.container_manager.faults.remove(fault)
        self.assertEqual(await self.run_command("send-again", name), f"{name}: sent again\n")
        await self.until(lambda: self.states(pull_request).get("ProboCI/Shell/Fine") == "SUCCESSFUL")
        await self.until(lambda: self.states(pull_request).get("ProboCI/env") == "SUCCESSFUL")
        self.assertEqual(await self.run_command("failed"), "Nothing was given up on.\n")
        self.assertEqual(list(self.container_manager.started.values()), [1])

    async def test_a_build_of_a_repository_that_we_may_not_see_is_named_and_started_once_we_may(self) -> None:
        closed = self.cloud.faults.add(Fault(Answer(404), path=r"/2\.0/repositories/acme/site(/.*)?"))
        with capturedLogs() as events:
            pull_request = self.repository.open_pull_request("Wait", "waiting", {"a": b"1"})
            told = await self.until(lambda: [event for event in events if event.get("event") == "build.failed"])
            await self.settled()
        [told] = told
        self.assertEqual((told["log_level"], told["repository"]), (LogLevel.error, "acme/site"))
        said = await self.run_command("failed")
        self.assertIn("Bitbucket does not show acme/site to the account of our credentials", said)
        [line] = [line.split() for line in said.splitlines() if "acme/site" in line]  # no status that was given up on
        self.assertIn("pullrequest:created", await self.run_command("deliveries", "--failed"))

        self.cloud.faults.remove(closed)
        await self.run_command("send-again", line[1])
        await self.until(lambda: self.states(pull_request).get("ProboCI/Shell/Fine") == "SUCCESSFUL")

    async def test_a_status_that_could_not_be_reported_is_reported_after_all(self) -> None:
        fault = self.cloud.faults.add(Fault(Answer(503), path=".*/statuses/build"))
        pull_request = self.repository.open_pull_request("Wait", "waiting", {"a": b"1"})
        await self.until(lambda: self.container_manager.builds)
        [build_id] = self.container_manager.builds
        await self.container_manager.wait_for(build_id)
        await self.until(lambda: len(self.rows("SELECT 1 FROM statuses WHERE failed AND NOT pending")) == 3)

        self.cloud.faults.remove(fault)
        await self.run_command("send-again", build_id)
        await self.until(lambda: set(self.states(pull_request).values()) == {"SUCCESSFUL"})

    async def test_an_update_that_another_handler_did_not_take_is_passed_on_after_all(self) -> None:
        github = OtherHandler(reactor, "github")
        await self.restart_with(forward={"github": await github.listen(reactor)})
        self.addCleanup(lambda: Deferred.fromCoroutine(github.server.stop()))
        fault = github.faults.add(Fault(Answer(500)))
        build = {"id": "gh-1", "project": {"slug": "hub/site", "provider": {"type": "github"}}}
        body = {"update": {"state": "success", "context": "Acme/env"}, "build": build}
        await self.call("POST", "/update", body, {"Content-Type": "application/json"})
        await self.until(lambda: self.rows("SELECT 1 FROM forwarded WHERE failed"))
        said = await self.run_command("failed")
        self.assertRegex(said, r"(?m)^update +gh-1 +hub/site +Acme/env +the github handler answered 500 ")

        github.faults.remove(fault)
        await self.run_command("send-again", "gh-1")
        await self.until(lambda: github.updates)
        await self.until(lambda: not self.rows("SELECT 1 FROM forwarded WHERE pending"))
        self.assertEqual(await self.run_command("failed"), "Nothing was given up on.\n")

    async def restart_with(self, **settings: Any) -> None:
        await self.stage.stop_handler()
        self.stage._given |= settings
        self.stage.start_handler()

    async def test_what_was_not_given_up_on_is_not_sent_again(self) -> None:
        said = await self.run_command("send-again", "no-such-build", status=1)
        self.assertEqual(said, "Error: Nothing of the name no-such-build was given up on.\n")

    async def test_the_database_of_a_daemon_that_runs_is_up_to_date(self) -> None:
        self.assertEqual(await self.run_command("migrate"), "The database is up to date.\n")
