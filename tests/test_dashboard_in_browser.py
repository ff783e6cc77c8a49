"""The dashboard as a person uses it: in a real browser, wide and narrow, light and dark, with and without scripts."""

from __future__ import annotations

from twisted.internet.threads import deferToThread

from tests.dashboard_browser import DashboardTestCase

HOSTILE = "<img src=x onerror=document.title='taken'> & \"quotes\""


class FromNothing(DashboardTestCase):
    """The newcomer's way: an empty dashboard, a pull request, its story to the last status."""

    async def test_a_pull_request_is_followed_to_its_last_status(self) -> None:
        await deferToThread(self.before)
        pull_request = self.repository.open_pull_request("Change the README", "feature/readme", {"README.md": b"hi\n"})
        await deferToThread(self.appears)
        await self.built(pull_request)
        await deferToThread(self.after)

    def before(self) -> None:
        self.open("/")
        self.browser.await_text("All is well")
        self.browser.await_text("No pull request was built yet.")
        if self.javascript:
            self.browser.await_text("Live")
        self.look("1-nothing")

    def appears(self) -> None:
        self.browser.await_text("Change the README")

    def after(self) -> None:
        self.browser.await_text("succeeded")
        self.look("2-overview")
        self.browser.press("Change the README")
        self.browser.await_text("ProboCI/env")
        self.look("3-pull-request")
        self.browser.press("Deliveries")
        self.browser.await_text("acme/site#1")
        self.look("4-deliveries")
        self.browser.press("pullrequest:created")
        self.browser.await_text("Configuration read")
        self.browser.await_text("ProboCI/Shell/Fine")
        self.browser.press("Body")
        self.browser.await_text('"pullrequest": {')
        self.look("5-delivery")
        self.browser.press("The build")
        self.browser.await_text("asked for by delivery 1")
        self.look("6-build")
        self.browser.press("Rebuild")
        self.browser.await_text("This is the new build.")
        self.browser.await_text("succeeded")
        self.look("7-rebuilt")
        for name in ("Pull requests", "Builds", "Repositories"):
            self.browser.press(name)
            self.look(f"8-{name.lower().replace(' ', '-')}")
