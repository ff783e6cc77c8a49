"""GitHub's and Bitbucket's builds through one handler: each status reaches its side."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import capturedLogs

from probo_bitbucket.sandbox.faults import HTML, JSON, Answer, Cut, Effect, Fault, Hang, LoseAnswer, Truncated
from tests.canaries import canary
from tests.other_handler import OtherHandler
from tests.staged import Answered, StageTestCase

FORWARDED = "SELECT id FROM forwarded WHERE pending"
GITHUBS = {"slug": "hub/site", "provider": {"type": "github"}}
STEP = ["pending", "running", "success"]
DEADLY: tuple[Effect, ...] = (
    Answer(200, b"null", JSON),
    Answer(200, b"[]", JSON),
    Answer(200, b""),
    Answer(200, b"<html></html>", HTML),
    Answer(204),
    Answer(302, b"", {"Location": "http://localhost/"}),
    Answer(302, b"{}", {"Location": "http://localhost/"}),
    Truncated(),
    Hang(),
    Cut(),
)


class BothHandlers(StageTestCase):
    """A handler of ours, with one for GitHub behind it."""

    async def prepare(self) -> None:
        self.github = OtherHandler(reactor, "github")
        self.github_url = await self.github.listen(reactor)
        self.stage._given["forward"] = {"github": self.github_url}

    async def tearDown(self) -> None:  # type: ignore[override]
        await super().tearDown()
        await self.github.server.stop()

    def build_of_github(self, id: str = "gh-1", **project: Any) -> None:
        """Have the Container Manager start a build as the handler for GitHub does."""
        document = {
            "id": "hub-site",
            "slug": "hub/site",
            "owner": "hub",
            "repo": "site",
            "provider_id": 1234,
            "service_auth": {"token": canary("GH"), "type": "token"},
            "provider": {"type": "github", "slug": "github"},
            **project,
        }
        steps = [{"name": "Größe %/'+~", "command": "echo hi"}, {"name": "Fine", "command": "true"}]
        build = {"id": id, "commit": {"ref": "a" * 40}, "branch": {"name": "main"}, "config": {"steps": steps}}
        self.container_manager.start(build, document)

    async def passed_on(self) -> None:
        """Wait until the builds have ended and GitHub's handler has all updates of its builds."""
        await self.settled()
        await self.until(lambda: not self.rows(FORWARDED))

    def sent_of_github(self) -> list[tuple[str, bytes]]:
        """What the Container Manager reported of GitHub's builds, as path and body."""
        calls = [call for call in self.container_manager.calls if "/builds/gh-" in call.url]
        return [(call.url.removeprefix(self.stage.url), call.body) for call in calls]

    def taken_by_github(self) -> list[tuple[str, bytes]]:
        return [(each.path.removeprefix("/github"), each.body) for each in self.github.updates]

    async def post(self, number: int, context: str = "Acme/Shell/Test", build: str = "gh-9") -> Answered:
        """Post an update of GitHub's whose description is its number."""
        body = {
            "update": {"state": "running", "description": str(number), "context": context},
            "build": {"id": build, "project": {"slug": "hub/site", "provider": {"type": "github"}}},
        }
        return await self.call(
            "POST",
            f"/builds/{build}/status/{quote(context, safe='')}",
            body,
            {"Content-Type": "application/json"},
        )

    def numbers(self, context: str = "Acme/Shell/Test") -> list[int]:
        """The numbers that GitHub's handler took of a context, in the order in which they came."""
        updates = [json.loads(each.body)["update"] for each in self.github.updates]
        return [int(update["description"]) for update in updates if update["context"] == context]

    async def test_each_status_reaches_its_side_byte_for_byte(self) -> None:
        self.build_of_github()
        pull_request = self.repository.open_pull_request()
        self.assertEqual(set((await self.built(pull_request)).values()), {"SUCCESSFUL"})
        await self.passed_on()
        self.assertEqual(sorted(self.taken_by_github()), sorted(self.sent_of_github()))
        self.assertEqual(len(self.taken_by_github()), 11)
        path = "/builds/gh-1/status/ProboCI%2FShell%2FGr%C3%B6%C3%9Fe%20%25%2F%27%2B~"
        self.assertIn(path, dict(self.taken_by_github()))
        self.assertEqual(self.github.states("ProboCI/env"), ["running", "success", "running", "success", "success"])
        self.assertEqual(self.github.states("ProboCI/Shell/Fine"), STEP)
        self.assertEqual(self.asked("/hub/site/"), [])
        self.assertEqual(self.asked("/hub/site/", "POST"), [])
        self.check_container_manager()

    async def test_nothing_is_lost_or_overtaken_while_githubs_handler_is_down_and_ours_is_restarted(
        self,
    ) -> None:
        port = int(self.github_url.split(":")[2].partition("/")[0])
        await self.github.server.stop()
        self.build_of_github("gh-1")
        pull_request = self.repository.open_pull_request()
        self.assertEqual(set((await self.built(pull_request)).values()), {"SUCCESSFUL"})
        await self.stage.stop_handler()
        self.assertEqual(len(self.rows(FORWARDED)), 11)
        self.stage.start_handler()
        self.build_of_github("gh-2")
        await self.settled()
        self.assertEqual(self.github.updates, [])

        await self.github.listen(reactor, port)
        await self.passed_on()
        for id in ("gh-1", "gh-2"):
            for context in ("ProboCI%2Fenv", "ProboCI%2FShell%2FFine"):
                path = f"/builds/{id}/status/{context}"
                taken = [body for at, body in self.taken_by_github() if at == path]
                self.assertEqual(taken, [body for at, body in self.sent_of_github() if at == path])
        self.assertEqual(len(self.taken_by_github()), 22)

    async def test_troubles_of_githubs_handler_pass_and_nothing_is_overtaken(self) -> None:
        for trouble in (Answer(500, b'{"error": {}}', JSON), Answer(429), LoseAnswer(), Hang(), Cut()):
            self.github.faults.add(Fault(trouble, times=1))
        for number in range(4):
            self.assertEqual((await self.post(number)).status, 200)
        await self.until(lambda: not self.rows(FORWARDED))
        self.assertEqual(sorted(set(self.numbers())), [0, 1, 2, 3])
        self.assertEqual(self.numbers(), sorted(self.numbers()))

    async def test_an_update_is_answered_before_githubs_handler_has_it(self) -> None:
        self.github.faults.add(Fault(Hang()))
        answer = await self.post(1)
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.json, {"state": "running", "description": "1", "context": "Acme/Shell/Test"})
        self.assertEqual(self.numbers(), [])

    async def test_the_other_route_is_passed_on_as_it_is(self) -> None:
        body = b'{"build": {"id":5,"project":{"provider":{"type":"github"}}} ,"update":{"state":"error","context":"c"}}'
        answer = await self.call("POST", "/update?a=%2F", body, {"Content-Type": "application/json"})
        self.assertEqual(answer.status, 200)
        await self.until(lambda: self.github.updates)
        (taken,) = self.github.updates
        self.assertEqual((taken.path, taken.query, taken.body), ("/github/update", "a=%2F", body))

    async def test_githubs_tokens_do_not_stay_in_the_store(self) -> None:
        await self.post(1)
        await self.until(lambda: not self.rows(FORWARDED))
        self.assertEqual(self.rows("SELECT body FROM forwarded"), [(b"",)])

    async def test_updates_of_a_provider_without_a_handler_are_taken_for_ours_with_one_warning(self) -> None:
        project = {"slug": "a/b", "provider": {"type": "gitlab"}}
        build = {"id": "x", "commit": {"ref": "a" * 40}, "project": project}
        body = {"update": {"state": "running", "context": "c"}, "build": build}
        with capturedLogs() as events:
            for _ in range(2):
                answer = await self.call("POST", "/update", body)
        self.assertEqual(answer.json["key"], "c")
        self.assertEqual([event["upstream"] for event in events if event.get("event") == "forward.missing"], ["gitlab"])

    async def test_a_question_for_a_token_goes_to_githubs_handler_and_its_answer_back(self) -> None:
        answer = await self.call("GET", "/auth_lookup?type=github&refreshToken=a%2Bb%2Fc%20d")
        self.assertEqual((answer.status, answer.json), (200, {"access_token": "for a+b/c d"}))
        asked = self.github.server.requests[-1]
        self.assertEqual((asked.path, asked.query), ("/github/auth_lookup", "type=github&refreshToken=a%2Bb%2Fc%20d"))

    async def test_the_reaper_learns_of_githubs_pull_requests_from_githubs_handler(self) -> None:
        query = "?token=T&type=token&provider_id=1234"
        answer = await self.call("GET", f"/pull-request/hub/site/7{query}")
        self.assertEqual((answer.status, answer.json["state"]), (200, "open"))
        answer = await self.call("GET", f"/pull-request/hub/site/8{query}")
        self.assertEqual((answer.status, answer.json), (404, {"error": "hub/site has no 8"}))

    async def test_the_reaper_learns_of_our_pull_requests_from_us(self) -> None:
        self.unannounced()
        provider_id = quote(self.repository.uuid, safe="")
        for query in ("", f"?type=token&provider_id={provider_id}"):
            self.assertEqual((await self.call("GET", f"/pull-request/acme/site/1{query}")).json["state"], "open")
        self.assertEqual(list(self.github.server.requests), [])

    async def test_no_answer_that_would_be_deadly_is_passed_back(self) -> None:
        paths = ("/auth_lookup?type=github&refreshToken=x", "/pull-request/hub/site/7?provider_id=1")
        for path in paths:
            for trouble in DEADLY:
                fault = self.github.faults.add(Fault(trouble))
                answer = await self.call("GET", path)
                self.assertIn(answer.status, (502, 503), trouble)
                self.assertIn("the github handler", answer.json["error"])
                self.assertIsNone(answer.json.get("state"))
                self.github.faults.remove(fault)

    async def test_a_handler_that_is_not_there_is_answered_503(self) -> None:
        await self.github.server.stop()
        answer = await self.call("GET", "/auth_lookup?type=github&refreshToken=x")
        self.assertEqual(answer.status, 503)
        self.assertIn("the github handler", answer.json["error"])

    async def test_an_update_that_comes_back_to_us_ends_there_at_once(self) -> None:
        await self.stage.reload(forward={"github": self.stage.url})
        self.assertEqual((await self.post(1)).status, 200)
        await self.until(lambda: not self.rows(FORWARDED))
        [(failed, error)] = self.rows("SELECT failed, last_error FROM forwarded")
        self.assertTrue(failed)
        self.assertIn("the github handler answered 508: this was passed on from here before", error)
        self.assertIn("give the URL of the handler for github there", error)
        self.assertIn(error, await self.run_command("failed"))

        await self.stage.reload(forward={"github": self.github_url})
        await self.run_command("send-again", "gh-9")
        await self.until(lambda: self.numbers() == [1])

    async def test_a_question_that_comes_back_to_us_is_answered_at_once(self) -> None:
        await self.stage.reload(forward={"github": self.stage.url})
        for path in ("/auth_lookup?type=github&refreshToken=x", "/pull-request/hub/site/7?provider_id=1"):
            answer = await self.call("GET", path)
            self.assertEqual(answer.status, 508)
            self.assertIn("`forward.github` leads back to this handler", answer.json["error"])
            self.assertIsNone(answer.json.get("state"))

    async def test_what_comes_back_by_another_handler_is_known_again_after_a_restart(self) -> None:
        await self.post(1)
        await self.until(lambda: self.github.updates)
        headers = self.github.updates[0].headers
        await self.stage.stop_handler()
        self.stage.start_handler()
        body = {"update": {"state": "running", "context": "c"}, "build": {"id": "b", "project": GITHUBS}}
        ours = headers["x-probo-passed-on-by"]
        for trail, status in (("f00", 200), (f"f00, {ours}, ba5", 508), (f"{'f00, ' * 99}{ours}", 508)):
            sent = {"Content-Type": "application/json", "X-Probo-Passed-On-By": trail}
            self.assertEqual((await self.call("POST", "/update", body, sent)).status, status)
        await self.until(lambda: len(self.github.updates) == 2)
        trail = self.github.updates[1].headers["x-probo-passed-on-by"]
        self.assertEqual(trail, f"f00, {ours}")

    async def test_a_github_handler_that_hangs_does_not_hold_up_bitbuckets_statuses(self) -> None:
        self.github.faults.add(Fault(Hang()))
        await gatherResults(Deferred.fromCoroutine(self.post(n, f"c{n}", f"gh-{n}")) for n in range(100))
        pull_request = self.repository.open_pull_request()
        self.assertEqual(set((await self.built(pull_request)).values()), {"SUCCESSFUL"})


class ThreeHandlers(StageTestCase):
    """Two others behind ours, and a token in the path of those who call us."""

    async def prepare(self) -> None:
        self.github, self.gitlab = OtherHandler(reactor, "github"), OtherHandler(reactor, "gitlab")
        self.stage._given |= {
            "forward": {each.provider: await each.listen(reactor) for each in (self.github, self.gitlab)},
            "internalToken": canary("a-token-of-the-house"),
        }

    async def tearDown(self) -> None:  # type: ignore[override]
        await super().tearDown()
        for handler in (self.github, self.gitlab):
            await handler.server.stop()

    async def update_of(self, provider: str, slug: str) -> None:
        body = {
            "update": {"state": "running", "context": "c"},
            "build": {"id": slug, "project": {"slug": slug, "provider": {"type": provider}}},
        }
        path = f"/t/{canary('a-token-of-the-house')}/update"
        assert (await self.call("POST", path, body, {"Content-Type": "application/json"})).status == 200

    async def test_our_token_does_not_leave_the_house(self) -> None:
        await self.update_of("github", "hub/site")
        await self.until(lambda: self.github.updates)
        (taken,) = self.github.server.requests
        self.assertEqual(taken.path, "/github/update")

    async def test_the_reaper_is_sent_to_the_handler_that_knows_the_repository(self) -> None:
        await self.update_of("github", "hub/site")
        await self.update_of("gitlab", "lab/site")
        self.gitlab.pull_requests[7] = "closed"
        for slug, state in (("hub/site", "open"), ("lab/site", "closed")):
            answer = await self.call("GET", f"/pull-request/{slug}/7?provider_id=1234")
            self.assertEqual(answer.json["state"], state)

    async def test_nothing_is_closed_where_it_is_not_known_whose_it_is(self) -> None:
        answer = await self.call("GET", "/pull-request/new/site/7?provider_id=1234")
        self.assertEqual((answer.status, answer.json["state"]), (503, None))
        self.assertIn("which of github, gitlab has the repository new/site", answer.json["error"])
