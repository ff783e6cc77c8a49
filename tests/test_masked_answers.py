"""A page with status 200 in place of Bitbucket's answer, as proxies show one: the status is sent again."""

from __future__ import annotations

from probo_bitbucket.sandbox.faults import HTML, Answer, Fault
from tests.staged import StageTestCase


class MaskedAnswers(StageTestCase):
    async def test_a_status_answered_with_a_page_is_reported_again(self) -> None:
        page = Answer(200, b"<html>Down for maintenance</html>", HTML)
        fault = self.cloud.faults.add(Fault(page, r".*/statuses/build", "POST"))
        pull_request = self.repository.open_pull_request()
        asked = self.cloud.requests
        await self.until(lambda: sum(request.path.endswith("/statuses/build") for request in asked) >= 3)
        self.cloud.faults.remove(fault)
        await self.until(lambda: list(self.states(pull_request).values()) == ["SUCCESSFUL"] * 3)
