"""The set-up page as a person uses it: in a real browser, from nothing to a first build."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet.threads import deferToThread

from probo_bitbucket.sandbox.faults import Answer, Fault
from probo_bitbucket.sandbox.stage import KEY, SECRET
from tests.browser import Browser
from tests.canaries import canary
from tests.staged import StageTestCase

NOTHING = {"bbClientKey": "", "bbClientSecret": "", "bbRefreshToken": ""}


class InBrowser(StageTestCase):
    """A handler without credentials, and a consumer that sends the browser back to it."""

    timeout = 120
    settings: ClassVar[dict[str, Any]] = NOTHING
    javascript = True
    dark = False

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.cloud.add_consumer(KEY, SECRET, f"{self.stage.url}/setup/callback")
        try:
            self.browser = await deferToThread(Browser, javascript=self.javascript, dark=self.dark)
        except BaseException:
            await self.stage.close()  # trial does not call tearDown
            raise

    async def tearDown(self) -> None:  # type: ignore[override]
        await deferToThread(self.browser.close)
        await super().tearDown()

    def enter(self, key: str = KEY, secret: str = SECRET) -> None:
        """Fill in the first page, and go on to Bitbucket."""
        self.browser.open(f"{self.stage.url}/setup")
        self.browser.labelled("Key").send_keys(key)
        self.browser.labelled("Secret").send_keys(secret)
        self.browser.press("Continue to Bitbucket")

    def consent(self, decision: str) -> None:
        self.browser.await_text("asks for")
        self.browser.press(decision)


class FromNothing(InBrowser):
    async def test_what_waits_is_built_once_somebody_set_up(self) -> None:
        pull_request = self.repository.open_pull_request("Change the README", "feature/readme", {"README.md": b"hi\n"})
        await deferToThread(self.by_hand)
        await self.until(lambda: self.states(pull_request).get("ProboCI/Shell/Fine") == "SUCCESSFUL")
        await deferToThread(self.look_at, f"{self.cloud.url}/acme/site/pull-requests/{pull_request.number}")

    def by_hand(self) -> None:
        browser = self.browser
        browser.open(f"{self.stage.url}/setup")
        assert f"{self.stage.url}/setup/callback" in browser.text
        browser.look("setup-1-consumer")
        self.enter()
        browser.await_text("asks for")
        browser.picture("setup-2-consent")
        browser.press("Grant access")
        browser.await_text("Bitbucket agreed")
        assert SECRET not in browser.source
        assert "bbClientSecret: '<the secret you entered>'" in browser.text
        browser.look("setup-3-credentials")
        browser.press("Store them and start to work")
        browser.await_text("The credentials are in use")
        browser.look("setup-4-webhook")

    def look_at(self, url: str) -> None:
        self.browser.open(url)
        self.browser.await_text("SUCCESSFUL")
        self.browser.picture("setup-5-built")


class OfSeveralAccounts(FromNothing):
    """The settings name the accounts, and have nothing at the top level."""

    settings: ClassVar[dict[str, Any]] = {
        **NOTHING,
        "accounts": [
            {"name": "globex", "repositories": ["globex/*", "globex-labs/*"]},
            {"name": "acme", "repositories": "acme/*"},
        ],
    }

    def by_hand(self) -> None:
        browser = self.browser
        browser.open(f"{self.stage.url}/setup")
        browser.choose("Account", "acme: acme/*")
        browser.look("setup-account")
        browser.labelled("Key").send_keys(KEY)
        browser.labelled("Secret").send_keys(SECRET)
        browser.press("Continue to Bitbucket")
        self.consent("Grant access")
        browser.await_text("this daemon keeps the credentials of the account acme")
        browser.look("setup-account-credentials")
        browser.press("Store them and start to work")
        browser.await_text("for the account acme")

    def look_at(self, url: str) -> None:
        assert self.rows("SELECT name FROM chain_holders") == [("acme",)]


class WithoutJavaScript(FromNothing):
    javascript = False
    dark = True

    def by_hand(self) -> None:
        self.browser.open(f"{self.stage.url}/setup")
        self.browser.look("setup-without-javascript-consumer")
        self.enter()
        self.consent("Grant access")
        self.browser.await_text("Bitbucket agreed")
        assert not self.browser.find("button[data-copies]").is_displayed()
        self.browser.look("setup-without-javascript")
        self.browser.press("Store them and start to work")
        self.browser.await_text("The credentials are in use")
        self.browser.look("setup-without-javascript-webhook")

    def look_at(self, url: str) -> None:
        pass


class Troubles(InBrowser):
    async def test_who_denies_is_told_what_to_do(self) -> None:
        await deferToThread(self.deny)

    def deny(self) -> None:
        self.enter()
        self.consent("Deny")
        self.browser.await_text("Access was denied on Bitbucket's page.")
        self.browser.look("setup-denied")
        self.browser.press("Begin again")
        self.browser.await_text("Add a consumer in Bitbucket")

    async def test_while_bitbucket_does_not_show_its_page_ours_stays(self) -> None:
        self.cloud.faults.add(Fault(Answer(204), path=".*/authorize"))
        await deferToThread(self.stay)

    def stay(self) -> None:
        self.enter()
        self.browser.await_text("You have ten minutes.")
        self.browser.look("setup-leaving")

    async def test_a_wrong_secret_is_told(self) -> None:
        await deferToThread(self.mistype)

    def mistype(self) -> None:
        self.enter(secret=canary("a-secret-of-another-consumer"))
        self.consent("Grant access")
        self.browser.await_text("does not accept this key with this secret")
        assert canary("a-secret-of-another-consumer") not in self.browser.source
        self.browser.look("setup-wrong-secret")

    async def test_a_wrong_callback_url_is_told_on_the_page_that_the_browser_is_to_come_back_to(self) -> None:
        self.cloud.add_consumer(KEY, SECRET, f"{self.stage.url}/return")
        await deferToThread(self.end_elsewhere)

    def end_elsewhere(self) -> None:
        self.enter()
        self.consent("Grant access")
        self.browser.await_text("That did not work")
        self.browser.open(f"{self.stage.url}/setup")
        self.browser.await_text("your browser ends on another page, the one in the consumer differs from the one above")

    async def test_a_secret_that_is_cut_off_is_told_before_bitbucket_is_asked(self) -> None:
        await deferToThread(self.cut_off)

    def cut_off(self) -> None:
        self.enter(secret="c4n4ry")
        self.browser.await_text("Enter the secret of the consumer, all of it.")
        assert self.browser.labelled("Key").get_attribute("value") == KEY
        assert self.browser.labelled("Secret").get_attribute("value") == ""
        self.browser.look("setup-incomplete")

    async def test_copy_buttons_copy_the_callback_url(self) -> None:
        await deferToThread(self.copy)

    def copy(self) -> None:
        self.browser.open(f"{self.stage.url}/setup")
        self.browser.press("Copy")
        self.browser.await_text("Copied")
