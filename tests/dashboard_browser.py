"""A stage with a browser in front of its dashboard."""

from __future__ import annotations

from twisted.internet.threads import deferToThread

from tests.browser import WIDTHS, Browser
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
        """Keep pictures of the page, light and dark, and have its accessibility checked in both."""
        for dark in (False, True):
            self.browser.show(dark=dark)
            self.browser.picture(f"dashboard-{name}{'-dark' if dark else ''}")
            for width in WIDTHS:
                self.browser.show_at(width)
                violations = self.browser.violations()
                assert not violations, (name, dark, width, violations)
        self.browser.show(dark=False)
