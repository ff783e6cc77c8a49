"""How many requests to Bitbucket one build of 20 steps takes, from the webhook to the last state."""

from __future__ import annotations

from typing import Any, ClassVar

from probo_bitbucket.flow.statuses import desire
from probo_bitbucket.sandbox.faults import Fault, Slow
from probo_bitbucket.sandbox.stage import KEY
from tests.staged import StageTestCase

STEPS = 20
STEP_TIME = 0.08  # seconds: longer than what the reporter waits for the next change


class RequestsForABuild(StageTestCase):
    async def prepare(self) -> None:
        self.patch(desire, "PILE", 4 * STEP_TIME)  # in life, too, it is longer than from "built" to the download
        self.container_manager.setting.step_time = STEP_TIME
        self.cloud.faults.add(Fault(Slow(STEP_TIME), ".*/get/.*"))

    async def requests(self) -> tuple[int, dict[str, str]]:
        """How many requests a build took, and what Bitbucket shows in the end."""
        steps = ", ".join(f"{{name: Step {number}, command: 'true'}}" for number in range(STEPS))
        pull_request = self.repository.open_pull_request(files={".probo.yaml": f"steps: [{steps}]".encode()})
        states = await self.built(pull_request)
        told = [call for call in self.container_manager.calls if "/status/" in call.url]
        assert len(told) == 3 * STEPS + 5, "this is no build as the Container Manager tells of it"
        count = len(self.asked("/2.0/", "GET") + self.asked("/2.0/", "POST"))
        return count, states

    def ended(self) -> dict[str, str]:
        """All keys of the build, as they must end."""
        keys = ["ProboCI/env", *(f"ProboCI/Shell/Step {number}" for number in range(STEPS))]
        return dict.fromkeys(keys, "SUCCESSFUL")


class Steps(RequestsForABuild):
    async def test_a_status_for_each_step(self) -> None:
        count, states = await self.requests()
        assert count <= 45
        assert states == self.ended()
        assert len(self.asked("access_token", "POST")) <= 1

    async def test_a_short_budget_is_for_the_ends(self) -> None:
        for _ in range(int(0.85 * self.cloud.rate_limit.limit)):
            self.cloud.rate_limit.spend(KEY)
        count, states = await self.requests()
        assert count <= 25
        assert states == self.ended()


class Summary(RequestsForABuild):
    settings: ClassVar[dict[str, Any]] = {"statuses": "summary"}

    async def test_one_status_for_the_build(self) -> None:
        count, states = await self.requests()
        assert count <= 12
        assert states == {"ProboCI": "SUCCESSFUL"}
        history = self.repository.statuses[self.repository.pull_requests[1].commit, "ProboCI"]
        assert [status.description for status in history][-1] == "20 of 20 steps"
        stored = dict(self.rows("SELECT key, json_extract(desired, '$.state') FROM statuses WHERE milestone IS NULL"))
        assert stored == self.ended()  # for the dashboard

    async def test_a_merge_check_finds_the_same_key_on_every_commit(self) -> None:
        self.container_manager.setting.step_time = 0
        pull_request = self.repository.open_pull_request()
        assert await self.built(pull_request) == {"ProboCI": "SUCCESSFUL"}
        pull_request.push({".probo.yaml": b"steps: [{name: A, command: 'false'}]"})
        assert await self.built(pull_request) == {"ProboCI": "FAILED"}
        pull_request.push({".probo.yaml": b"steps: ["})
        await self.decided(3)
        await self.settled()
        assert self.states(pull_request) == {"ProboCI": "FAILED"}


class Both(RequestsForABuild):
    settings: ClassVar[dict[str, Any]] = {"statuses": "both"}

    async def test_a_summary_besides_the_steps(self) -> None:
        count, states = await self.requests()
        assert count <= 55
        assert states == {**self.ended(), "ProboCI": "SUCCESSFUL"}
