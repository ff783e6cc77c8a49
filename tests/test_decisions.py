"""Decisions: one build for a repository, pull request and commit, however often and in what order one is told of it."""

from __future__ import annotations

from typing import Any, ClassVar

from probo_bitbucket.sandbox.stage import CONFIGURATION
from tests.staged import StageTestCase


class Decisions(StageTestCase):
    async def test_events_of_the_same_commit_lead_to_one_build(self) -> None:
        pull_request = self.repository.open_pull_request()
        pull_request.tell("updated")
        pull_request.tell("push")
        decisions = await self.decided(3)
        assert sorted(state for _, state, _ in decisions) == ["accepted", "ignored", "ignored"]
        await self.built(pull_request)
        assert len(self.started()) == 1
        self.check_container_manager()

    async def test_what_leads_to_a_build_names_its_commit(self) -> None:
        pull_request = self.repository.open_pull_request()
        ((_, state, reason),) = await self.decided(1)
        assert (state, reason) == ("accepted", f"a build of {pull_request.commit[:12]}")
        await self.settled()

    async def test_an_update_without_a_new_commit_says_that_it_builds_nothing_and_names_the_build(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.decided(1)
        pull_request.edit(title="Another title")
        *_, (event, state, reason) = await self.decided(2)
        ((build_id,),) = self.rows("SELECT id FROM builds")
        assert (event, state) == ("pullrequest:updated", "ignored")
        assert reason == f"commit {pull_request.commit[:12]} is known already: it is build {build_id}"

    async def test_a_new_commit_leads_to_a_new_build_although_two_events_tell_of_it(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.built(pull_request)
        pull_request.push()
        await self.built(pull_request)
        assert [state for _, state, _ in await self.decided(3)].count("accepted") == 2
        assert len({document["build"]["id"] for document in self.started()}) == 2

    async def test_deliveries_that_come_twice_lead_to_one_build(self) -> None:
        self.cloud.deliveries.twice = True
        pull_request = self.repository.open_pull_request()
        await self.built(pull_request)
        self.cloud.deliveries.again(self.cloud.deliveries.journal[0])
        decisions = await self.decided(3)
        assert [state for _, state, _ in decisions].count("accepted") == 1
        assert len(self.started()) == 1

    async def test_many_deliveries_of_one_commit_at_the_same_time_lead_to_one_build(self) -> None:
        pull_request = self.unannounced()
        for _ in range(30):
            pull_request.tell("updated")
        hooks = self.cloud.hooks["acme/site"]
        assert hooks
        await self.decided(30)
        await self.built(pull_request)
        assert len(self.started()) == 1

    async def test_the_newest_commit_wins_on_bitbucket_when_deliveries_come_in_reverse(self) -> None:
        self.cloud.deliveries.hold()
        pull_request = self.repository.open_pull_request()
        pull_request.push()
        self.cloud.deliveries.release(reverse=True)
        states = await self.built(pull_request)
        assert set(states.values()) == {"SUCCESSFUL"}

    async def test_the_same_commit_in_two_pull_requests_is_built_for_each(self) -> None:
        first = self.repository.open_pull_request("First", "one", {"a": b"a"})
        second = self.repository.open_pull_request("Second", "one")
        assert first.commit == second.commit
        await self.decided(2)
        await self.until(lambda: len(self.started()) == 2)
        assert {document["build"]["pullRequest"]["number"] for document in self.started()} == {"1", "2"}
        await self.settled()

    async def test_a_deleted_fork_branch_or_commit_is_ignored_with_its_reason(self) -> None:
        cases: dict[str, Any] = {
            "repository": "source repository",
            "branch": "source branch",
            "commit": "source commit",
        }
        for part in cases:
            body = self.pull_request_body(self.unannounced())
            body["pullrequest"]["source"][part] = None
            assert (await self.deliver("pullrequest:updated", body)).status == 200
        decisions = await self.decided(3)
        assert {state for _, state, _ in decisions} == {"ignored"}
        for words, (_, _, reason) in zip(cases.values(), decisions, strict=True):
            assert f"has no {words}" in reason
        assert self.rows("SELECT id FROM builds") == []

    async def test_an_update_of_a_pull_request_that_was_merged_unheard_ends_it(self) -> None:
        pull_request = self.unannounced()
        body = self.pull_request_body(pull_request)
        body["pullrequest"]["state"] = "MERGED"
        await self.deliver("pullrequest:updated", body)
        ((_, state, reason),) = await self.decided(1)
        assert (state, reason) == ("accepted", "pull request #1 is merged; builds ended: 0")

    async def test_a_commit_that_is_gone_when_its_turn_comes_is_not_built_and_not_tried_again(self) -> None:
        pull_request = self.unannounced()
        body = self.pull_request_body(pull_request)
        body["pullrequest"]["source"]["commit"]["hash"] = "0123456789ab"
        await self.deliver("pullrequest:updated", body)
        await self.decided(1)
        await self.settled()
        ((state, reason),) = self.rows("SELECT state, reason FROM builds")
        assert (state, reason) == ("cancelled", "Bitbucket has no commit 0123456789ab in acme/site")
        assert self.started() == []
        assert await self.run_command("failed") == "Nothing was given up on.\n"

    async def test_a_display_name_never_reaches_the_container_manager_as_a_name(self) -> None:
        shop = self.cloud.add_repository("acme/my-shop", {".probo.yaml": CONFIGURATION}, name="My Shop; rm -rf /")
        self.stage.watch("acme/my-shop")
        await self.built(shop.open_pull_request())
        (document,) = self.started()
        project = document["project"]
        assert (project["owner"], project["repo"], project["slug"]) == ("acme", "my-shop", "acme/my-shop")


class Forks(StageTestCase):
    settings: ClassVar[dict[str, Any]] = {"forks": "always"}

    async def test_a_fork_has_its_files_read_and_its_statuses_shown_in_the_fork(self) -> None:
        fork = self.cloud.fork(self.repository, "robin/site-fork")
        files = {".probo.yaml": b"steps: [{name: Forked, command: 'true'}]\n"}
        pull_request = self.repository.open_pull_request("From afar", "patch", files, source=fork)
        states = await self.built(pull_request)
        assert states == {"ProboCI/env": "SUCCESSFUL", "ProboCI/Shell/Forked": "SUCCESSFUL"}
        assert {each.path.split("/")[3] for each in self.asked("/statuses/build", "POST")} == {"robin"}
        assert {each.path.split("/")[3] for each in self.asked("/src/")} == {"robin"}

    async def test_a_fork_is_downloaded_from_where_it_is_and_belongs_to_the_project_of_its_pull_request(self) -> None:
        fork = self.cloud.fork(self.repository, "robin/site-fork")
        pull_request = self.repository.open_pull_request("From afar", "patch", {"a": b"a"}, source=fork)
        await self.built(pull_request)
        (document,) = self.started()
        project = document["project"]
        assert (project["owner"], project["repo"]) == ("robin", "site-fork")
        assert (project["id"], project["slug"], project["provider_id"]) == (
            "acme-site",
            "acme/site",
            self.repository.uuid,
        )
        self.check_container_manager()
