"""The dashboard as a person uses it: in a real browser, wide and narrow, light and dark, with and without scripts."""

from __future__ import annotations

from typing import Any, ClassVar

from selenium.webdriver.common.keys import Keys
from twisted.internet.threads import deferToThread

from probo_bitbucket.flow.oversight import trial
from probo_bitbucket.sandbox.faults import Answer, Fault
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


class WithoutJavaScript(FromNothing):
    """The same way by reloading; nothing is there that needs a script."""

    javascript = False

    def appears(self) -> None:
        """Not by itself."""

    def after(self) -> None:
        self.open("/")
        self.browser.await_text("succeeded")
        assert not self.browser.find("#live").is_displayed()
        self.look("without-javascript-overview")
        self.browser.press("Change the README")
        self.browser.await_text("ProboCI/env")
        self.look("without-javascript-pull-request")
        self.browser.press("Rebuild")
        self.browser.await_text("This is the new build.")
        self.look("without-javascript-build")
        for name in ("Pull requests", "Builds", "Repositories", "Webhooks"):
            self.browser.press(name)
            self.look(f"without-javascript-{name.lower().replace(' ', '-')}")
        self.browser.press("Deliveries")
        self.browser.labelled("Search").send_keys("README", Keys.ENTER)
        self.browser.await_text("pullrequest:created")
        self.look("without-javascript")
        self.browser.press("pullrequest:created")
        self.browser.await_text("Configuration read")
        self.look("without-javascript-delivery")

    def before(self) -> None:
        self.open("/")
        self.browser.await_text("All is well")


class InTrouble(DashboardTestCase):
    """What goes wrong is seen, with what to do."""

    settings: ClassVar[dict[str, Any]] = {"retryFor": 0}

    async def test_what_was_given_up_on_is_sent_again_by_a_button(self) -> None:
        refusing = Fault(Answer(503), path="/startbuild")
        self.container_manager.faults.add(refusing)
        pull_request = self.repository.open_pull_request(HOSTILE, "feature/<b>bold</b>", {"a": b"1"})
        await self.until(lambda: self.states(pull_request).get("ProboCI/env") == "FAILED")
        await self.settled()
        await deferToThread(self.given_up)
        self.container_manager.faults.remove(refusing)
        await deferToThread(self.send_again)
        await self.until(lambda: self.states(pull_request).get("ProboCI/Shell/Fine") == "SUCCESSFUL")
        await deferToThread(self.browser.await_text, "All is well")

    def given_up(self) -> None:
        self.open("/")
        self.browser.await_text("Given up")
        self.browser.await_text("the Container Manager answered 503")
        self.browser.await_text(HOSTILE)
        assert "taken" not in self.browser.run("return document.title")
        self.look("9-given-up")
        self.browser.find("td.main > a").click()
        self.browser.await_text("feature/<b>bold</b>")
        self.look("9-given-up-pull-request")

    def send_again(self) -> None:
        self.open("/")
        self.browser.find("#main form button").click()
        self.browser.await_text("It is sent again.")

    async def test_what_stands_in_the_way_is_named(self) -> None:
        self.cloud.credentials.revoke_refresh_tokens()
        self.cloud.credentials.revoke_access_tokens()
        self.repository.open_pull_request("Wait", "waiting", {"a": b"1"})
        await deferToThread(self.in_the_way)

    def in_the_way(self) -> None:
        self.open("/")
        self.browser.await_text("Something is in the way")
        self.browser.await_text("in the way")
        self.look("9-in-the-way")
        self.open("/builds/no-such-build")
        self.browser.await_text("There is no build no-such-build, or not any more.")
        self.look("9-not-there")
        self.open("/nowhere")
        self.browser.await_text("/nowhere does not exist.")
        self.look("9-nowhere")


class FromElsewhere(DashboardTestCase):
    settings: ClassVar[dict[str, Any]] = {"internalAccess": "192.0.2.0/24"}

    async def test_who_may_not_come_in_is_told_what_to_set(self) -> None:
        await deferToThread(self.refused)

    def refused(self) -> None:
        self.open("/deliveries")
        self.browser.await_text("internalAccess")
        self.look("15-not-from-here")


class ByKeyboard(DashboardTestCase):
    async def test_what_changes_leaves_alone_what_a_person_is_at(self) -> None:
        await self.built(self.repository.open_pull_request("First", "first", {"a": b"1"}))
        await deferToThread(self.begin)
        await self.built(self.repository.open_pull_request("Second", "second", {"b": b"1"}))
        await deferToThread(self.go_on)

    def begin(self) -> None:
        self.open("/pull-requests")
        self.browser.await_text("Live")
        self.browser.type(Keys.TAB)
        assert self.browser.focus() == "Skip to the content"
        self.browser.type(Keys.ENTER)
        self.browser.type(Keys.TAB)
        assert self.browser.focus() == "q"
        self.browser.type("half a wo")
        self.browser.type(Keys.TAB * 3)
        assert self.browser.focus() == "First"

    def go_on(self) -> None:
        self.browser.await_text("Second")
        assert self.browser.focus() == "First"
        assert self.browser.labelled("Search").get_attribute("value") == "half a wo"
        self.browser.type(Keys.ENTER)
        self.browser.await_text("Open on Bitbucket")
        self.browser.await_text("acme/site#1")


class WithMuch(DashboardTestCase):
    async def test_long_lists_go_on_on_further_pages(self) -> None:
        for number in range(60):
            await self.deliver("repo:fork", {"repository": {"full_name": f"acme/site-{number:02}"}})
        await deferToThread(self.leaf)

    def leaf(self) -> None:
        self.open("/deliveries")
        self.browser.await_text("acme/site-59")
        assert "acme/site-09" not in self.browser.text
        self.browser.press("Show more")
        self.browser.await_text("acme/site-09")
        self.look("10-much")
        self.browser.press("Back to the first")
        self.browser.await_text("acme/site-59")
        self.open("/repositories")
        self.browser.await_text("acme/site-00")
        self.browser.press("Show more")
        self.browser.await_text("acme/site-59")
        self.browser.labelled("Search").send_keys("42", Keys.ENTER)
        self.browser.await_text("acme/site-42")
        assert "acme/site-59" not in self.browser.text


class WithWebhooks(DashboardTestCase):
    """A webhook is made, tried and removed by buttons."""

    async def prepare(self) -> None:
        self.patch(trial, "PAUSE", 0.02)

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.cloud.hooks.clear()
        self.stage._given["publicUrl"] = self.stage.url
        await self.stage.stop_handler()
        self.stage.start_handler()

    async def test_a_webhook_is_made_tried_and_removed(self) -> None:
        await deferToThread(self.by_hand)

    def by_hand(self) -> None:
        self.open("/hooks")
        self.browser.await_text("No webhook is looked after yet.")
        self.look("11-no-webhook")
        self.browser.labelled("Add a webhook").send_keys("acme/site", Keys.ENTER)
        self.browser.await_text("made")
        self.browser.press("Test acme/site")
        self.browser.await_text("works, ")
        self.look("12-webhook-tried")
        self.open("/repositories")
        self.browser.await_text("Webhook")
        self.look("13-repositories-with-webhooks")
        self.open("/hooks")
        self.browser.press("Look again")
        self.browser.await_text("as it should be")
        self.look("14-webhooks")
        self.browser.press("Remove acme/site")
        self.browser.await_text("Remove acme/site: removed")
        assert not self.cloud.hooks.get("acme/site")
