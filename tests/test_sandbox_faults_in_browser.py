"""What docs/sandbox.md lists: a fault made with the simulators' buttons is named by the daemon, and can be undone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

from attrs import frozen
from twisted.internet.threads import deferToThread

from probo_bitbucket.flow.oversight import trial
from probo_bitbucket.sandbox.stage import KEY
from tests.canaries import canary
from tests.dashboard_browser import DashboardTestCase
from tests.test_cli import CommandTestCase

DOCUMENT = Path(__file__).parent.parent / "docs" / "sandbox.md"
WEBHOOKS = "/acme/site/admin/webhooks"
CONSUMERS = "/acme/workspace/settings/oauth-consumers"


@frozen
class Row:
    """What is said of a fault by `check`, by `hooks test`, and on the dashboard; each in the words quoted there."""

    check: list[str]
    hooks_test: list[str]
    dashboard: list[str]


def row(fault: str) -> Row:
    [line] = [line for line in DOCUMENT.read_text().splitlines() if line.startswith(f"| {fault} |")]
    cells = line.split("|")[3:6]
    quoted = [re.findall("“([^”]+)”", cell) for cell in cells]
    assert all(quoted), line
    return Row(*quoted)


class Faults(DashboardTestCase, CommandTestCase):
    settings: ClassVar[dict[str, Any]] = {}

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.patch(trial, "PATIENCE", 5.0)
        self.patch(trial, "PAUSE", 0.02)
        self.cloud.hooks.clear()
        assert "made" in await self.command("hooks", "add", "acme/site")

    def at(self, path: str, *pressed: str) -> None:
        """Open a page of the simulated Bitbucket, and press what leads on from there, one after the other."""
        self.browser.open(f"{self.cloud.url}{path}")
        for name in pressed:
            self.browser.press(name)

    async def named(self, fault: str, path: str = "/hooks") -> None:
        """The daemon names *fault* as the document says; *path* is that of the dashboard's page."""
        said = row(fault)
        for words in said.hooks_test:
            self.assertIn(words, await self.command("hooks", "test", "acme/site", status=None))
        for words in said.check:
            self.assertIn(words, await self.command("check", status=None))
        for words in said.dashboard:
            await deferToThread(self.shown, path, words)

    def shown(self, path: str, words: str) -> None:
        self.open(path)
        if path == "/hooks":
            self.browser.press("Test acme/site")
        self.browser.await_text(words)

    async def mended(self) -> None:
        said = await self.command("check")
        self.assertEqual([line for line in said.splitlines() if not line.startswith("ok ")], [])
        self.assertIn("works, ", await self.command("hooks", "test", "acme/site"))

    async def test_wrong_secret(self) -> None:
        await deferToThread(self.change_webhook, "Secret", canary("mistyped"))
        await self.named("Wrong secret")
        await self.repaired()

    async def test_wrong_url(self) -> None:
        await deferToThread(self.change_webhook, "URL", "https://old.example/bitbucket-webhook")
        await self.named("Wrong URL")
        await self.repaired()

    async def test_inactive(self) -> None:
        await deferToThread(self.tick, "Active")
        await self.named("Webhook inactive")
        await deferToThread(self.tick, "Active")
        await self.mended()

    async def test_events_missing(self) -> None:
        await deferToThread(self.tick, "Pull request: Created", "Repository: Build status created")
        await self.named("Events missing")
        await deferToThread(self.tick, "Pull request: Created", "Repository: Build status created")
        await self.mended()

    async def repaired(self) -> None:
        await self.command("hooks", "repair", "acme/site")
        await self.mended()

    def change_webhook(self, label: str, value: str) -> None:
        self.at(WEBHOOKS, "Edit")
        field = self.browser.labelled(label)
        field.clear()
        field.send_keys(value)
        self.browser.submit("Save")

    def tick(self, *labels: str) -> None:
        self.at(WEBHOOKS, "Edit")
        for label in labels:
            self.browser.labelled(label).click()
        self.browser.submit("Save")

    async def test_dead_credentials(self) -> None:
        for deed in ("Revoke its access", "Delete"):
            await deferToThread(self.do_to_consumer, deed)
            await self.named("Dead credentials", "/")
            await deferToThread(self.set_up_again)
            await self.mended()

    def do_to_consumer(self, deed: str) -> None:
        self.at(CONSUMERS, "Probo")
        self.browser.submit(deed)

    def set_up_again(self) -> None:
        """With the consumer that is there; without one, with a new one."""
        self.open("/")
        self.browser.press("Set credentials up")
        callback_url = self.browser.find("#callback").text
        self.at(CONSUMERS)
        if KEY not in self.browser.source:
            self.browser.press("Add consumer")
            self.browser.labelled("Name").send_keys("Probo")
            self.browser.labelled("Callback URL").send_keys(callback_url)
            for permission in ("Pull requests: Read", "Webhooks: Read and write"):
                self.browser.labelled(permission).click()
            self.browser.submit("Save")
        self.browser.press("Probo")
        key, secret = self.browser.described("Key"), self.browser.described("Secret")
        self.open("/setup")
        self.browser.labelled("Key").send_keys(key)
        self.browser.labelled("Secret").send_keys(secret)
        self.browser.press("Continue to Bitbucket")
        self.browser.await_text("asks for")
        self.browser.press("Grant access")
        self.browser.await_text("Bitbucket agreed")
        self.browser.press("Store them and start to work")
        self.browser.await_text("The credentials are in use")

    async def test_scope_missing(self) -> None:
        for fault, permissions in (
            ("Scope missing: Pull requests", ("Pull requests: Read",)),
            ("Scope missing: Webhooks", ("Webhooks: Read and write",)),
        ):
            await deferToThread(self.change_permissions, *permissions)
            await self.named(fault)
            await deferToThread(self.change_permissions, *permissions)
            await self.mended()

    def change_permissions(self, *labels: str) -> None:
        self.at(CONSUMERS, "Probo", "Edit")
        for label in labels:
            self.browser.labelled(label).click()
        self.browser.submit("Save")

    async def test_container_manager_down(self) -> None:
        await deferToThread(self.press_there, "Take it down")
        await self.named("Container Manager down")
        await deferToThread(self.press_there, "Bring it up")
        await self.mended()

    def press_there(self, name: str) -> None:
        self.browser.open(self.container_manager.url)
        self.browser.look(f"sandbox-container-manager-{name.partition(' ')[0].lower()}")
        self.browser.submit(name)
