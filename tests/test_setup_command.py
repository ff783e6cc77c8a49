"""`probo-bitbucket setup`, run as a process, with what a person types."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from twisted.internet.threads import deferToThread

from probo_bitbucket.sandbox.stage import KEY, SECRET
from tests.canaries import canary
from tests.canary_watch import watch
from tests.staged import StageTestCase


class Setup(StageTestCase):
    settings: ClassVar[dict[str, Any]] = {"bbRefreshToken": canary("spent-long-ago")}

    async def test_what_is_stored_is_taken_up_by_the_daemon_that_runs(self) -> None:
        waiting = self.repository.open_pull_request("Wait", "waiting", {"a": b"1"})
        said = await deferToThread(self.talk, "--store")
        assert "Stored." in said
        assert SECRET not in said
        await self.until(lambda: self.states(waiting).get("ProboCI/Shell/Fine") == "SUCCESSFUL")

    async def test_the_lines_for_the_settings_are_printed(self) -> None:
        said = await deferToThread(self.talk)
        assert f"bbClientKey: '{KEY}'" in said
        assert "bbRefreshToken: '" in said
        assert SECRET not in said

    async def test_an_address_of_another_set_up_is_refused(self) -> None:
        said = await deferToThread(self.talk, state="made-up")
        assert "does not come from the one above" in said

    async def test_an_account_that_the_settings_do_not_name_is_refused(self) -> None:
        said = await deferToThread(self.hear_of, "--account", "acme")
        assert "The settings have no account acme. There is: default" in said

    def hear_of(self, *options: str) -> str:
        command = [sys.executable, "-m", "probo_bitbucket", "setup", "-c", str(self.folder / "settings.yaml"), *options]
        return subprocess.run(command, capture_output=True, text=True, check=False).stderr

    def talk(self, *options: str, state: str = "") -> str:
        """All that is said on the terminal while a person answers."""
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "probo_bitbucket", "setup", "-c", str(self.folder / "settings.yaml"), *options]
        with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
            os.close(theirs)
            said = self.choose(ours)
            said += self.hear(ours, "Key: ")
            os.write(ours, f"{KEY}\n".encode())
            said += self.hear(ours, "Secret (is not shown): ")
            os.write(ours, f"{SECRET}\n".encode())
            asked = self.hear(ours, "Address: ")
            address = next(word for word in asked.split() if "/site/oauth2/authorize" in word)
            state = state or parse_qs(urlsplit(address).query)["state"][0]
            code = self.cloud.credentials.issue_code(self.cloud.credentials.consumers[KEY])
            os.write(ours, f"http://localhost/setup/callback?code={code}&state={state}\n".encode())
            said += asked + self.hear(ours, None)
            process.wait()
        os.close(ours)
        watch.typed(said)
        return said

    def choose(self, terminal: int) -> str:
        """Answer what is asked before key and secret."""
        return ""

    def hear(self, terminal: int, until: str | None) -> str:
        """What is said up to the question *until*, or to the end."""
        heard = ""
        while until is None or until not in heard:
            try:
                heard += os.read(terminal, 4096).decode()
            except OSError:  # the other side has ended
                break
        return heard


class OfSeveralAccounts(Setup):
    """The settings name two accounts, and have nothing at the top level."""

    settings: ClassVar[dict[str, Any]] = {
        "bbClientKey": "",
        "bbClientSecret": "",
        "bbRefreshToken": "",
        "accounts": [{"name": "globex", "repositories": "globex/*"}, {"name": "acme", "repositories": "acme/*"}],
    }

    def choose(self, terminal: int) -> str:
        said = self.hear(terminal, "Account (globex, acme, default): ")
        os.write(terminal, b"acme\n")
        return said

    async def test_what_is_stored_is_taken_up_by_the_daemon_that_runs(self) -> None:
        await super().test_what_is_stored_is_taken_up_by_the_daemon_that_runs()
        assert self.rows("SELECT name FROM consumers") == [("acme",)]

    async def test_the_lines_for_the_settings_are_printed(self) -> None:
        said = await deferToThread(self.talk)
        assert "in the entry of `accounts` that is named acme" in said

    async def test_an_account_that_the_settings_do_not_name_is_refused(self) -> None:
        said = await deferToThread(self.hear_of, "--account", "initech")
        assert "The settings have no account initech. There is: globex, acme, default" in said
