"""The commands that ask the daemon, run as processes, as people and scripts run them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from typing import Any, ClassVar
from unittest import mock

import pytest
import yaml
from rich.console import Console
from twisted.internet.threads import deferToThread

from probo_bitbucket.cli import screen
from probo_bitbucket.sandbox.faults import Answer, Fault
from tests.canaries import canary
from tests.staged import StageTestCase


class CommandTestCase(StageTestCase):
    ended = 0  # the status that the last command ended with

    async def command(self, *words: str, status: int | None = 0, given: bytes | None = None) -> str:
        """What a command says, first on standard output, then on standard error; it must end with *status*, if any."""
        command = [sys.executable, "-m", "probo_bitbucket", *words, "-c", str(self.folder / "settings.yaml")]
        done = await deferToThread(subprocess.run, command, input=given, capture_output=True, check=False, timeout=60)
        said = (done.stdout + done.stderr).decode()
        self.ended = done.returncode
        self.assertIn(status, (None, self.ended), said)
        return str(said)

    async def document(self, *words: str, status: int | None = 0) -> Any:
        return json.loads(await self.command(*words, "--json", status=status))


class Unsigned(CommandTestCase):
    settings: ClassVar[dict[str, Any]] = {"bbWebhookSecret": None}

    async def test_status_calls_a_warning_by_its_name(self) -> None:
        self.assertRegex(await self.command("status"), r"(?m)^warning +signatures +no webhook has a secret")


class Asking(CommandTestCase):
    async def test_status_tells_how_everything_is(self) -> None:
        said = await self.command("status")
        self.assertRegex(said, r"(?m)^ok +store")
        self.assertRegex(said, r"(?m)^deliveries +0")
        self.assertEqual((await self.document("status"))["ok"], True)

    async def test_status_ends_with_1_while_something_stands_in_the_way(self) -> None:
        self.cloud.credentials.revoke_refresh_tokens()
        self.cloud.credentials.revoke_access_tokens()
        self.repository.open_pull_request("Wait", "waiting", {"a": b"1"})
        await self.until(lambda: self.rows("SELECT 1 FROM chains WHERE dead <> ''"))
        self.assertRegex(await self.command("status", status=1), r"(?m)^wrong +credentials default")

    async def test_the_story_of_a_delivery_goes_to_the_last_status_of_its_build(self) -> None:
        await self.built(self.repository.open_pull_request("A title", "a-branch", {"a": b"1"}))
        said = await self.command("deliveries")
        [row] = [line for line in said.splitlines() if "pullrequest:created" in line]
        self.assertIn("acme/site#1", row)
        story = await self.command("deliveries", "show", row.split()[0])
        for words in ("X-Hook-UUID", "A title", "ProboCI/env", "SUCCESSFUL"):
            self.assertIn(words, story)
        self.assertIn("\n\nBuild ", story)
        for name in ("Decided", "Configuration read", "Started"):
            self.assertRegex(story, rf"(?m)^{name} +[-0-9]{{10}} [:0-9]{{8}} after [.0-9]+ m?s$")
        (told,) = (await self.document("builds"))["items"]
        [environment] = [each["url"] for each in told["statuses"] if each["context"] == "ProboCI/env"]
        self.assertRegex(story, rf"(?m)^Environment +{re.escape(environment)}$")
        self.assertNotIn("Ended by", story)
        [build] = (await self.document("builds"))["items"]
        self.assertIn("ProboCI/Shell/Hello", await self.command("builds", "show", build["id"]))

    async def test_a_failed_build_is_found_and_its_delivery_replayed(self) -> None:
        fault = self.container_manager.faults.add(Fault(Answer(400), path="/startbuild"))
        self.repository.open_pull_request("A title", "a-branch", {"a": b"1"})
        await self.until(lambda: self.rows("SELECT 1 FROM builds WHERE state = 'failed'"))
        self.assertIn("acme/site#1", await self.command("builds", "--failed"))
        self.container_manager.faults.remove(fault)
        self.assertEqual(await self.command("deliveries", "replay", "1"), "1: is decided anew\n")

    async def test_of_a_delivery_that_tells_of_no_repository_there_is_nothing_to_decide(self) -> None:
        await self.deliver("diagnostics:ping", {"data": "x"})
        said = await self.command("deliveries", "replay", "1", status=1)
        self.assertIn("the delivery tells of no repository", said)

    async def test_a_build_is_named_by_the_beginning_of_its_id_or_by_its_commit(self) -> None:
        pull_request = self.repository.open_pull_request("A title", "a-branch", {"a": b"1"})
        await self.built(pull_request)
        [build] = (await self.document("builds"))["items"]
        self.assertRegex(await self.command("builds"), f"(?m)^{build['id']} .* {pull_request.commit} ")
        for name in (build["id"][:6], pull_request.commit[:7]):
            self.assertEqual((await self.document("builds", "show", name))["build"]["id"], build["id"])
        self.assertIn("there is no build", await self.command("builds", "show", build["id"][:5], status=1))
        said = await self.command("builds", "take-down", build["id"][:8])
        self.assertEqual(said, f"{build['id']}: is taken down\n")
        await self.settled()
        self.assertEqual((await self.document("builds"))["items"][0]["outcome"], "removed")
        for command in (["builds"], ["deliveries"], ["pull-requests"], ["builds", "show", build["id"]]):
            self.assertIn(" taken down", await self.command(*command))

    async def test_pull_requests_and_repositories_are_listed(self) -> None:
        await self.built(self.repository.open_pull_request("A title", "a-branch", {"a": b"1"}))
        self.assertRegex(await self.command("pull-requests"), r"(?m)^acme/site#1 +open .* succeeded .* A title")
        self.assertRegex(await self.command("pull-requests", "show", "acme/site#1"), r"(?m)^Branch +a-branch")
        self.assertIn("must be a whole number", await self.command("pull-requests", "show", "acme/site", status=1))
        self.assertRegex(await self.command("repositories"), r"(?m)^acme/site .* succeeded +unknown yet")

    async def test_what_is_not_there_is_said_in_words(self) -> None:
        self.assertEqual(
            await self.command("deliveries", "show", "4711", status=1),
            "Error: there is no delivery 4711, or not any more\n",
        )

    async def test_settings_can_stand_before_the_words_that_need_them(self) -> None:
        command = [sys.executable, "-m", "probo_bitbucket", "deliveries", "-c", str(self.folder / "settings.yaml")]
        done = await deferToThread(subprocess.run, [*command, "show", "4711"], capture_output=True, check=False)
        self.assertIn(b"there is no delivery 4711", done.stderr)

    async def test_titles_cannot_act_on_the_terminal(self) -> None:
        self.repository.open_pull_request("Red \x1b[31m alert", "a-branch", {"a": b"1"})
        await self.until(self.started)
        said = await self.command("builds")
        self.assertIn("Red \\x1b[31m alert", said)
        self.assertNotIn("\x1b", said)


class Webhooks(CommandTestCase):
    async def test_a_webhook_is_made_tested_listed_and_removed(self) -> None:
        self.cloud.hooks.clear()
        self.assertRegex(await self.command("hooks", "add", "acme/site"), r"(?m)^acme/site +ok +made")
        self.assertRegex(await self.command("hooks", "test", "acme/site"), r"(?m)^acme/site +ok +works, \d\.\d s")
        said = await self.command("hooks", "list")
        self.assertRegex(said, rf"(?m)^acme/site +ok +20\d\d-.* {self.stage.url}/bitbucket-webhook +as it should be")
        self.assertNotIn("The URL should be", said)
        self.assertRegex(await self.command("hooks", "remove", "acme/site"), r"(?m)^acme/site +ok +removed")
        remedy = f"probo-bitbucket hooks add -c {self.folder / 'settings.yaml'} acme/site"
        said = await self.command("hooks", "list", "acme/site", status=1)
        self.assertIn(remedy, said)
        self.assertIn(f"The URL should be {self.stage.url}/bitbucket-webhook", said)

    async def test_a_hook_that_does_not_work_ends_the_command_with_1(self) -> None:
        [hook] = self.cloud.hooks["acme/site"]
        hook.active = False
        [verdict] = await self.document("hooks", "test", "acme/site", status=1)
        self.assertIn("inactive", verdict["what"])
        self.assertRegex(
            await self.command("hooks", "repair", "acme/site"),
            "ok +mended what was wrong: it is inactive; events are missing",
        )
        self.assertTrue(hook.active)

    async def test_a_name_that_is_none_is_refused_in_words(self) -> None:
        said = await self.command("hooks", "add", "acme/si te", status=1)
        self.assertIn("'si te' is not a workspace or repository slug", said)


class Finding(CommandTestCase):
    """How the daemon is found, and let in."""

    async def test_where_no_daemon_runs_that_is_said(self) -> None:
        await self.stage.stop_handler()
        said = await self.command("status", status=1)
        self.assertRegex(said, r"^Error: No daemon answers: 127.0.0.1 port \d+ \(Connection refused\)\. Start it")


class BehindASocket(CommandTestCase):
    async def prepare(self) -> None:
        self.sockets = tempfile.TemporaryDirectory()
        self.stage._given["internalListen"] = f"unix:{self.sockets.name}/internal.sock"

    async def tearDown(self) -> None:  # type: ignore[override]
        await super().tearDown()
        self.sockets.cleanup()

    async def test_a_unix_socket_is_found(self) -> None:
        self.assertIn("ok", await self.command("status"))


class WithAToken(CommandTestCase):
    settings: ClassVar[dict[str, Any]] = {
        "internalAccess": ["10.0.0.0/8"],
        "internalToken": canary("a-token-of-many-letters"),
    }

    async def test_the_token_lets_commands_in(self) -> None:
        self.assertIn("ok", await self.command("status"))


class SecretsOfSystemd(CommandTestCase):
    """systemd gives them to the daemon, and to no command."""

    def take_secrets_away(self, *names: str) -> None:
        path = self.folder / "settings.yaml"
        given = yaml.safe_load(path.read_text())
        for name in names:
            given.pop(name, None)
            given[f"{name}File"] = f"%d/secret_{name}"
        path.write_text(json.dumps(given))

    async def test_commands_that_ask_the_daemon_do_without(self) -> None:
        self.take_secrets_away("bbClientSecret", "bbRefreshToken", "internalToken")
        self.assertIn("ok", await self.command("status"))
        said = {each["subject"]: each for each in await self.document("check", status=None)}
        self.assertEqual((said["settings"]["grade"], said["daemon"]["grade"]), ("ok", "ok"))
        self.assertEqual(said["signatures"]["grade"], "ok")

    async def test_check_does_not_say_that_the_daemon_cannot_start(self) -> None:
        self.take_secrets_away("bbClientSecret")
        await self.stage.stop_handler()
        settings, daemon = await self.document("check", status=1)
        self.assertEqual((settings["grade"], daemon["grade"]), ("warning", "wrong"))
        self.assertIn("start the daemon", settings["advice"])
        self.assertIn("No daemon answers", daemon["what"])

    async def test_what_else_is_wrong_is_said(self) -> None:
        self.take_secrets_away("bbClientSecret", "prot")
        self.assertEqual(
            {each["advice"] for each in await self.document("check", status=1)}, {"the daemon does not start"}
        )
        self.assertIn("protFile: unknown key", await self.command("status", status=1))


class ClosedDoor(CommandTestCase):
    settings: ClassVar[dict[str, Any]] = {"internalAccess": ["10.0.0.0/8"]}

    async def test_a_closed_door_is_said_with_what_opens_it(self) -> None:
        said = await self.command("status", status=1)
        self.assertIn("does not let this machine in: name it in internalAccess, or give both internalToken", said)


class Receiving(CommandTestCase):
    async def test_a_pull_request_would_be_built_and_nothing_is_changed(self) -> None:
        body = self.pull_request_body(self.unannounced(title="New look", files={"a": b"1"}))
        before = (self.rows("SELECT count(*) FROM deliveries"), self.rows("SELECT count(*) FROM builds"))
        said = await self.received("pullrequest:created", body)
        self.assertRegex(
            said, r"^accepted: a build of [0-9a-f]{12}\nwould build acme/site feature/change [0-9a-f]{12}: New look\n$"
        )
        after = (self.rows("SELECT count(*) FROM deliveries"), self.rows("SELECT count(*) FROM builds"))
        self.assertEqual(before, after)

    async def test_a_commit_that_is_built_already_is_known(self) -> None:
        pull_request = self.repository.open_pull_request(files={"a": b"1"})
        await self.built(pull_request)
        said = await self.received("pullrequest:updated", self.pull_request_body(pull_request))
        self.assertRegex(said, "^ignored: commit .* is known already")

    async def test_what_cannot_be_understood_would_be_refused(self) -> None:
        said = await self.received("pullrequest:created", {}, status=1)
        self.assertEqual(said, "Error: It would be refused: `repository` is missing\n")

    async def test_it_works_before_the_daemon_ever_ran(self) -> None:
        body = self.pull_request_body(self.unannounced(files={"a": b"1"}))
        await self.stage.stop_handler()
        for path in self.folder.glob("probo-bitbucket.db*"):
            path.unlink()
        self.assertIn("would build acme/site", await self.received("pullrequest:created", body))
        self.assertEqual(list(self.folder.glob("*.db")), [])

    async def received(self, event: str, body: Any, status: int = 0) -> str:
        return await self.command("receive", "-", "--event", event, status=status, given=json.dumps(body).encode())


class WithoutDatabase(CommandTestCase):
    async def test_that_there_is_none_is_said_and_none_is_made(self) -> None:
        await self.stage.stop_handler()
        for path in self.folder.glob("probo-bitbucket.db*"):
            path.unlink()
        for words in (["failed"], ["send-again", "1"]):
            self.assertIn("There is no database yet", await self.command(*words, status=1))
        self.assertEqual(list(self.folder.glob("*.db")), [])


@pytest.mark.parametrize("title", ["ID", "NAME"])
def test_an_id_is_in_one_line_on_a_narrow_terminal(title: str, capsys: pytest.CaptureFixture[str]) -> None:
    with mock.patch.object(screen, "_console", lambda: Console(width=80, highlight=False)):
        screen.print_table(("KIND", title, "WHY"), [("build", "i" * 36, "many words " * 20)], "")
    assert "i" * 36 in capsys.readouterr().out


def test_a_shell_is_told_the_commands() -> None:
    environment = {
        **os.environ,
        "_PROBO_BITBUCKET_COMPLETE": "bash_complete",
        "COMP_WORDS": "probo-bitbucket ho",
        "COMP_CWORD": "1",
    }
    code = "from probo_bitbucket.cli import main; main(prog_name='probo-bitbucket')"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "plain,hooks\n"


def test_check_without_settings_asks_for_them() -> None:
    """A daemon may run with settings of its own: that none starts would be no answer."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROBO_BITBUCKET_")}
    command = [sys.executable, "-m", "probo_bitbucket", "check"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "give the daemon's settings with -c" in done.stdout
    assert "does not start" not in done.stdout


def test_rows_have_no_blanks_at_their_end(capsys: pytest.CaptureFixture[str]) -> None:
    screen.print_table(("KIND", "WHY"), [("build", "many words"), ("status", None)], "")
    assert capsys.readouterr().out == "KIND    WHY\nbuild   many words\nstatus\n"
