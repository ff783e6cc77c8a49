"""The one comment on a pull request, as its readers see it."""

from __future__ import annotations

from typing import Any, ClassVar

from probo_bitbucket.sandbox.commits import AUTHOR
from probo_bitbucket.sandbox.faults import Answer, Fault, LoseAnswer
from probo_bitbucket.sandbox.pullrequest import PullRequest
from probo_bitbucket.sandbox.stage import KEY
from tests.staged import StageTestCase

COMMENTS = ".*/pullrequests/1/comments"
FAILING = b"steps: [{name: Hello, command: echo hi}, {name: Fail, command: 'false'}]"


class Comments(StageTestCase):
    settings: ClassVar[dict[str, Any]] = {"comment": True}

    def comments(self, pull_request: PullRequest) -> list[str]:
        """The texts that can be read on the page of a pull request."""
        return [comment.text for comment in pull_request.comments.values() if not comment.deleted]

    async def open(self) -> PullRequest:
        pull_request = self.repository.open_pull_request()
        await self.built(pull_request)
        return pull_request

    async def push(self, pull_request: PullRequest, content: bytes = FAILING) -> None:
        pull_request.push({".probo.yaml": content})
        await self.built(pull_request)

    async def test_it_has_the_environment_the_commit_and_each_step(self) -> None:
        pull_request = self.repository.open_pull_request(files={".probo.yaml": FAILING})
        await self.built(pull_request)
        [build] = self.container_manager.builds
        assert self.comments(pull_request) == [
            "**`ProboCI`** ❌ `1 of 2 steps failed: Fail`\n\n"
            f"[Environment](http://{build}.example.com:3050/) of commit `{pull_request.commit[:12]}`\n\n"
            "- ❌ `Shell/Fail: false`\n"
            "- ✅ `Shell/Hello`\n\n"
            "[//]: # (probo-bitbucket ProboCI)"
        ]

    async def test_the_next_build_edits_it(self) -> None:
        pull_request = await self.open()
        await self.push(pull_request)
        [text] = self.comments(pull_request)
        assert pull_request.commit[:12] in text
        assert "1 of 2 steps failed" in text
        assert len(self.asked("/comments", "POST")) == 1

    async def test_many_updates_are_few_requests(self) -> None:
        self.container_manager.setting.step_time = 0.05
        steps = ", ".join(f"{{name: Step {number}, command: 'true'}}" for number in range(20))
        pull_request = self.repository.open_pull_request(files={".probo.yaml": f"steps: [{steps}]".encode()})
        await self.built(pull_request)
        assert len(self.comments(pull_request)) == 1
        assert len(self.asked("/comments", "GET")) == 1
        assert len(self.asked("/comments", "POST") + self.asked("/comments", "PUT")) <= 10

    async def test_a_lost_answer_leads_to_no_second_one(self) -> None:
        self.cloud.faults.add(Fault(LoseAnswer(), COMMENTS, method="POST", times=1))
        pull_request = await self.open()
        assert len(self.comments(pull_request)) == 1
        assert len(self.asked("/comments", "POST")) == 1

    async def test_a_new_database_leads_to_no_second_one(self) -> None:
        pull_request = await self.open()
        await self.stage.stop_handler()
        for file in self.folder.glob("probo-bitbucket.db*"):
            file.unlink()
        self.stage.start_handler()
        await self.push(pull_request)
        assert len(self.comments(pull_request)) == 1

    async def test_a_deleted_one_comes_back_with_the_next_build_only(self) -> None:
        self.container_manager.setting.step_time = 0.05
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: self.comments(pull_request))
        pull_request.delete_comment(next(iter(pull_request.comments.values())))
        await self.built(pull_request)
        assert self.comments(pull_request) == []
        assert len(self.asked("/comments/", "PUT")) == 1
        await self.push(pull_request)
        assert len(self.comments(pull_request)) == 1

    async def test_a_comment_of_somebody_else_is_left_alone(self) -> None:
        pull_request = self.unannounced()
        pull_request.comment("Mine!\n[//]: # (probo-bitbucket ProboCI)", AUTHOR)
        await self.push(pull_request)
        assert [text.startswith("Mine!") for text in self.comments(pull_request)] == [True, False]
        await self.push(pull_request, b"steps: []")
        assert [text.startswith("Mine!") for text in self.comments(pull_request)] == [True, False]

    async def test_what_bitbucket_refuses_is_not_asked_again_for_the_same_build(self) -> None:
        self.container_manager.setting.step_time = 0.05
        refusal = b'{"type": "error", "error": {"message": "no", "detail": {"required": ["pullrequest"]}}}'
        self.cloud.faults.add(Fault(Answer(403, refusal), COMMENTS, times=1))
        pull_request = await self.open()
        assert self.comments(pull_request) == []
        assert len(self.asked("/comments", "GET")) == 1
        assert "pullrequest" in self.rows("SELECT last_error FROM comments")[0][0]
        await self.push(pull_request)
        assert len(self.comments(pull_request)) == 1

    async def test_a_short_budget_is_not_for_comments(self) -> None:
        for _ in range(int(0.85 * self.cloud.rate_limit.limit)):
            self.cloud.rate_limit.spend(KEY)
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: set(self.states(pull_request).values()) == {"SUCCESSFUL"})
        assert self.asked("/comments", "GET") == []

    async def test_a_build_that_was_never_started_is_told_of(self) -> None:
        pull_request = self.repository.open_pull_request(files={".probo.yaml": b"steps: ["})
        await self.decided(1)
        await self.until(lambda: self.comments(pull_request))
        [text] = self.comments(pull_request)
        assert "❌ `.probo.yaml line 2" in text
        assert "](" not in text

    async def test_it_does_not_lead_to_an_environment_that_is_gone(self) -> None:
        pull_request = await self.open()
        pull_request.merge()
        await self.settled()
        [text] = self.comments(pull_request)
        assert "✅ `2 of 2 steps; environment gone: pull request #1 is merged`" in text
        assert "](" not in text


class NoComments(StageTestCase):
    async def test_there_is_none_where_the_settings_do_not_ask_for_it(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.built(pull_request)
        assert not pull_request.comments
        assert self.asked("/comments", "GET") == []
