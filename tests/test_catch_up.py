"""What the Container Manager said while the handler was down is caught up with after the start."""

from __future__ import annotations

from probo_bitbucket.sandbox.faults import Fault, Slow
from tests.staged import StageTestCase


class CatchUpAfterStart(StageTestCase):
    async def test_a_set_up_that_failed_meanwhile_is_shown_as_failed(self) -> None:
        self.cloud.faults.add(Fault(Slow(1.0), "/not-the-lookup"))
        self.container_manager.setting.auth_url = f"{self.cloud.url}/not-the-lookup"
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: any(request.path == "/not-the-lookup" for request in self.cloud.requests))
        await self.until(lambda: self.states(pull_request) == {"ProboCI/env": "INPROGRESS"})
        await self.stage.stop_handler()
        [build] = self.container_manager.builds.values()
        await self.until(lambda: not build["active"])
        assert (build["status"], build.get("steps")) == ("error", None)  # nobody took what was said of the steps

        self.stage.start_handler()
        await self.until(lambda: self.states(pull_request) == {"ProboCI/env": "FAILED"})
