"""The table of docs/events.md, row by row: each with an event that fits it, and the decision that stands there."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar

from attrs import frozen
from twisted.internet import reactor

from probo_bitbucket.flow.deliveries import rules
from probo_bitbucket.model import Repository
from probo_bitbucket.sandbox import stage
from probo_bitbucket.sandbox.commits import APP_USER, AUTHOR, Account, Commit
from probo_bitbucket.sandbox.coordinator import Coordinator
from probo_bitbucket.sandbox.faults import Answer, Fault
from probo_bitbucket.sandbox.pullrequest import PullRequest, PullRequestState
from probo_bitbucket.sandbox.repository import Change
from probo_bitbucket.store import Engine, pull_requests
from tests.canaries import canary
from tests.staged import PENDING, StageTestCase

DOCUMENT = Path(__file__).parents[1] / "docs" / "events.md"
OPEN = "`pullrequest:created`, `:updated`, `:push`"
COMMENT = "`pullrequest:comment_created`"
SKIPS = "`[skip ci]`, `[ci skip]` or `[skip probo]`"
DECISION = re.compile(r"\| (?P<event>[^|]+?) \| (?P<condition>[^|]*?) ?\| \*\*(?P<decision>\w+)\*\* \|")

# Bitbucket tells of the answers to commands, too.
LAST = """
    SELECT id, state, reason FROM deliveries WHERE CAST(body AS TEXT) NOT LIKE '%(probo-bitbucket answers %'
    ORDER BY id DESC LIMIT 1
"""


@frozen
class Row:
    event: str
    condition: str


def rows() -> dict[Row, str]:
    """The decision of each row."""
    found = [DECISION.fullmatch(line) for line in DOCUMENT.read_text().splitlines()]
    return {Row(match["event"], match["condition"]): match["decision"] for match in found if match}


TABLE = rows()
TESTED: list[Row] = []

Arrange = Callable[[Any], Awaitable[None]]


def row(event: str, condition: str) -> Callable[[Arrange], Arrange]:
    """The test brings about the event on the condition; the last delivery must be decided as the table says."""
    wanted = Row(event, condition)
    TESTED.append(wanted)

    def decorate(arrange: Arrange) -> Arrange:
        async def test(case: Any) -> None:
            await arrange(case)
            await case.check(TABLE[wanted])

        test.__name__ = arrange.__name__
        return test

    return decorate


def test_every_row_has_a_test() -> None:
    assert len(TABLE) > 25
    assert set(TESTED) == set(TABLE)


class Events(StageTestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.cloud.hooks.clear()
        self.stage.watch("acme/site", "repo:push", "pullrequest:comment_created", "pullrequest:approved")
        self.fork = self.cloud.fork(self.repository, "robin/site")

    async def check(self, decision: str) -> None:
        """The last delivery, and what it led to, is *decision*."""
        await self.settled()
        id, state, reason = self.rows(LAST)[0]
        led_to = self.led_to(id)
        stopped = "STOPPED" in self.shown()
        expected: dict[str, tuple[Any, ...]] = {
            "build": ("accepted", bool(led_to) and not {"skipped", "cancelled"} & set(led_to), False, False),
            "skip": ("accepted", led_to in (["skipped"], ["cancelled"]), False, False),
            "end": ("accepted", led_to == [], False, False),
            "refuse": ("refused", led_to == [], True, False),
            "answer": ("accepted", led_to == [], stopped, True),  # the status is whatever it was
            "ignore": ("ignored", led_to == [] and bool(reason), False, False),
        }
        answered = self.answered()
        assert (state, True, stopped, bool(answered)) == expected[decision], (state, reason, led_to, stopped, answered)
        self.check_container_manager()

    def led_to(self, delivery: int) -> list[str]:
        """The states of the builds that the last *delivery* made, itself or by the command that it told of."""
        query = """
            SELECT builds.state FROM builds JOIN deliveries ON deliveries.id = {id}
            WHERE builds.origin = 'delivery {id}' OR builds.origin LIKE 'delivery {id},%'
               OR (builds.origin LIKE 'comment %' AND builds.created_at >= deliveries.received_at)
        """
        return [state for (state,) in self.rows(query.format(id=delivery))]

    def answered(self) -> list[str]:
        """What was written after the last comment of a person."""
        found = [each for known in self.repository.pull_requests.values() for each in known.comments.values()]
        newest_first = sorted(found, key=lambda each: each.number, reverse=True)
        return [each.text for each in takewhile(lambda each: each.author is APP_USER, newest_first)]

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Let no webhook tell of what is done."""
        hooks, self.cloud.hooks = self.cloud.hooks, {}
        yield
        self.cloud.hooks = hooks

    def standing(self) -> list[Any]:
        """The builds whose environments are there."""
        return [build for build in self.container_manager.builds.values() if not build.get("reaped")]

    def shown(self) -> list[str]:
        """The states of the newest pull request's head."""
        found = [each for each in self.repository.pull_requests.values() if each.open and each.head]
        return list(self.states(found[-1]).values()) if found else []

    async def from_fork(self) -> PullRequest:
        pull_request = self.repository.open_pull_request("From afar", "patch", {"a": b"a"}, source=self.fork)
        await self.settled()
        return pull_request

    async def tell(self, pull_request: PullRequest, what: str = "updated", **changed: Any) -> None:
        """Have *pull_request* told of, with parts of it *changed*."""
        body = self.pull_request_body(pull_request)
        body["pullrequest"] |= changed
        assert (await self.deliver(f"pullrequest:{what}", body)).status == 200

    async def push(self, branch: str = "main", message: str = "Change files") -> Commit:
        commit = self.repository.push(branch, {"f": branch.encode()}, message)
        await self.settled()
        return commit


class OnPullRequests(Events):
    @row("any", "the repository is not among `repositories`")
    async def test_a_repository_of_somebody_else(self) -> None:
        self.stage._given["repositories"] = "globex"
        await self.stage.stop_handler()
        self.stage.start_handler()
        pull_request = self.repository.open_pull_request()
        await self.settled()
        self.repository.push("main", {"f": b"f"}, "[build]")
        pull_request.comment("probo rebuild")
        await self.settled()
        pull_request.decline()
        await self.settled()
        told = {event for event, state, _ in self.decisions() if state == "ignored"}
        assert {"pullrequest:created", "repo:push", "pullrequest:comment_created", "pullrequest:rejected"} <= told
        assert {state for _, state, _ in self.decisions()} == {"ignored"}

    @row(OPEN, "the source repository, branch or commit is deleted")
    async def test_without_a_source(self) -> None:
        pull_request = self.unannounced()
        whole = self.pull_request_body(pull_request)["pullrequest"]["source"]
        for gone in ("repository", "branch", "commit"):
            await self.tell(pull_request, source={**whole, gone: None})
        await self.settled()
        assert [state for _, state, _ in self.decisions()] == ["ignored"] * 3
        assert all("deleted" in reason for _, _, reason in self.decisions())

    @row(OPEN, "its state is none that is known")
    async def test_a_state_that_is_not_known(self) -> None:
        await self.tell(self.unannounced(), state="QUEUED")

    @row(OPEN, "the pull request is merged, declined or superseded")
    async def test_an_update_of_a_merged_one(self) -> None:
        for state in ("MERGED", "DECLINED", "SUPERSEDED"):
            pull_request = self.repository.open_pull_request(state, f"to-be-{state}", {"a": state.encode()})
            await self.settled()
            await self.tell(pull_request, state=state)
            await self.settled()
            assert self.standing() == []
        assert [state for (state,) in self.rows("SELECT state FROM pull_requests ORDER BY number")] == [
            "MERGED",
            "DECLINED",
            "SUPERSEDED",
        ]

    @row(OPEN, "the pull request was closed before, and nothing newer happened to it")
    async def test_an_update_that_comes_late(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.settled()
        late = self.pull_request_body(pull_request)
        pull_request.decline()
        await self.settled()
        await self.deliver("pullrequest:updated", late)

    @row(OPEN, "a later event was told of before")
    async def test_an_older_commit_that_comes_late(self) -> None:
        pull_request = self.unannounced()
        late = self.pull_request_body(pull_request)
        pull_request.push()
        await self.settled()
        await self.deliver("pullrequest:updated", late)
        await self.settled()
        assert len(self.started()) == 1

    @row(OPEN, f"the title says {SKIPS}")
    async def test_a_title_that_wants_no_build(self) -> None:
        for number, title in enumerate(("Fix [skip ci]", "[CI Skip] Fix", "a [skip probo]"), 1):
            self.repository.open_pull_request(title, f"skip-{number}", {"a": title.encode()})
            await self.settled()
        assert {state for event, state, _ in self.decisions() if event != "repo:push"} == {"ignored"}

    @row(OPEN, "its commit has a build, and it had no other since")
    async def test_a_new_title(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.settled()
        pull_request.edit(title="Another title")

    @row(OPEN, f"the message of its commit says {SKIPS}")
    async def test_a_message_that_wants_no_build(self) -> None:
        for message in ("Fix a typo\n\n[skip ci]", "[CI SKIP]", "a [skip probo]"):
            pull_request = self.unannounced(branch=message[-5:-1])
            with self.silence():
                pull_request.push(message=message)
            await self.tell(pull_request)
            await self.settled()
            assert self.states(pull_request) == {}
        assert self.started() == []
        assert len(self.asked("/commit/")) == 3, "one request each"

    @row(OPEN, "its commit has no build")
    async def test_a_new_one(self) -> None:
        for what in ("created", "updated", "push"):
            await self.tell(self.unannounced(branch=what), what)
            await self.settled()
        assert len(self.started()) == 3

    @row(OPEN, "it is back at a commit that another one has replaced")
    async def test_back_at_the_first_commit(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.settled()
        first = self.repository.commit(pull_request.commit)
        self.cloud.faults.add(Fault(Answer(404), ".*/get/.*", times=1))  # the other one never gets ready
        pull_request.push()
        await self.settled()
        with self.silence():
            self.repository.point(pull_request.branch, first)
        pull_request.tell("updated")
        await self.settled()
        (standing,) = self.standing()
        assert standing["commit"]["ref"] == first.hash

    @row(OPEN, "it was closed before, and is open again since")
    async def test_open_again(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.settled()
        pull_request.decline()
        await self.settled()
        pull_request.state = PullRequestState.OPEN
        pull_request.tell("updated")
        await self.settled()
        assert len(self.standing()) == 1

    @row("`pullrequest:fulfilled`", "the pull request is known to be closed")
    async def test_merged_twice(self) -> None:
        pull_request = self.repository.open_pull_request()
        pull_request.decline()
        await self.settled()
        pull_request.tell("fulfilled")

    @row("`pullrequest:fulfilled`", "the pull request is known to be open, or not known")
    async def test_merged(self) -> None:
        await self.tell(self.unannounced(), "fulfilled", state="MERGED")
        await self.settled()
        pull_request = self.repository.open_pull_request("Another", "another", {"b": b"b"})
        await self.settled()
        await self.tell(pull_request, "fulfilled")
        await self.settled()
        assert self.standing() == []

    @row("`pullrequest:rejected`", "the pull request is known to be closed")
    async def test_declined_twice(self) -> None:
        pull_request = self.repository.open_pull_request()
        pull_request.decline()
        await self.settled()
        pull_request.tell("rejected")

    @row("`pullrequest:rejected`", "the pull request is known to be open, or not known")
    async def test_declined(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.settled()
        pull_request.decline()
        await self.settled()
        assert self.standing() == []

    async def test_open_again_while_the_old_environment_is_still_to_go(self) -> None:
        """The Container Manager is away for a while, or the environment is pinned."""
        pull_request = self.repository.open_pull_request()
        await self.settled()
        away = self.container_manager.faults.add(Fault(Answer(503), "/builds.*", method="DELETE"))
        pull_request.decline()
        await self.until(lambda: self.rows("SELECT 1 FROM removals"))
        pull_request.state = PullRequestState.OPEN
        pull_request.tell("updated")
        await self.cloud.settled()
        await self.until(lambda: len(self.started()) == 2)
        self.container_manager.faults.remove(away)
        await self.settled()
        assert [build["id"] for build in self.standing()] == [self.started()[1]["build"]["id"]]
        assert set(self.states(pull_request).values()) == {"SUCCESSFUL"}

    @row("`pullrequest:rejected`", "a later event told of it as open")
    async def test_a_close_that_comes_after_the_reopening(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.settled()
        self.quietly(pull_request.decline)
        late = self.pull_request_body(pull_request)
        pull_request.state = PullRequestState.OPEN
        pull_request.updated_on += 1
        pull_request.tell("updated")
        await self.settled()
        await self.deliver("pullrequest:rejected", late)
        await self.settled()
        assert len(self.standing()) == 1

    async def test_an_event_without_a_time_is_news_and_one_from_before_is_not(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.settled()
        before = self.pull_request_body(pull_request)
        pull_request.updated_on += 1
        pull_request.tell("updated")
        await self.settled()
        self.quietly(pull_request.push)
        timeless = self.pull_request_body(pull_request)
        timeless["pullrequest"]["updated_on"] = None
        await self.deliver("pullrequest:updated", timeless)
        await self.settled()
        assert len(self.started()) == 2
        await self.deliver("pullrequest:updated", before)
        await self.settled()
        assert len(self.started()) == 2

    async def test_a_commit_that_wants_no_build_cancels_that_of_the_one_before(self) -> None:
        away = self.cloud.faults.add(Fault(Answer(503), ".*/src/.*"))
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: self.asked("/src/"))
        pull_request.title = "[skip ci] for now"
        pull_request.push()
        await self.cloud.settled()
        await self.until(lambda: self.rows("SELECT 1 FROM builds WHERE state = 'cancelled'"))
        self.cloud.faults.remove(away)
        await self.settled()
        assert self.started() == []

    async def test_a_build_that_could_not_be_sent_is_not_sent_once_there_is_a_newer_one(self) -> None:
        away = self.container_manager.faults.add(Fault(Answer(503), "/startbuild"))
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: len(self.posted("/startbuild")) > 1)
        pull_request.push()
        await self.until(lambda: len(self.rows("SELECT 1 FROM builds")) == 2)
        self.container_manager.faults.remove(away)
        await self.built(pull_request)
        (build,) = self.container_manager.builds.values()
        assert build["commit"]["ref"] == pull_request.commit

    @row(OPEN, "its commit has a build that was stopped by hand")
    async def test_an_edit_of_what_was_stopped(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.settled()
        (id,) = self.container_manager.builds
        assert (await self.call("POST", f"/api/builds/{id}/take-down", b"")).status == 202
        await self.settled()
        pull_request.edit(title="Another title")
        await self.settled()
        assert self.standing() == []

    async def look(self) -> None:
        """Have it looked for what no webhook told, and wait until that is decided."""
        count = len(self.decisions())
        await self.stage.stop_handler()
        self.stage.start_handler()
        await self.until(lambda: len(self.decisions()) > count)
        await self.settled()

    @row("`reconciliation`", "it found one whose commit has no build")
    async def test_a_pull_request_and_a_commit_that_no_webhook_told_of(self) -> None:
        self.repository.open_pull_request()
        await self.settled()
        missed = self.unannounced(branch="missed")
        await self.look()
        assert len(self.started()) == 2
        self.quietly(missed.push)
        await self.look()
        assert self.started()[-1]["build"]["commit"]["ref"] == missed.commit

    @row("`reconciliation`", "it found a pull request that the rows above ignore or refuse")
    async def test_a_pull_request_that_wants_no_build_and_no_webhook_told_of(self) -> None:
        self.repository.open_pull_request()
        await self.settled()
        self.unannounced(title="[skip ci]", branch="skipped")
        await self.look()
        assert len(self.started()) == 1

    @row("`reconciliation`", "it found one that is closed")
    async def test_a_pull_request_that_was_closed_unseen(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.settled()
        self.quietly(pull_request.decline)
        await self.look()
        assert self.standing() == []

    @row(COMMENT, "commands in comments are off")
    async def test_a_comment(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.settled()
        pull_request.comment("probo rebuild")

    @row("any other", "")
    async def test_an_approval(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.settled()
        pull_request.tell("approved")


class Comments(Events):
    async def prepare(self) -> None:
        self.grant(*stage.SCOPES, "account")

    async def say(self, text: str, pull_request: PullRequest, author: Account = AUTHOR) -> None:
        """Have somebody comment, and wait until the command is carried out or answered."""
        count = len(self.decisions())
        pull_request.comment(text, author)
        await self.until(lambda: len(self.decisions()) > count and not self.rows(PENDING))
        await self.until(lambda: not self.rows("SELECT 1 FROM commands WHERE pending"))
        await self.settled()


class OnComments(Comments):
    settings: ClassVar[dict[str, Any]] = {"commands": True}

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.pull_request = self.repository.open_pull_request()
        await self.settled()

    @row(COMMENT, "`commands: true`, and the comment is no command")
    async def test_talk(self) -> None:
        await self.say("Shall probo stop?", self.pull_request)

    @row(COMMENT, "`commands: true`, and its author gave ten commands in the repository within an hour")
    async def test_a_flood(self) -> None:
        assert rules.COMMANDS_LIMIT == 10
        for _ in range(10):
            await self.say("probo stop", self.pull_request)
        assert self.rows("SELECT count(*) FROM commands") == [(10,)]
        await self.say("probo rebuild", self.pull_request)

    @row(COMMENT, "`commands: true`, and the comment was told of before")
    async def test_a_comment_that_comes_twice(self) -> None:
        await self.say("probo rebuild", self.pull_request)
        (comment,) = self.pull_request.comments.values()
        body = self.pull_request_body(self.pull_request) | {"comment": self.cloud.documents.comment(comment)}
        await self.deliver("pullrequest:comment_created", body)
        await self.settled()
        assert len(self.started()) == 2

    @row(COMMENT, "`commands: true`, and its author may not write to the repository")
    async def test_a_command_of_a_stranger(self) -> None:
        await self.say("probo stop", self.pull_request, Account("Sam Strange", "sam"))
        assert "Only people who can write" in self.answered()[0]
        assert len(self.standing()) == 1

    @row(COMMENT, "`commands: true`, and it cannot be found out whether its author may write to the repository")
    async def test_a_command_where_bitbucket_does_not_tell_who_may_give_it(self) -> None:
        self.cloud.faults.add(Fault(Answer(403), ".*/permissions/.*"))
        await self.say("probo stop", self.pull_request)
        assert "could not find out who can write" in self.answered()[0]
        assert len(self.standing()) == 1

    @row(COMMENT, "`commands: true`, and the comment asks for a build, and the pull request is closed or has no branch")
    async def test_a_command_on_what_is_closed(self) -> None:
        self.pull_request.decline()
        await self.settled()
        for text in ("probo build", "probo rebuild"):
            await self.say(text, self.pull_request)
            assert "is not open" in self.answered()[0]
        assert self.standing() == []

    @row(COMMENT, "`commands: true`, and the comment says `probo rebuild`, and the build is still to be started")
    async def test_a_rebuild_of_what_waits(self) -> None:
        away = self.container_manager.faults.add(Fault(Answer(503), "/startbuild"))
        waiting = self.repository.open_pull_request("Wait", "waiting", {"w": b"w"})
        await self.until(lambda: len(self.posted("/startbuild")) > 1)
        waiting.comment("probo rebuild")
        await self.until(lambda: waiting.comments and self.answered())
        assert "still to be started" in self.answered()[0]
        self.container_manager.faults.remove(away)
        await self.settled()
        assert len(self.rows("SELECT id FROM builds")) == 2

    @row(COMMENT, "`commands: true`, and the comment says `probo stop`, and there is nothing to stop")
    async def test_a_second_stop(self) -> None:
        await self.say("probo stop", self.pull_request)
        await self.say("probo stop", self.pull_request)

    @row(COMMENT, "`commands: true`, and the comment says `probo stop`")
    async def test_a_stop(self) -> None:
        await self.say("probo stop", self.pull_request)
        assert self.standing() == []

    @row(
        COMMENT, "`commands: true`, and the comment asks for a build that the rows of the pull request ignore or refuse"
    )
    async def test_a_rebuild_of_what_wants_no_build(self) -> None:
        self.quietly(lambda: self.pull_request.edit(title="[skip ci] for now"))
        for text in ("probo build", "probo rebuild"):
            await self.say(text, self.pull_request)
            assert "the title says [skip ci]" in self.answered()[0]
        assert len(self.started()) == 1

    @row(COMMENT, "`commands: true`, and the comment asks for a commit whose message wants no build")
    async def test_a_command_for_what_its_author_wants_not_built(self) -> None:
        self.pull_request.push(message="Docs [skip ci]")
        await self.settled()
        assert len(self.started()) == 1
        await self.say("probo build", self.pull_request)
        await self.say("probo rebuild", self.pull_request)
        assert len(self.started()) == 3

    @row(COMMENT, "`commands: true`, and the comment says `probo rebuild`")
    async def test_a_rebuild(self) -> None:
        await self.say("probo rebuild", self.pull_request)
        first, second = self.started()
        assert first["build"]["commit"]["ref"] == second["build"]["commit"]["ref"] == self.pull_request.commit


class OnCommentsOnForks(Comments):
    settings: ClassVar[dict[str, Any]] = {"commands": True, "forks": "approve"}

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.pull_request = await self.from_fork()

    def line(self) -> str:
        """What allows the newest commit."""
        return f"probo build {self.pull_request.commit[:12]}"

    @row(COMMENT, "`commands: true`, and the comment says `probo build` with a commit that the pull request is not at")
    async def test_an_approval_of_an_older_commit(self) -> None:
        seen = self.line()
        self.pull_request.push()
        await self.settled()
        await self.say(seen, self.pull_request)
        assert f"`{self.line()}`" in self.answered()[0]

    @row(
        COMMENT,
        "`commands: true`, and the comment says `probo build` without twelve digits of the commit, and the pull "
        "request comes from a fork",
    )
    async def test_an_approval_that_names_no_commit(self) -> None:
        for text in ("probo build", self.line()[:-1]):  # seven digits are soon found by trying
            await self.say(text, self.pull_request)
            assert f"`{self.line()}`" in self.answered()[0]
        assert self.started() == []

    @row(
        COMMENT,
        "`commands: true`, and the comment says `probo build`, and with it the commit if that comes from a fork",
    )
    async def test_an_approval(self) -> None:
        await self.say(self.line(), self.pull_request)
        (document,) = self.started()
        assert document["build"]["commit"]["ref"] == self.pull_request.commit


class OnDrafts(Events):
    settings: ClassVar[dict[str, Any]] = {"drafts": False}

    @row(OPEN, "it is a draft, with `drafts: false`")
    async def test_a_draft(self) -> None:
        ready = self.repository.open_pull_request("Ready soon", "soon", {"s": b"s"}, draft=True)
        await self.settled()
        assert self.started() == []
        ready.edit(draft=False)
        await self.settled()
        assert len(self.started()) == 1
        self.repository.open_pull_request(draft=True)

    async def test_a_branch_whose_pull_request_is_a_draft_is_built_as_a_branch(self) -> None:
        draft = self.repository.open_pull_request(draft=True)
        await self.settled()
        draft.push(message="[build]")
        await self.until(self.started)
        await self.settled()
        assert [document["build"]["type"] for document in self.started()] == ["branch"]


class OnForks(Events):
    @row(OPEN, "it comes from a fork, with `forks: never`")
    async def test_a_fork(self) -> None:
        pull_request = await self.from_fork()
        (status,) = pull_request.shown()
        assert (status.key, status.url.rpartition("/")[2]) == ("ProboCI/env", "1")
        assert "`forks`" in status.description
        assert {each.path.split("/")[3] for each in self.asked("/statuses/", "POST")} == {"robin"}
        assert self.started() == []

    @row(OPEN, "it comes from a fork that may not be built by itself, and its commit has a build nevertheless")
    async def test_an_edit_of_a_fork_that_an_operator_had_built(self) -> None:
        pull_request = await self.from_fork()
        body = {"repository": "acme/site", "pull_request": pull_request.number}
        assert (await self.call("POST", "/api/builds", body)).status == 202
        await self.built(pull_request)
        pull_request.edit(title="Another title")
        await self.settled()
        assert set(self.states(pull_request).values()) == {"SUCCESSFUL"}


class OnForksToApprove(Events):
    settings: ClassVar[dict[str, Any]] = {"forks": "approve"}

    def approve(self, pull_request: PullRequest) -> None:
        home = Repository.parse("acme/site", self.repository.uuid)
        engine = Engine(f"sqlite:///{self.folder / 'probo-bitbucket.db'}")
        with engine.begin() as tx:
            assert pull_requests.approve(tx, home, pull_request.number, pull_request.commit)
        engine.close()

    @row(OPEN, "it comes from a fork, with `forks: approve`, and nobody has approved its commit")
    async def test_a_fork_that_nobody_approved(self) -> None:
        pull_request = await self.from_fork()
        self.approve(pull_request)
        pull_request.push()
        await self.settled()
        assert "probo build" in pull_request.shown()[0].description
        assert self.started() == []

    @row(OPEN, "it comes from a fork, with `forks: approve`, and a member has approved its commit")
    async def test_a_fork_that_was_approved(self) -> None:
        pull_request = await self.from_fork()
        self.approve(pull_request)
        pull_request.tell("updated")
        assert set((await self.built(pull_request)).values()) == {"SUCCESSFUL"}


class OnForksAlways(Events):
    settings: ClassVar[dict[str, Any]] = {"forks": "always"}

    @row(OPEN, "it comes from a fork, with `forks: always`")
    async def test_any_fork(self) -> None:
        await self.from_fork()


class OnPushes(Events):
    settings: ClassVar[dict[str, Any]] = {"branches": ["main", "release/*", "feature/*"]}

    @row("`repo:push`", "it has no changes, or only deletions and tags")
    async def test_deletions_and_tags(self) -> None:
        head = self.repository.commit(self.repository.branches["main"])
        self.repository.tell_push()
        self.repository.tag("v1 [build]", head)
        self.repository.tell_push(Change("old", head, None), Change("v2", None, head, kind="tag"))

    @row("`repo:push`", "it does not say to which repository")
    async def test_a_push_to_nowhere(self) -> None:
        assert (await self.deliver("repo:push", {"push": {"changes": []}, "repository": None})).status == 200

    @row("`repo:push`", f"the message of the branch's head says {SKIPS}")
    async def test_a_head_that_wants_no_build(self) -> None:
        await self.push(message="[build] [skip probo]")

    @row("`repo:push`", "the branch is not among `branches`")
    async def test_another_branch(self) -> None:
        await self.push("wip/one", "[build]")

    @row("`repo:push`", "`pushes: marker`, and no commit message of the push says `[build]`")
    async def test_without_a_marker(self) -> None:
        await self.push()

    @row("`repo:push`", "an open pull request has the branch built")
    async def test_the_branch_of_a_pull_request(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.settled()
        with self.silence():
            commit = pull_request.push(message="[build]")
        self.repository.tell_push(Change(pull_request.branch, None, commit))
        await self.settled()
        assert len(self.started()) == 1

    @row("`repo:push`", "the head of the branch has a build, and it had no other since")
    async def test_the_same_push_again(self) -> None:
        commit = await self.push("release/1", "[build]")
        self.repository.tell_push(Change("release/1", None, commit))

    @row("`repo:push`", "the branch is back at a commit that another one has replaced")
    async def test_a_branch_that_is_back_at_the_first_commit(self) -> None:
        first, second = await self.push("release/1", "[build]"), await self.push("release/1", "[build] more")
        self.repository.tell_push(Change("release/1", second, first, commits=(first,)))
        await self.settled()
        assert len(self.started()) == 3

    async def test_a_pull_request_takes_the_place_of_the_build_of_its_branch(self) -> None:
        await self.push("feature/y", "[build]")
        pull_request = self.repository.open_pull_request("Y", "feature/y")
        await self.built(pull_request)
        (standing,) = self.standing()
        assert standing["pullRequest"]["number"] == "1"
        assert set(self.states(pull_request).values()) == {"SUCCESSFUL"}

    @row("`repo:push`", "it tells of an earlier push once more")
    async def test_an_earlier_push_that_comes_twice(self) -> None:
        first = await self.push("release/1", "[build]")
        await self.push("release/1", "[build] more")
        self.repository.tell_push(Change("release/1", None, first))
        await self.settled()
        assert len(self.started()) == 2

    @row("`repo:push`", "`pushes: marker`, and a commit message of the push says `[build]`")
    async def test_with_a_marker(self) -> None:
        first = self.repository.add_commit((), {"a": b"a"}, "First\n\n[Build]")
        second = self.repository.add_commit((first,), {"a": b"b", ".probo.yaml": b"steps: []"}, "Second")
        self.repository.point("release/1", second, (second, first))
        await self.settled()
        ((document),) = self.started()
        build = document["build"]
        assert (build["type"], build["name"], build["commit"]["ref"]) == ("branch", "Branch release/1", second.hash)
        assert "pullRequest" not in build

    @row("`repo:push`", "several branches, each looked at for itself")
    async def test_several_branches(self) -> None:
        changes, commits = [], []
        for branch, message in (("main", "[build]"), ("wip", "[build]"), ("release/1", "no"), ("release/2", "[build]")):
            commit = self.repository.add_commit((), {".probo.yaml": b"steps: []"}, message)
            changes.append(Change(branch, None, commit))
            commits.append(commit.hash[:12])
        self.repository.tell_push(*changes)
        await self.settled()
        assert {document["build"]["name"] for document in self.started()} == {"Branch main", "Branch release/2"}
        ((reason,),) = self.rows("SELECT reason FROM deliveries")
        assert reason.split("; ") == [
            f"main: a build of {commits[0]}",
            "wip: it is not among the `branches` of the settings",
            "release/1: no commit message says [build]",
            f"release/2: a build of {commits[3]}",
        ]


class OnAllPushes(Events):
    settings: ClassVar[dict[str, Any]] = {"pushes": "branches", "branches": "release/*"}

    @row("`repo:push`", "`pushes: branches`, and the branch is among `branches`")
    async def test_a_push_to_a_branch_that_is_built(self) -> None:
        await self.push("main")
        assert self.started() == []
        await self.push("release/1")


class OnNoPushes(Events):
    settings: ClassVar[dict[str, Any]] = {"pushes": "never"}

    @row("`repo:push`", "`pushes: never`")
    async def test_a_push_that_wants_a_build(self) -> None:
        await self.push(message="[build]")


class Coordinated(Events):
    """The stage with a coordinator, which has no project."""

    async def prepare(self) -> None:
        await super().prepare()
        self.coordinator = Coordinator(reactor, self.container_manager, token=canary("the-token"), projects={})
        self.stage._given["api"] = {"url": await self.coordinator.listen(reactor), "token": canary("the-token")}

    async def tearDown(self) -> None:  # type: ignore[override]
        await super().tearDown()
        await self.coordinator.stop()


class OnProjects(Coordinated):
    @row(OPEN, "a coordinator has no project for the repository")
    async def test_a_repository_without_a_project(self) -> None:
        self.unannounced().edit(title="Told of alone, and not besides a push")
        await self.settled()
        assert self.rows("SELECT reason FROM builds") == [("the coordinator has no project for acme/site",)]


class OnCommentsWithACoordinator(Coordinated, Comments):
    settings: ClassVar[dict[str, Any]] = {"commands": True}

    @row(COMMENT, "`commands: true`, and the comment says `probo stop`, and a coordinator has the environment")
    async def test_a_stop_of_what_the_coordinator_has(self) -> None:
        auth = {"token": "T", "refreshToken": self.cloud.credentials.issue_refresh_token(stage.KEY), "type": "token"}
        provider = {"type": "bitbucket", "slug": "bitbucket"}
        project = {"id": "project-7", "owner": "acme", "repo": "site", "slug": "acme/site", "provider": provider}
        self.coordinator.projects["acme/site"] = {**project, "service_auth": auth}
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: self.container_manager.builds)
        await self.settled()
        await self.say("probo stop", pull_request)
        assert "only when their pull request is closed" in self.answered()[0]
        assert (len(self.standing()), self.rows("SELECT 1 FROM removals")) == (1, [])
        assert set(self.states(pull_request).values()) == {"SUCCESSFUL"}


del Events, Comments, Coordinated  # they have no tests of their own
