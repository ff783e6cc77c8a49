"""What the Reaper and the web app ask: JSON whatever happens, and nothing is closed that is not known to be."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from probo_bitbucket.sandbox.faults import HTML, JSON, Answer, Cut, Effect, Fault, Hang, Truncated
from tests.staged import StageTestCase

TROUBLES: tuple[Effect, ...] = (
    Answer(500),
    Answer(502, b"<html>Oops</html>", HTML),
    Answer(200, b"<html>Oops</html>", HTML),
    Answer(200, b"null", JSON),
    Answer(200, b"[]", JSON),
    Answer(200, b'{"id": 1}', JSON),
    Answer(403, b"{}", JSON),
    Answer(404, b"{}", JSON),
    Answer(410, b"{}", JSON),
    Answer(429, b"{}", JSON),
    Answer(301, b"", {"Location": "http://localhost/"}),
    Truncated(),
    Hang(),
    Cut(),
)


class PullRequests(StageTestCase):
    settings: ClassVar[dict[str, Any]] = {"forks": "always"}

    async def test_an_open_pull_request_is_described_as_the_node_handlers_did(self) -> None:
        pull_request = self.unannounced(title="Change the README")
        answer = await self.call("GET", "/pull-request/acme/site/1?type=token&provider_id=x")
        assert answer.status == 200
        assert answer.json == {
            "id": 1,
            "number": 1,
            "state": "open",
            "url": f"{self.cloud.url}/acme/site/pull-requests/1",
            "title": "Change the README",
            "userName": "Robin Fern",
            "userId": pull_request.author.uuid,
        }

    async def state(self, number: Any = 1) -> str:
        return str((await self.call("GET", f"/pull-request/acme/site/{number}")).json["state"])

    async def test_merged_and_declined_ones_are_closed(self) -> None:
        merged, declined = self.unannounced(branch="one"), self.unannounced(branch="two")
        assert [await self.state(1), await self.state(2)] == ["open", "open"]
        merged.merge()
        declined.decline()
        assert [await self.state(1), await self.state(2)] == ["closed", "closed"]

    async def test_whatever_bitbucket_does_there_is_json_with_a_state_that_is_not_closed(self) -> None:
        self.unannounced()
        for trouble in TROUBLES:
            fault = self.cloud.faults.add(Fault(trouble, ".*/pullrequests/1"))
            answer = await self.call("GET", "/pull-request/acme/site/1")
            assert answer.status >= 400, trouble
            assert answer.json["state"] is None, trouble
            assert answer.json["error"], trouble
            self.cloud.faults.remove(fault)

    async def test_a_state_that_nobody_knows_yet_is_not_closed(self) -> None:
        for state in ("QUEUED", "", "open"):
            document = json.dumps({"id": 1, "state": state}).encode()
            self.cloud.faults.add(Fault(Answer(200, document, JSON), ".*/pullrequests/1", times=1))
            answer = await self.call("GET", "/pull-request/acme/site/1")
            assert answer.json["state"] is None

    async def test_names_and_numbers_that_are_none_have_no_state_and_reach_no_other_address(self) -> None:
        for path in ("acme/site/x", "acme/site/1%2F..%2F2", "acme/..%2F..%2Fuser/1", "%2e%2e/site/1", "acme/site/0x1"):
            answer = await self.call("GET", f"/pull-request/{path}")
            assert (answer.status, answer.json["state"]) == (400, None), path
        assert self.asked("/pullrequests/") == []

    async def test_a_token_that_is_not_ours_has_no_state(self) -> None:
        answer = await self.call("GET", "/pull-request/acme/site/1?refreshToken=theirs")
        assert (answer.status, answer.json["state"]) == (403, None)

    async def test_a_fork_is_looked_up_where_its_pull_request_is(self) -> None:
        fork = self.cloud.fork(self.repository, "robin/site")
        pull_request = self.repository.open_pull_request("From afar", "patch", {"a": b"a"}, source=fork)
        await self.built(pull_request)
        (document,) = self.started()
        project, auth = document["project"], document["project"]["service_auth"]
        path = f"/pull-request/{project['owner']}/{project['repo']}/1?refreshToken={auth['refreshToken']}"
        assert (await self.call("GET", path)).json["state"] == "open"
        pull_request.decline()
        assert (await self.call("GET", path)).json["state"] == "closed"


class WebApp(StageTestCase):
    async def test_branches_come_from_all_pages(self) -> None:
        head = self.repository.commits[self.repository.branches["main"]]
        self.repository.branches.update({f"b/{number:03}": head.hash for number in range(250)})
        answer = await self.call("GET", "/branches/acme/site")
        assert answer.status == 200
        assert {branch["name"] for branch in answer.json} == set(self.repository.branches)

    async def test_commits_come_newest_first_from_a_branch_or_a_hash(self) -> None:
        first = self.repository.branches["main"]
        second = self.repository.push("main", {"b": b"b"}).hash
        for query, wanted in (("", [second, first]), ("?sha=main", [second, first]), (f"?sha={first}", [first])):
            answer = await self.call("GET", f"/commits/acme/site{query}")
            assert [commit["hash"] for commit in answer.json] == wanted

    async def test_troubles_are_answered_in_json_with_an_error(self) -> None:
        for path in ("/branches/acme/site", "/commits/acme/site"):
            for trouble in (Answer(500), Answer(404), Answer(429), Answer(200, b"null"), Hang(), Cut()):
                fault = self.cloud.faults.add(Fault(trouble, ".*/(refs/branches|commits)"))
                answer = await self.call("GET", path)
                assert answer.status in (404, 502, 503)
                assert answer.json["error"]
                self.cloud.faults.remove(fault)

    async def test_a_build_by_hash_is_answered_with_the_container_managers_document(self) -> None:
        head = self.repository.branches["main"]
        answer = await self.call("POST", "/builds/hash", {"project": {"slug": "acme/site"}, "sha": head[:12]})
        (document,) = self.started()
        assert answer.status == 200
        assert answer.json["status"] == "build started"
        assert answer.json["build"]["id"] == document["build"]["id"]
        assert (document["build"]["type"], document["build"]["name"]) == ("hash", "Begin")
        assert document["build"]["commit"]["ref"] == head
        assert "pullRequest" not in document["build"]
        await self.settled()
        assert set(map(str, self.repository.shown(head).values())) == {"SUCCESSFUL"}
        self.check_container_manager()
        made = answer.json["build"]["id"]
        assert (await self.call("GET", f"/api/builds/{made}")).json["build"]["origin"] == "the web app"
        again = (await self.call("POST", f"/api/builds/{made}/rebuild", b"")).json["build"]
        told = (await self.call("GET", f"/api/builds/{again}")).json["build"]
        assert told["origin"] == "rebuild of the web app"

    async def test_a_build_by_hash_names_what_is_missing(self) -> None:
        for body, words in (
            ({}, "`project` is missing"),
            ({"project": {"slug": "acme/site"}}, "`sha` is missing"),
            ({"project": {}, "sha": "0000000"}, "`project.slug` is missing"),
        ):
            answer = await self.call("POST", "/builds/hash", body)
            assert (answer.status, answer.json) == (400, {"error": words})
        assert self.started() == []

    async def test_a_build_by_hash_that_cannot_be_says_why(self) -> None:
        answer = await self.call("POST", "/builds/hash", {"project": {"slug": "acme/site"}, "sha": "0123456789ab"})
        assert answer.status == 502
        assert "Bitbucket has no commit 0123456789ab in acme/site" in answer.json["error"]
