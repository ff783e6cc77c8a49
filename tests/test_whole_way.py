"""A pull request from its webhook to its last status, over real sockets."""

from __future__ import annotations

from tests.staged import StageTestCase


class WholeWay(StageTestCase):
    async def test_a_pull_request_is_built_and_its_statuses_are_shown(self) -> None:
        pull_request = self.repository.open_pull_request("Change the README", "feature/readme", {"README.md": b"hi\n"})
        await self.until(
            lambda: (
                self.states(pull_request)
                == {
                    "ProboCI/Shell/Fine": "SUCCESSFUL",
                    "ProboCI/Shell/Hello": "SUCCESSFUL",
                    "ProboCI/env": "SUCCESSFUL",
                }
            )
        )
