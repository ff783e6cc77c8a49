"""The newcomer's way, from nothing: set up, a webhook added and tried, a pull request followed to its last status."""

from __future__ import annotations

from typing import Any, ClassVar

from selenium.webdriver.common.keys import Keys
from twisted.internet.threads import deferToThread

from probo_bitbucket.flow.oversight import trial
from probo_bitbucket.sandbox.stage import KEY, SCOPES, SECRET
from tests.dashboard_browser import DashboardTestCase
from tests.test_setup_in_browser import NOTHING


class Newcomer(DashboardTestCase):
    settings: ClassVar[dict[str, Any]] = NOTHING

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.patch(trial, "PAUSE", 0.02)
        self.cloud.hooks.clear()
        self.cloud.add_consumer(KEY, SECRET, f"{self.stage.url}/setup/callback", scopes=SCOPES)
        await self.stage.stop_handler()
        self.stage._given["publicUrl"] = self.stage.url
        self.stage.start_handler()

    async def test_from_nothing_to_the_last_status(self) -> None:
        await deferToThread(self.set_up)
        await deferToThread(self.add_webhook)
        await deferToThread(self.watch)
        await deferToThread(self.open_pull_request)
        pull_request = self.repository.pull_requests[1]
        await self.built(pull_request)
        await deferToThread(self.follow)
        self.assertEqual(set(self.states(pull_request).values()), {"SUCCESSFUL"})

    def set_up(self) -> None:
        self.open("/")
        self.look("newcomer-1-nothing")
        self.browser.press("Set credentials up")
        self.browser.labelled("Key").send_keys(KEY)
        self.browser.labelled("Secret").send_keys(SECRET)
        self.look("newcomer-2-consumer")
        self.browser.press("Continue to Bitbucket")
        self.browser.await_text("asks for")
        self.look("newcomer-2-consent")
        self.browser.press("Grant access")
        self.browser.await_text("Bitbucket agreed")
        self.look("newcomer-3-credentials")
        self.browser.press("Store them and start to work")
        self.browser.await_text("The credentials are in use")
        self.look("newcomer-4-set-up")

    def add_webhook(self) -> None:
        self.browser.press("Add the webhook")
        self.browser.labelled("Add a webhook").send_keys("acme/site", Keys.ENTER)
        self.browser.await_text("made")
        self.look("newcomer-5-webhook")
        self.browser.press("Test acme/site")
        self.browser.await_text("works, ")
        self.look("newcomer-6-webhook-works")

    def watch(self) -> None:
        self.browser.press("Overview")
        self.browser.await_text("Live")
        self.look("newcomer-7-waiting")

    def open_pull_request(self) -> None:
        """On the pages of the simulated Bitbucket, as anybody does who plays with it."""
        self.browser.open(f"{self.cloud.url}/acme/site")
        self.look("newcomer-8-bitbucket")
        self.browser.press("Webhooks")
        self.look("newcomer-8-webhooks")
        self.browser.press("The Site")
        self.browser.press("Open a pull request")
        self.browser.await_text("Change the page")

    def follow(self) -> None:
        self.open("/")
        self.browser.await_text("succeeded")
        self.look("newcomer-9-built")
        self.browser.press("pullrequest:created")
        self.browser.await_text("Build started")
        self.browser.await_text("ProboCI/Shell/Fine")
        self.look("newcomer-10-story")
        self.browser.press("acme/site#1")
        self.browser.press("Open on Bitbucket")
        self.browser.await_text("ProboCI/env")
        self.browser.picture("dashboard-newcomer-11-statuses")  # which loads itself again and again
