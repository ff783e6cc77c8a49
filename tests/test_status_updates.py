"""Status updates: how they are answered, and what Bitbucket shows of them in the end."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any, ClassVar
from urllib.parse import quote

from twisted.internet.defer import Deferred, gatherResults

from probo_bitbucket.sandbox.faults import HTML, Answer, Cut, Fault, Hang, LoseAnswer, Slow, Truncated
from probo_bitbucket.sandbox.pullrequest import PullRequest
from probo_bitbucket.sandbox.statuses import BuildStatus
from tests.staged import Answered, StageTestCase

POST = ".*/statuses/build"


class StatusUpdates(StageTestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.pull_request = self.unannounced()

    def body(self, state: str = "success", description: str = "[■] done", **update: Any) -> dict[str, Any]:
        """What a Container Manager says of a build that our store does not know."""
        links = {"htmlUrl": f"{self.cloud.url}/acme/site/pull-requests/1"}
        build = {
            "id": "foreign-1",
            "commit": {"ref": self.pull_request.commit, "htmlUrl": f"{self.cloud.url}/acme/site/commits/1"},
            "branch": {"name": self.pull_request.branch},
            "pullRequest": {"number": "1", **links},
            "project": {"id": "acme-site", "slug": "acme/site", "provider": {"type": "bitbucket"}},
        }
        said = {
            "state": state,
            "description": description,
            "target_url": "http://foreign-1.example.com:3050/",
            **update,
        }
        return {"update": said, "build": build}

    async def post(self, context: str, body: Any) -> Answered:
        return await self.call("POST", f"/builds/foreign-1/status/{quote(context, safe='')}", body)

    async def shown(self, key: str) -> BuildStatus:
        """What Bitbucket shows under *key* when there is nothing left to be told."""
        await self.settled()
        return {status.key: status for status in self.pull_request.shown()}[key]

    def history(self, pull_request: PullRequest, key: str) -> list[str]:
        """All states that Bitbucket showed under *key*."""
        return [str(status.state) for status in self.repository.statuses.get((pull_request.commit, key), [])]

    async def test_an_update_is_answered_with_the_status_and_a_build_unknown_to_the_store_is_reported(self) -> None:
        answer = await self.post("Acme/Shell/Hello", self.body())
        assert answer.status == 200
        assert answer.json == {
            "state": "SUCCESSFUL",
            "description": "[■] done",
            "key": "Acme/Shell/Hello",
            "url": "http://foreign-1.example.com:3050/",
            "name": "Acme/Shell/Hello",
        }
        status = await self.shown("Acme/Shell/Hello")
        assert (str(status.state), status.url, status.refname) == (
            "SUCCESSFUL",
            "http://foreign-1.example.com:3050/",
            "feature/change",
        )

    async def test_the_other_route_takes_the_context_from_the_body(self) -> None:
        answer = await self.call("POST", "/update", self.body(context="Acme/env"))
        assert (answer.status, answer.json["key"]) == (200, "Acme/env")
        assert str((await self.shown("Acme/env")).state) == "SUCCESSFUL"

    async def test_the_context_of_the_path_wins(self) -> None:
        answer = await self.post("Acme/path", self.body(context="Acme/body"))
        assert answer.json["name"] == "Acme/path"

    async def test_contexts_arrive_whatever_is_encoded_in_them(self) -> None:
        contexts = ("a//b", "a/b/", "/a", "Größe 100 %", "%2F", "a%252Fb", "a+b&c=d?e#f", "it's; (ok)!~*", "..", "a\\b")
        for context in contexts:
            answer = await self.post(context, self.body())
            assert (answer.status, answer.json["key"], answer.json["name"]) == (200, context, context)
        await self.settled()
        assert {status.key for status in self.pull_request.shown()} == set(contexts)

    async def test_a_newline_in_a_context_does_not_keep_it_from_bitbucket(self) -> None:
        answer = await self.post("Acme/Shell/two\nlines", self.body())
        assert answer.json["name"] == "Acme/Shell/two lines"
        await self.settled()
        assert len(self.pull_request.shown()) == 1

    async def test_states_are_mapped_and_unknown_ones_are_told_in_the_description(self) -> None:
        states = {
            "success": "SUCCESSFUL",
            "pending": "INPROGRESS",
            "running": "INPROGRESS",
            "error": "FAILED",
            "fail": "FAILED",
            "failure": "FAILED",
            "failed": "FAILED",
            "cancelled": "STOPPED",
            "lost": "STOPPED",
        }
        for state, wanted in states.items():
            answer = await self.post(f"Acme/{state}", self.body(state, "words"))
            words = f"words (original state: {state})" if wanted == "STOPPED" else "words"
            assert (answer.json["state"], answer.json["description"]) == (wanted, words)
        await self.settled()
        assert self.states(self.pull_request) == {f"Acme/{state}": wanted for state, wanted in states.items()}

    async def test_a_success_that_is_not_the_end_is_no_green_on_bitbucket(self) -> None:
        assert (await self.post("Acme/env", self.body("success", "[▶] Environment built"))).json[
            "state"
        ] == "INPROGRESS"
        assert str((await self.shown("Acme/env")).state) == "INPROGRESS"

    async def test_long_contexts_get_keys_that_fit_and_differ(self) -> None:
        contexts = [f"Acme/Shell/{'very ' * 20}long name {number}" for number in range(5)]
        keys = [(await self.post(context, self.body())).json["key"] for context in contexts]
        assert len(set(keys)) == 5
        assert max(map(len, keys)) <= 40
        await self.settled()
        assert {status.key for status in self.pull_request.shown()} == set(keys)
        assert {status.name for status in self.pull_request.shown()} == set(contexts)

    async def test_texts_longer_than_bitbucket_takes_are_shortened(self) -> None:
        await self.post("Acme/env", self.body("error", "[■] " + "x\n" * 5000))
        assert str((await self.shown("Acme/env")).state) == "FAILED"

    async def test_there_is_a_url_where_the_container_manager_sends_none_or_a_bad_one(self) -> None:
        for number, url in enumerate((None, "", "javascript:alert(1)", "not a url", "http://x/" + "y" * 500)):
            answer = await self.post(f"Acme/{number}", self.body(target_url=url))
            assert answer.json["url"] == f"{self.cloud.url}/acme/site/pull-requests/1"
        body = self.body(target_url=None)
        del body["build"]["pullRequest"], body["build"]["commit"]["htmlUrl"]
        answer = await self.post("Acme/commit", body)
        assert answer.json["url"] == f"{self.cloud.url}/acme/site/commits/{self.pull_request.commit}"

    async def test_braces_in_a_url_reach_bitbucket_encoded(self) -> None:
        await self.post("Acme/env", self.body(target_url="http://x/{commit.hash}"))
        assert (await self.shown("Acme/env")).url == "http://x/%7Bcommit.hash%7D"

    async def test_bad_bodies_are_refused_in_words(self) -> None:
        cases: dict[str, Any] = {
            "`update` is missing": {"build": {}},
            "`build` is missing": {"update": {"state": "success"}},
            "`update` and `build` are missing": {"state": "success", "description": "for a coordinator"},
            "`update.state` is missing": {"update": {}, "build": {}},
        }
        for words, body in cases.items():
            answer = await self.post("Acme/env", body)
            assert (answer.status, answer.json) == (400, {"error": words})
        for path in ("slug", "ref"):
            body = self.body()
            body["build"]["project" if path == "slug" else "commit"][path] = "../.."
            assert (await self.post("Acme/env", body)).status == 400
        assert (await self.call("POST", "/update", self.body())).json == {"error": "`update.context` is missing"}
        assert self.rows("SELECT key FROM statuses") == []

    async def test_the_answer_does_not_wait_for_bitbucket(self) -> None:
        self.cloud.faults.add(Fault(Hang(), POST))
        for number in range(40):
            assert (await self.post(f"Acme/{number}", self.body())).status == 200

    async def test_the_last_state_wins_whatever_happens_to_its_posts(self) -> None:
        troubles = (Answer(503), Answer(429), Answer(500, b"<html>", HTML), Truncated(), Cut(), Hang(), LoseAnswer())
        for trouble in troubles:
            self.cloud.faults.add(Fault(trouble, POST, times=1))
        for state in ("running", "error", "running", "success"):
            await self.post("Acme/env", self.body(state, f"[■] {state}"))
        assert str((await self.shown("Acme/env")).state) == "SUCCESSFUL"

    async def test_a_status_that_bitbucket_refuses_for_good_is_not_sent_for_ever(self) -> None:
        self.cloud.faults.add(Fault(Answer(400, b'{"error": {"message": "key: no"}}'), POST, times=1))
        await self.post("Acme/env", self.body())
        await self.settled()
        assert self.rows("SELECT failed, last_error FROM statuses") == [(1, "Bitbucket answered 400: key: no")]
        assert len(self.asked("/statuses/build", "POST")) == 1

    async def test_different_keys_go_out_side_by_side_and_one_key_never_races_with_itself(self) -> None:
        self.cloud.server.answer_after = 0.1
        for number in range(8):
            for state in ("running", "success"):
                await self.post(f"Acme/{number}", self.body(state, f"[■] {state}"))
        await self.settled()
        requests = self.asked("/statuses/build", "POST")
        assert len({round(each.time, 1) for each in requests}) < len(requests) / 2
        by_key = [
            sorted(each.time for each in requests if f'"Acme/{number}"'.encode() in each.body) for number in range(8)
        ]
        assert all(later - earlier >= 0.1 for times in by_key for earlier, later in pairwise(times))
        assert set(self.states(self.pull_request).values()) == {"SUCCESSFUL"}

    async def test_many_updates_at_the_same_time_are_all_answered(self) -> None:
        answers = await gatherResults(
            Deferred.fromCoroutine(self.post(f"Acme/{number % 20}", self.body())) for number in range(200)
        )
        assert {answer.status for answer in answers} == {200}


class WholeBuilds(StageTestCase):
    """What a real sequence of updates looks like on Bitbucket in the end."""

    variant: Any = "v4.5.3"

    async def prepare(self) -> None:
        self.container_manager.setting.variant = self.variant

    async def build(self, steps: str, branch: str = "feature/change") -> tuple[PullRequest, dict[str, str]]:
        files = {".probo.yaml": f"steps: {steps}\n".encode()}
        pull_request = self.repository.open_pull_request(branch=branch, files=files)
        states = await self.built(pull_request)
        self.check_container_manager()
        return pull_request, states

    async def test_a_failing_step_is_red_and_the_others_green(self) -> None:
        _, states = await self.build("[{name: Hello, command: echo hi}, {name: Fail, command: 'false'}]")
        assert states == {
            "ProboCI/env": "SUCCESSFUL",
            "ProboCI/Shell/Hello": "SUCCESSFUL",
            "ProboCI/Shell/Fail": "FAILED",
        }

    async def test_env_is_green_only_once_and_at_the_end(self) -> None:
        pull_request, _ = await self.build("[{name: Hello, command: echo hi}]")
        states = [str(status.state) for status in self.repository.statuses[pull_request.commit, "ProboCI/env"]]
        assert states[-1] == "SUCCESSFUL"
        assert set(states[:-1]) <= {"INPROGRESS"}

    async def test_calls_that_overtake_each_other_do_not_leave_a_step_in_progress(self) -> None:
        for seed in range(3):
            self.container_manager.setting.overtake = Random(seed)
            names = ", ".join(f"{{name: S{number}, command: 'true'}}" for number in range(6))
            _, states = await self.build(f"[{names}]", f"seed-{seed}")
            assert set(states.values()) == {"SUCCESSFUL"}

    async def test_steps_of_any_name_are_reported(self) -> None:
        names = ("Größe / 100 %", "two\\nlines", "x" * 100, "a//b", "{{braces}}", "'quotes'")
        steps = ", ".join(f'{{name: "{name}", command: "true"}}' for name in names)
        _, states = await self.build(f"[{steps}]")
        assert len(states) == len(names) + 1
        assert set(states.values()) == {"SUCCESSFUL"}

    async def test_an_image_that_is_not_approved_is_told(self) -> None:
        pull_request, states = await self.build("[{name: A, command: 'true'}]\nimage: nobody/knows")
        assert states == {"ProboCI/env": "FAILED"}
        assert "approved Probo Image" in pull_request.shown()[0].description

    async def test_a_build_is_as_fast_as_ever_while_bitbucket_takes_no_status(self) -> None:
        self.cloud.faults.add(Fault(Slow(3600.0), POST))
        self.repository.open_pull_request()
        await self.until(lambda: [build for build in self.container_manager.builds.values() if not build["active"]])
        self.check_container_manager()


class Sprint7WholeBuilds(WholeBuilds):
    """The line that never sends `target_url`."""

    variant = "sprint7"

    async def test_the_statuses_link_to_the_page_of_the_pull_request(self) -> None:
        pull_request, _ = await self.build("[{name: Hello, command: echo hi}]")
        assert {status.url for status in pull_request.shown()} == {f"{self.cloud.url}/acme/site/pull-requests/1"}


class BuildUrl(StageTestCase):
    settings: ClassVar[dict[str, Any]] = {"buildUrl": "http://{{buildId}}.probo.example.com/"}

    async def test_our_own_template_gives_the_url_where_the_container_manager_sends_none(self) -> None:
        self.container_manager.setting.variant = "sprint7"
        pull_request = self.repository.open_pull_request()
        await self.built(pull_request)
        (document,) = self.started()
        url = f"http://{document['build']['id']}.probo.example.com/"
        assert {status.url for status in pull_request.shown()} == {url}
