"""A stage with a browser in front of its dashboard."""

from __future__ import annotations

from twisted.internet.threads import deferToThread

from tests.browser import Browser
from tests.staged import StageTestCase


class DashboardTestCase(StageTestCase):
    """*javascript*: whether the browser runs scripts."""

    timeout = 180
    javascript = True

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        try:
            self.browser = await deferToThread(Browser, javascript=self.javascript)
        except BaseException:
            await self.stage.close()  # trial does not call tearDown
            raise

    async def tearDown(self) -> None:  # type: ignore[override]
        await deferToThread(self.browser.close)
        await super().tearDown()

    def open(self, path: str) -> None:
        self.browser.open(f"{self.stage.url}{path}")

    def look(self, name: str) -> None:
        self.browser.look(f"dashboard-{name}")
