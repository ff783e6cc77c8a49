"""Build statuses: what is taken, what is refused, and where it is shown."""

from __future__ import annotations

from typing import Any

from probo_bitbucket.sandbox.statuses import State
from tests.sandbox.cloud import CloudTestCase, Reply


class StatusTests(CloudTestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.pull_request = self.site.open_pull_request(branch="feature/x", files={"a": b"1"})
        self.commit = self.pull_request.commit

    async def post_status(self, *, repository: str = "acme/site", commit: str = "", **fields: Any) -> Reply:
        status = {"state": "INPROGRESS", "key": "k", "url": "https://example.com/", "refname": "feature/x", **fields}
        return await self.post(f"/repositories/{repository}/commit/{commit or self.commit}/statuses/build", status)

    async def test_a_status_is_shown_on_the_commit_of_a_short_hash(self) -> None:
        reply = await self.post_status(commit=self.commit[:12], state="SUCCESSFUL")
        assert reply.status == 201
        assert self.site.shown(self.commit) == {"k": State.SUCCESSFUL}

    async def test_the_last_one_with_a_key_wins_and_the_others_are_history(self) -> None:
        for state in ("INPROGRESS", "FAILED", "SUCCESSFUL"):
            await self.post_status(state=state)
        history = self.site.statuses[self.commit, "k"]
        assert [status.state for status in history] == ["INPROGRESS", "FAILED", "SUCCESSFUL"]
        assert self.site.shown(self.commit) == {"k": State.SUCCESSFUL}

    async def test_a_key_of_41_characters_is_refused_in_bitbuckets_words(self) -> None:
        reply = await self.post_status(key="k" * 48)
        assert reply.status == 400
        assert reply.document["type"] == "error"
        assert reply.message == "key: Ensure this value has at most 40 characters (it has 48)."

    async def test_what_breaks_a_rule_is_refused(self) -> None:
        broken: list[dict[str, Any]] = [
            {"state": "RUNNING"},
            {"state": "successful"},
            {"key": ""},
            {"key": "k" * 41},
            {"key": 7},
            {"url": None},
            {"url": "example.com"},
            {"url": "https://example.com/" + "u" * 450},
            {"url": "https://example.com/{open"},
            {"name": "n" * 256},
            {"description": "d" * 256},
        ]
        assert [(await self.post_status(**fields)).status for fields in broken] == [400] * len(broken)
        assert self.site.shown(self.commit) == {}

    async def test_what_is_just_within_the_limits_is_taken(self) -> None:
        url = "https://example.com/".ljust(450, "u")
        reply = await self.post_status(key="k" * 40, name="n" * 255, description="d" * 255, url=url)
        assert reply.status == 201

    async def test_braces_in_a_url_are_a_template(self) -> None:
        reply = await self.post_status(url="https://example.com/{commit.hash}/{nobody.knows}/x")
        assert reply.document["url"] == f"https://example.com/{self.commit}//x"

    async def test_a_status_without_the_branch_is_not_on_the_page_of_the_pull_request(self) -> None:
        await self.post_status(key="with")
        await self.post_status(key="without", refname=None)
        assert [status.key for status in self.pull_request.shown()] == ["with"]

    async def test_a_forks_commit_is_only_in_the_fork(self) -> None:
        fork = self.cloud.fork(self.site, "acme/fork")
        commit = self.site.open_pull_request(source=fork, branch="theirs", files={"b": b"2"}).commit
        assert (await self.post_status(commit=commit)).status == 404
        assert (await self.post_status(commit=commit, repository="acme/fork")).status == 201
        assert fork.shown(commit) == {"k": State.INPROGRESS}

    async def test_a_status_is_read_and_changed_by_its_key(self) -> None:
        await self.post_status(key="a/b")
        place = f"/repositories/acme/site/commit/{self.commit}/statuses/build/a%2Fb"
        assert (await self.get(place)).document["state"] == "INPROGRESS"
        body = {"state": "STOPPED", "url": "https://example.com/"}
        assert (await self.request("PUT", place, json=body)).document["state"] == "STOPPED"
        assert (await self.get(place[:-1])).status == 404

    async def test_all_statuses_of_a_commit_are_listed(self) -> None:
        for key in ("a", "b"):
            await self.post_status(key=key)
        reply = await self.get(f"/repositories/acme/site/commit/{self.commit}/statuses")
        assert [status["key"] for status in reply.document["values"]] == ["a", "b"]

    async def test_a_body_that_is_no_json_object_is_refused(self) -> None:
        place = f"/repositories/acme/site/commit/{self.commit}/statuses/build"
        headers = {"Content-Type": "application/json"}
        replies = [await self.request("POST", place, data=body, headers=dict(headers)) for body in (b"[]", b"{", b"")]
        assert [reply.status for reply in replies] == [400] * 3
