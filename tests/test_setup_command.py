"""`probo-bitbucket setup`, run as a process, with what a person types."""

from __future__ import annotations

import os
import pty
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from twisted.internet.threads import deferToThread

from probo_bitbucket.assembly import periodic
from probo_bitbucket.sandbox.stage import KEY, SECRET
from tests.canaries import canary
from tests.canary_watch import watch
from tests.staged import StageTestCase


class Terminal(StageTestCase):
    settings: ClassVar[dict[str, Any]] = {"bbRefreshToken": canary("spent-long-ago")}

    def hear_of(self, *options: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """How it ends with what is *given* in place of a person."""
        return subprocess.run(
            self.command(*options), input=given, capture_output=True, text=True, check=False, start_new_session=True
        )

    def command(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "probo_bitbucket", "setup", "-c", str(self.folder / "settings.yaml"), *options]

    def talk(self, *options: str, mistyped: str = "", wrong_secret: str = "") -> str:
        """All that is said on the terminal while a person answers, who may get an answer wrong first."""
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            self.command(*options), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        ) as process:
            os.close(theirs)
            said = self.choose(ours)
            said += self.hear(ours, "Key: ")
            os.write(ours, f"{KEY}\n".encode())
            if wrong_secret:
                said += self.consent(ours, wrong_secret)
                said += self.hear(ours, f"Key [{KEY}]: ")
                os.write(ours, b"\n")
            said += self.consent(ours, SECRET, mistyped)
            said += self.hear(ours, None)
            process.wait()
        os.close(ours)
        watch.typed(said)
        return said

    def consent(self, terminal: int, secret: str, mistyped: str = "") -> str:
        """Enter the secret, go to Bitbucket, and enter the address where it leads."""
        said = self.hear(terminal, "Secret (is not shown")
        os.write(terminal, f"{secret}\n".encode())
        said += self.hear(terminal, "Address: ")
        address = next(word for word in said.split() if "/site/oauth2/authorize" in word)
        if mistyped:
            os.write(terminal, f"{mistyped}\n".encode())
            said += self.hear(terminal, "Address: ")
        state = parse_qs(urlsplit(address).query)["state"][0]
        code = self.cloud.credentials.issue_code(self.cloud.credentials.consumers[KEY])
        os.write(terminal, f"http://localhost/setup/callback?code={code}&state={state}\n".encode())
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


class Setup(Terminal):
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

    async def test_an_address_of_another_set_up_is_refused_and_asked_for_again(self) -> None:
        said = await deferToThread(self.talk, mistyped="http://localhost/setup/callback?code=1&state=made-up")
        assert "does not come from the one above" in said
        assert f"bbClientKey: '{KEY}'" in said

    async def test_what_cannot_be_read_as_an_address_is_asked_for_again(self) -> None:
        said = await deferToThread(self.talk, mistyped="http://[localhost/setup")
        assert "does not come from the one above" in said
        assert f"bbClientKey: '{KEY}'" in said

    async def test_a_secret_that_bitbucket_does_not_take_is_asked_for_again(self) -> None:
        said = await deferToThread(self.talk, wrong_secret=canary("of-another-consumer"))
        assert "Bitbucket does not accept this key with this secret." in said
        assert f"bbClientKey: '{KEY}'" in said

    async def test_answers_that_end_too_early_end_it(self) -> None:
        given = f"{KEY}\n{SECRET}\nhttp://localhost/?code=1&state=2\n"
        ended = await deferToThread(self.hear_of, "--account", "default", given=given)
        assert ended.returncode == 1
        assert "does not come from the one above" in ended.stderr
        assert "Nothing was set up." in ended.stderr
        assert "Warning" not in ended.stderr
        assert SECRET not in ended.stdout + ended.stderr

    async def test_an_account_that_the_settings_do_not_name_is_refused(self) -> None:
        said = await deferToThread(self.hear_of, "--account", "acme")
        assert "The settings have no account acme. There is: default" in said.stderr


class WithoutStore(Terminal):
    """The settings name a database that cannot be used."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.directory = self.folder / "elsewhere"
        (self.folder / "elsewhere.yaml").write_text(f"database: sqlite:///{self.directory}/store.db\n")

    def command(self, *options: str) -> list[str]:
        return super().command("-c", str(self.folder / "elsewhere.yaml"), *options)

    def block(self) -> None:
        """Put something where the directory of the database should be."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.touch()

    def consent(self, terminal: int, secret: str, mistyped: str = "") -> str:
        self.block()
        return super().consent(terminal, secret, mistyped)

    async def test_what_has_no_directory_is_told_before_anything_is_asked(self) -> None:
        self.block()
        ended = await deferToThread(self.hear_of, "--store")
        told = f"Nothing can be stored: {self.directory} cannot be made: File exists\n"
        assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", told)

    async def test_a_database_of_a_later_version_is_told_before_anything_is_asked(self) -> None:
        self.directory.mkdir()
        with closing(sqlite3.connect(self.directory / "store.db")) as database:
            database.executescript("CREATE TABLE alembic_version (version_num); INSERT INTO alembic_version VALUES (9)")
        ended = await deferToThread(self.hear_of, "--store")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith("Nothing can be stored: ")
        assert "was made by a later version of probo-bitbucket" in ended.stderr

    async def test_what_cannot_be_stored_in_the_end_is_printed(self) -> None:
        said = await deferToThread(self.talk, "--store")
        assert f"bbClientKey: '{KEY}'" in said
        assert "bbRefreshToken: '" in said
        assert "could not be stored: " in said
        assert "Stored." not in said
        assert "Traceback" not in said
        assert SECRET not in said


class BetweenTwoRounds(Terminal):
    """The daemon has no credentials, looks for what was set up when it starts, and not again for an hour."""

    settings: ClassVar[dict[str, Any]] = {"bbClientKey": "", "bbClientSecret": "", "bbRefreshToken": ""}

    async def prepare(self) -> None:
        self.patch(periodic, "SETUP_INTERVAL", 3600.0)

    async def test_what_is_stored_is_taken_up_by_the_daemon_that_runs(self) -> None:
        await deferToThread(self.talk, "--store")
        answered = await self.call("POST", "/api/hooks/add", {"places": ["acme/site"]})
        [report] = answered.json["hooks"]
        assert report["grade"] == "ok", report


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
        assert "The settings have no account initech. There is: globex, acme, default" in said.stderr
