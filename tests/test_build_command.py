"""`probo-bitbucket build`: an operator has something built, as Bitbucket has it then."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from twisted.logger import capturedLogs

from probo_bitbucket.sandbox.faults import Answer, Fault
from probo_bitbucket.sandbox.pullrequest import PullRequest
from tests.staged import StageTestCase


class BuildTestCase(StageTestCase):
    async def order(self, what: PullRequest | str, *options: str, status: int = 0) -> str:
        """What the command says, of a pull request or a commit."""
        name = str(what.number) if isinstance(what, PullRequest) else what
        return await self.run_command("build", *options, "acme/site", name, status=status)


class BuildCommand(BuildTestCase):
    async def test_a_pull_request_is_built_once_more(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.built(pull_request)
        assert "is wanted" in await self.order(pull_request)
        await self.until(lambda: len(self.started()) == 2)
        await self.settled()
        assert set(self.states(pull_request).values()) == {"SUCCESSFUL"}
        [standing] = [build for build in self.container_manager.builds.values() if not build.get("reaped")]
        assert standing["id"] == self.started()[1]["build"]["id"]

    async def test_a_pull_request_that_no_webhook_told_of_is_built_for_one_request(self) -> None:
        pull_request = self.unannounced()
        with capturedLogs() as events:
            said = json.loads(await self.order(pull_request, "--json"))
        assert len(self.asked(f"/pullrequests/{pull_request.number}")) == 1
        assert (said["repository"], said["commit"]) == ("acme/site", pull_request.commit[:12])
        assert set((await self.built(pull_request)).values()) == {"SUCCESSFUL"}
        [document] = self.started()
        assert document["build"]["pullRequest"]["number"] == str(pull_request.number)
        assert document["project"]["provider_id"] == self.repository.uuid
        [wanted] = [event for event in events if event.get("event") == "build.wanted"]
        assert (wanted["build"], wanted["pull_request"]) == (said["build"], pull_request.number)

    async def test_the_commit_that_it_is_at_is_built_where_the_webhook_of_the_push_got_lost(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.built(pull_request)
        self.quietly(pull_request.push)
        await self.order(pull_request)
        assert set((await self.built(pull_request)).values()) == {"SUCCESSFUL"}
        [standing] = [build for build in self.container_manager.builds.values() if not build.get("reaped")]
        assert standing["commit"]["ref"] == pull_request.commit

    async def test_the_webhook_that_comes_late_leads_to_no_second_build(self) -> None:
        pull_request = self.unannounced()
        await self.order(pull_request)
        await self.built(pull_request)
        pull_request.tell("created")
        [(_, state, reason)] = await self.decided(1)
        assert (state, "is known already" in reason) == ("ignored", True)

    async def test_one_from_a_fork_is_built_because_an_operator_says_so_and_stays_what_it_is(self) -> None:
        fork = self.cloud.fork(self.repository, "stranger/site")
        pull_request = self.repository.open_pull_request(source=fork)
        await self.decided(1)
        await self.order(pull_request)
        assert set((await self.built(pull_request)).values()) == {"SUCCESSFUL"}
        pull_request.edit(title="Another title")
        await self.decided(2)
        await self.settled()
        assert set(self.states(pull_request).values()) == {"SUCCESSFUL"}

    async def test_what_is_to_be_started_is_not_made_twice(self) -> None:
        fault = self.container_manager.faults.add(Fault(Answer(503), "/startbuild"))
        pull_request = self.repository.open_pull_request()
        await self.decided(1)
        said = await self.order(pull_request, status=1)
        self.container_manager.faults.remove(fault)
        assert "still to be started" in said

    async def test_a_commit_is_built(self) -> None:
        pull_request = self.unannounced()
        await self.order(pull_request.commit[:12])
        await self.until(self.started)
        [document] = self.started()
        assert document["build"]["type"] == "hash"
        assert document["build"]["commit"]["ref"] == pull_request.commit

    async def test_what_is_closed_is_not_built(self) -> None:
        merged = self.unannounced(branch="merged")
        self.quietly(merged.merge)
        assert f"pull request #{merged.number} is merged" in await self.order(merged, status=1)

    async def test_what_has_lost_its_branch_is_not_built(self) -> None:
        bare = self.unannounced(branch="bare")
        self.quietly(lambda: self.repository.delete_branch("bare"))
        assert "its branch was deleted" in await self.order(bare, status=1)

    async def test_what_cannot_be_built_is_told_in_words(self) -> None:
        for what, words in (
            ("7", "Bitbucket has no pull request #7 in acme/site"),
            ("1234567", "Bitbucket has no commit 1234567 in acme/site"),
            ("../..", "is not a commit hash"),
        ):
            assert words in await self.order(what, status=1)
        assert self.rows("SELECT id FROM builds") == []

    async def test_the_trouble_of_bitbucket_is_told_and_nothing_is_wanted(self) -> None:
        pull_request = self.unannounced()
        for trouble, words in (
            (Answer(503), "Bitbucket answered 503"),
            (Answer(429), "Bitbucket answered 429"),
            (Answer(200, b"[]"), "Bitbucket's answer is not understood"),
        ):
            fault = self.cloud.faults.add(Fault(trouble, ".*/pullrequests/.*"))
            assert words in await self.order(pull_request, status=1)
            self.cloud.faults.remove(fault)
            await self.stage.reload()  # which forgets that Bitbucket takes no requests
        assert self.rows("SELECT id FROM builds") == []

    async def test_dead_credentials_are_told(self) -> None:
        self.cloud.credentials.revoke_refresh_tokens()
        self.cloud.credentials.revoke_access_tokens()
        assert "refresh token" in await self.order(self.unannounced(), status=1)

    async def test_a_body_names_one_thing(self) -> None:
        for body in ({}, {"commit": "0123456789", "pull_request": 1}, {"pull_request": 0}, {"pull_request": "1"}):
            answered = await self.call("POST", "/api/builds", {"repository": "acme/site", **body})
            assert answered.status == 400, answered

    async def test_no_page_of_another_site_has_something_built(self) -> None:
        body = {"repository": "acme/site", "pull_request": self.unannounced().number}
        answered = await self.call("POST", "/api/builds", body, {"Origin": "http://evil.example"})
        assert answered.status == 403

    async def test_without_a_daemon_it_says_so(self) -> None:
        await self.stage.stop_handler()
        assert "No daemon answers" in await self.order("7", status=1)


class Drafts(BuildTestCase):
    settings: ClassVar[dict[str, Any]] = {"drafts": False}

    async def test_what_its_author_wants_no_build_of_is_built(self) -> None:
        draft = self.repository.open_pull_request("[skip ci] Not yet", "draft", {"a": b"1"}, draft=True)
        await self.decided(1)
        await self.order(draft)
        assert set((await self.built(draft)).values()) == {"SUCCESSFUL"}


class Others(StageTestCase):
    settings: ClassVar[dict[str, Any]] = {"repositories": ["acme"]}

    async def test_a_repository_that_is_not_ours_is_not_built(self) -> None:
        said = await self.run_command("build", "other/site", "0123456789ab", status=1)
        assert "not among the `repositories`" in said
