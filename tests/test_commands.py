"""Commands in comments: who may give them, what they do, and that each is carried out once."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import pytest
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from probo_bitbucket.flow.deliveries import commander, rules
from probo_bitbucket.model import Command
from probo_bitbucket.sandbox import stage
from probo_bitbucket.sandbox.commits import APP_USER, AUTHOR, Account
from probo_bitbucket.sandbox.faults import Answer, Cut, Fault, LoseAnswer
from probo_bitbucket.sandbox.pullrequest import PullRequest
from tests.staged import StageTestCase

STRANGER = Account("Sam Strange", "sam")


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("probo rebuild", Command.REBUILD),
        ("Please look:\r\n\r\n  Probo  Stop. \r\nThanks", Command.STOP),
        ("probo build\nprobo stop", Command.BUILD),
        ("probo build 0123456789ab", Command.BUILD),
        ("probo build 012345", None),
        ("probo stop 0123456789ab", None),
        ("why does probo rebuild not work?", None),
        ("> probo rebuild", None),
        ("    probo stop", None),
        ("\tprobo stop", None),
        ("Say:\n```\nprobo stop\n```\n", None),
        ("Say:\n```\nprobo stop", None),
        ("```\nprobo stop\n```\nprobo rebuild", Command.REBUILD),
        ("probo\u00a0stop\u00a0", Command.STOP),
        ("probo rebuild now", None),
        ("", None),
    ],
)
def test_a_command_stands_alone_on_a_line(text: str, command: Command | None) -> None:
    assert rules.command_in(text) is command


@pytest.mark.parametrize(
    ("text", "commit"),
    [
        ("probo build 0123456", "0123456"),
        ("Fine.\r\n\r\nProbo build 0123456789AB.\r\nprobo build fedcba9", "0123456789ab"),
        ("probo build", ""),
        ("probo stop\nprobo build 0123456", ""),
    ],
)
def test_the_commit_that_a_command_names_goes_with_it(text: str, commit: str) -> None:
    assert rules.commit_in(text) == commit


class CommandsOnStage(StageTestCase):
    settings: ClassVar[dict[str, Any]] = {"commands": True}
    scopes: ClassVar[tuple[str, ...]] = (*stage.SCOPES, "account")

    async def prepare(self) -> None:
        self.grant(*self.scopes)

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.cloud.hooks.clear()
        self.stage.watch("acme/site", "pullrequest:comment_created")
        self.pull_request = self.repository.open_pull_request()
        await self.built(self.pull_request)

    async def say(self, text: str, author: Account = AUTHOR) -> list[str]:
        """Comment on the pull request; return what it was answered, once all is done."""
        before = set(self.pull_request.comments)
        count = len(self.decisions())
        self.pull_request.comment(text, author)
        await self.decided(count + 1)
        await self.until(lambda: not self.rows("SELECT 1 FROM commands WHERE pending"))
        await self.settled()
        return [each.text for each in self.answers(self.pull_request) if each.number not in before]

    def environments(self) -> list[str]:
        return [id for id, build in self.container_manager.builds.items() if not build.get("reaped")]

    def answers(self, pull_request: PullRequest) -> list[Any]:
        return [each for each in pull_request.comments.values() if each.author is APP_USER]

    def permissions_asked(self) -> int:
        return len(self.asked("/permissions/"))


class Commands(CommandsOnStage):
    async def test_rebuild_builds_the_commit_once_more(self) -> None:
        assert await self.say("probo rebuild") == []
        documents = self.started()
        assert len(documents) == 2
        assert documents[0]["build"]["id"] != documents[1]["build"]["id"]
        assert documents[1]["build"]["commit"]["ref"] == self.pull_request.commit
        assert self.environments() == [documents[1]["build"]["id"]]  # which took the place of the first

    async def test_what_is_to_be_started_is_not_made_twice(self) -> None:
        fault = self.container_manager.faults.add(Fault(Answer(503), "/startbuild"))
        self.pull_request.comment("probo rebuild")
        self.pull_request.comment("probo rebuild")
        await self.until(lambda: self.rows("SELECT 1 FROM commands WHERE answer LIKE '%still to be started%'"))
        self.container_manager.faults.remove(fault)
        assert self.rows("SELECT count(*) FROM builds") == [(2,)]

    async def test_a_rebuild_that_the_rules_forbid_leaves_all_as_it_was(self) -> None:
        self.quietly(lambda: self.pull_request.edit(title="[skip ci] for now"))
        [answer] = await self.say("probo rebuild")
        assert answer.startswith("Not built: the title says [skip ci]")
        self.pull_request.edit(title="Go on")
        await self.decided(3)
        await self.settled()
        assert len(self.started()) == 1  # its build is known still

    async def test_stop_takes_the_environment_down(self) -> None:
        assert await self.say("probo stop") == []
        assert self.environments() == []
        [answer] = await self.say("probo stop")
        assert answer.startswith("Not stopped: there is nothing to take down")

    async def test_the_story_of_its_delivery_goes_on_with_what_it_asked_for(self) -> None:
        lines: list[LogEvent] = []
        observer = cast(ILogObserver, lines.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        await self.say("probo rebuild")
        told = (await self.call("GET", "/api/deliveries/2")).json
        assert told["delivery"]["event_key"] == "pullrequest:comment_created"
        made = told["build"]["build"]
        assert made["outcome"] == "succeeded"
        assert [build["id"] for build in told["ended"]] == [self.started()[0]["build"]["id"]]
        mine = {line["event"] for line in lines if line.get("delivery") == 2}
        assert mine >= {"delivery.accepted", "command.decided", "build.started", "status.reported"}
        await self.say("probo stop")
        told = (await self.call("GET", "/api/deliveries/3")).json
        assert [build["id"] for build in told["ended"]] == [made["id"]]

    async def test_its_delivery_tells_of_the_build_also_after_it_was_sent_again(self) -> None:
        await self.say("probo rebuild")
        made = (await self.call("GET", "/api/deliveries/2")).json["delivery"]["build"]
        await self.call("POST", "/api/deliveries/2/send-again", b"")
        assert (await self.decided(2))[-1][1:] == ("accepted", "probo rebuild")
        told = (await self.call("GET", "/api/deliveries/2")).json
        assert told["delivery"]["build"] == made
        assert told["happenings"][-1]["words"] == "Nothing new: the command is known already"

    async def test_who_cannot_write_is_told_so_and_nothing_is_done(self) -> None:
        self.patch(commander, "REFUSED", 0.0)
        for reader in (False, True):
            self.repository.permissions |= {STRANGER: "read"} if reader else {}
            [answer] = await self.say("probo rebuild", STRANGER)
            assert answer.startswith("Only people who can write to this repository")
        assert len(self.started()) == 1

    async def test_the_right_to_write_is_remembered_for_a_while(self) -> None:
        await self.say("probo rebuild")
        await self.say("probo rebuild")
        assert len(self.started()) == 3
        assert self.permissions_asked() == 1

    async def test_other_comments_cost_nothing(self) -> None:
        assert await self.say("Shall probo rebuild this?") == []
        assert self.permissions_asked() == 0

    async def test_the_same_comment_again_has_no_effect(self) -> None:
        await self.say("probo rebuild")
        comment = max(self.pull_request.comments.values(), key=lambda each: each.number)
        body = {**self.pull_request_body(self.pull_request), "comment": self.cloud.documents.comment(comment)}
        await self.deliver("pullrequest:comment_created", body)
        decisions = await self.decided(3)
        await self.settled()
        assert decisions[-1][1:] == ("ignored", "the command is known already")
        assert len(self.started()) == 2

    async def test_an_answer_is_given_once_whatever_happens_to_it(self) -> None:
        for effect in (Cut(), LoseAnswer()):
            self.cloud.faults.add(Fault(effect, ".*/comments", method="POST", times=1))
        assert len(await self.say("probo rebuild", STRANGER)) == 1

    async def test_a_flood_is_not_answered(self) -> None:
        for _ in range(rules.COMMANDS_LIMIT):
            await self.say("probo rebuild", STRANGER)
        assert await self.say("probo rebuild", STRANGER) == []
        assert self.permissions_asked() == 1, "a stranger is known as one for a while"
        assert "too many" in self.decisions()[-1][2]

    async def test_a_trouble_of_bitbucket_only_delays_it(self) -> None:
        self.cloud.faults.add(Fault(Answer(503), ".*/permissions/.*", times=2))
        assert await self.say("probo rebuild") == []
        assert len(self.started()) == 2


class WithoutTeardown(CommandsOnStage):
    settings: ClassVar[dict[str, Any]] = {"commands": True, "teardown": False}

    async def test_stop_takes_down_what_stays_by_itself(self) -> None:
        assert await self.say("probo stop") == []
        assert self.environments() == []


class WithoutThePermission(CommandsOnStage):
    """The credentials may not ask who can write: nobody can give commands, and everybody is told why."""

    scopes = stage.SCOPES

    async def test_the_answer_says_what_is_missing(self) -> None:
        [answer] = await self.say("probo rebuild")
        assert "It needs account" in answer
        assert len(self.started()) == 1


class Approval(StageTestCase):
    settings: ClassVar[dict[str, Any]] = {"commands": True, "forks": "approve"}

    async def prepare(self) -> None:
        self.grant(*stage.SCOPES, "account")

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.cloud.hooks.clear()
        self.stage.watch("acme/site", "pullrequest:comment_created")
        fork = self.cloud.fork(self.repository, "stranger/site")
        self.pull_request = self.repository.open_pull_request(source=fork)
        await self.decided(1)
        await self.settled()

    def line(self) -> str:
        """What allows the newest commit."""
        return f"probo build {self.pull_request.commit[:12]}"

    async def answered(self) -> str:
        """What the last comment was answered."""
        await self.until(lambda: self.rows("SELECT 1 FROM commands WHERE answer != '' AND NOT pending"))
        return max(self.pull_request.comments.values(), key=lambda each: each.number).text

    async def test_a_commit_of_a_fork_is_built_when_somebody_who_can_write_allows_it(self) -> None:
        (status,) = self.pull_request.shown()
        assert status.state == "STOPPED"
        assert f"`{self.line()}`" in status.description
        self.pull_request.comment(self.line(), STRANGER)
        await self.decided(2)
        assert self.started() == []
        self.pull_request.comment(self.line(), AUTHOR)
        assert set((await self.built(self.pull_request)).values()) == {"SUCCESSFUL"}
        self.pull_request.push({"other": b""})
        await self.decided(4)
        await self.settled()
        assert len(self.started()) == 1  # another commit needs another approval

    async def test_a_rebuild_of_what_an_operator_had_built_needs_the_approval_too(self) -> None:
        order = {"repository": "acme/site", "pull_request": self.pull_request.number}
        assert (await self.call("POST", "/api/builds", order)).status == 202
        await self.built(self.pull_request)
        self.pull_request.comment("probo rebuild", AUTHOR)
        assert f"`{self.line()}`" in await self.answered()
        await self.settled()
        assert len(self.started()) == 1
        assert set(self.states(self.pull_request).values()) == {"SUCCESSFUL"}

    async def test_the_first_word_of_a_pull_request_can_be_its_approval(self) -> None:
        fork = self.cloud.repositories["stranger/site"]
        self.pull_request = self.unannounced(source=fork, title="Lost", branch="lost", files={"l": b"l"})
        self.pull_request.comment(self.line(), AUTHOR)
        assert set((await self.built(self.pull_request)).values()) == {"SUCCESSFUL"}

    async def test_who_does_not_name_the_commit_is_told_the_line_that_does(self) -> None:
        self.pull_request.comment("probo build", AUTHOR)
        assert f"`{self.line()}`" in await self.answered()
        assert self.started() == []

    async def test_a_commit_that_was_pushed_after_the_member_looked_is_not_built(self) -> None:
        seen = self.line()
        self.pull_request.push({"evil": b""})
        self.pull_request.comment(seen, AUTHOR)
        assert f"`{self.line()}`" in await self.answered()
        await self.settled()
        assert self.started() == []


class Unsigned(CommandsOnStage):
    """The settings have no secret."""

    settings: ClassVar[dict[str, Any]] = {"commands": True, "bbWebhookSecret": None}

    async def test_a_command_is_ignored_until_the_webhook_has_a_secret(self) -> None:
        await self.say("Nice!")
        await self.say("probo rebuild")
        comment, command = self.decisions()[-2:]
        assert comment[1:] == ("ignored", "the comment is no command")
        assert command[1] == "ignored"
        assert command[2].startswith("the command is not signed, and anybody can send one: ")
        self.cloud.hooks.clear()
        await self.call("POST", "/api/hooks/add", {"places": ["acme/site"]})
        await self.say("probo rebuild")
        assert self.decisions()[-1][1:] == ("accepted", "probo rebuild")
        assert len(self.started()) == 2


class Off(StageTestCase):
    async def test_commands_are_off_unless_the_settings_want_them(self) -> None:
        self.cloud.hooks.clear()
        self.stage.watch("acme/site", "pullrequest:comment_created")
        pull_request = self.repository.open_pull_request()
        await self.built(pull_request)
        pull_request.comment("probo rebuild")
        assert (await self.decided(2))[-1][1:] == ("ignored", "commands in comments are off")
