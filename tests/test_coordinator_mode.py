"""Coordinator mode: `api.token` is set, and projects and their refresh tokens are the coordinator's."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import parse_qs, quote

from twisted.internet import reactor

from probo_bitbucket.flow.oversight import silence
from probo_bitbucket.sandbox.coordinator import Coordinator
from probo_bitbucket.sandbox.faults import HTML, JSON, Answer, Cut, Fault, Hang, LoseAnswer
from probo_bitbucket.sandbox.pullrequest import PullRequest
from probo_bitbucket.sandbox.stage import CONFIGURATION, KEY
from tests.canaries import canary
from tests.staged import StageTestCase

TOKENS = "/projects/tokens"
NO_PROJECT = ("cancelled", "the coordinator has no project for acme/site")


class Coordinated(StageTestCase):
    """The stage's settings have a refresh token of their own, as those of the Node handlers."""

    settings: ClassVar[dict[str, Any]] = {"forks": "always"}

    async def prepare(self) -> None:
        self.coordinator = Coordinator(reactor, self.container_manager, token=canary("the-token"), projects={})
        self.stage._given["api"] = {"url": await self.coordinator.listen(reactor), "token": canary("the-token")}
        self.first = self.add_project("acme/site", "project-7")

    async def tearDown(self) -> None:  # type: ignore[override]
        await super().tearDown()
        await self.coordinator.stop()

    def add_project(self, full_name: str, id: str) -> str:
        """Give the coordinator a project with a refresh token of its own; returns that."""
        owner, repo = full_name.split("/")
        token = self.cloud.credentials.issue_refresh_token(KEY)
        self.coordinator.projects[full_name] = {
            "id": id,
            "owner": owner,
            "repo": repo,
            "slug": full_name,
            "service_auth": {"token": canary("T"), "refreshToken": token, "type": "token"},
            "provider": {"type": "bitbucket", "slug": "bitbucket"},
            "organization": {"name": "Acme"},
        }
        return token

    def started(self) -> list[Any]:
        return [{"build": build} for build in self.container_manager.builds.values()]

    def told(self, path: str) -> list[Any]:
        """The requests to the coordinator."""
        return [each for each in self.coordinator.requests if each.path == path]

    def held(self, full_name: str = "acme/site") -> str:
        """The refresh token that the coordinator has."""
        return str(self.coordinator.projects[full_name]["service_auth"]["refreshToken"])

    async def reasons(self, count: int) -> list[tuple[str, str]]:
        """State and reason of all builds, once there are *count* and none is to be started."""
        await self.until(lambda: self.rows("SELECT count(*) FROM builds WHERE NOT pending") == [(count,)])
        return self.rows("SELECT state, reason FROM builds ORDER BY created_at")

    async def restart(self) -> None:
        await self.stage.stop_handler()
        self.stage.start_handler()

    async def test_the_project_and_its_credentials_are_the_coordinators(self) -> None:
        given = {**self.coordinator.projects["acme/site"]}
        pull_request = self.repository.open_pull_request()
        self.assertEqual(set((await self.built(pull_request)).values()), {"SUCCESSFUL"})
        ((build,),) = [list(self.container_manager.builds.values())]
        self.assertEqual(build["projectId"], "project-7")
        self.assertEqual({**build["project"], "service_auth": None}, {**given, "service_auth": None})
        self.assertEqual(
            {each.headers["authorization"] for each in self.coordinator.requests}, {f"Bearer {canary('the-token')}"}
        )
        self.assertEqual(self.coordinator.requests[0].query, "service=bitbucket&slug=acme%2Fsite&single=true")

    async def test_what_runs_is_not_said_to_be_taken_down(self) -> None:
        await self.built(self.repository.open_pull_request())
        ((build_id,),) = self.rows("SELECT id FROM builds")
        answer = await self.call("POST", f"/api/builds/{build_id}/take-down", b"")
        self.assertEqual((answer.status, "the coordinator" in answer.json["error"]), (409, True))
        self.assertEqual(self.rows("SELECT 1 FROM removals"), [])

    async def test_what_an_operator_names_is_built_of_the_coordinators_project(self) -> None:
        pull_request = self.unannounced()
        commit = self.repository.push("wip", {"f": b"f"})
        for order in ({"pull_request": pull_request.number}, {"commit": commit.hash}):
            answer = await self.call("POST", "/api/builds", {"repository": "acme/site", **order})
            self.assertEqual(answer.status, 202, answer.json)
        await self.until(lambda: len(self.container_manager.builds) == 2)
        await self.settled()
        built = self.container_manager.builds.values()
        self.assertEqual({build["projectId"] for build in built}, {"project-7"})
        self.assertEqual({build["commit"]["ref"] for build in built}, {pull_request.commit, commit.hash})
        self.assertEqual(set(self.states(pull_request).values()), {"SUCCESSFUL"})

    async def test_what_an_operator_names_without_a_project_is_answered_with_why(self) -> None:
        self.coordinator.projects.clear()
        answer = await self.call("POST", "/api/builds", {"repository": "acme/site", "pull_request": 1})
        self.assertEqual((answer.status, answer.json["error"]), (404, "the coordinator has no project for acme/site"))
        self.assertEqual(self.started(), [])

    async def test_the_tokens_of_the_coordinator_stay_out_of_the_stored_document(self) -> None:
        await self.built(self.repository.open_pull_request())
        ((document,),) = self.rows("SELECT document FROM builds")
        self.assertNotIn("service_auth", document)

    async def test_the_refresh_token_of_the_settings_is_not_used(self) -> None:
        await self.built(self.repository.open_pull_request())
        forms = [parse_qs(each.body.decode()) for each in self.asked("/site/oauth2/access_token", "POST")]
        shown = [form["refresh_token"] for form in forms]
        self.assertIn([self.first], shown)
        self.assertNotIn([self.stage.refresh_token], shown)

    async def test_each_project_is_reached_by_its_own_tokens_and_its_own_are_handed_on(self) -> None:
        second = self.add_project("globex/shop", "project-8")
        other = self.cloud.add_repository("globex/shop", {".probo.yaml": CONFIGURATION})
        self.stage.watch("globex/shop")
        for repository in (self.repository, other):
            self.assertEqual(set((await self.built(repository.open_pull_request())).values()), {"SUCCESSFUL"})
        await self.until(lambda: len(self.coordinator.tokens) == 2)
        tokens = {each.project_id: each for each in self.coordinator.tokens}
        for id, first, part in (("project-7", self.first, "/acme/site/"), ("project-8", second, "/globex/shop/")):
            self.assertEqual(tokens[id].previous_refresh_token, first)
            used = {each.headers["authorization"] for each in self.asked(part)}
            self.assertEqual(used, {f"Bearer {tokens[id].token}"})

    async def test_any_token_of_a_projects_chain_is_answered_and_no_other(self) -> None:
        await self.built(self.repository.open_pull_request())
        await self.until(lambda: self.held() != self.first)
        for token, status in ((self.first, 200), (self.held(), 200), (self.stage.refresh_token, 403), ("x", 403)):
            answer = await self.call("GET", f"/auth_lookup?type=bitbucket&refreshToken={quote(token, safe='')}")
            self.assertEqual(answer.status, status, token)

    async def test_renewed_tokens_are_handed_on_after_a_restart(self) -> None:
        fault = self.coordinator.faults.add(Fault(Answer(503), TOKENS))
        await self.built(self.repository.open_pull_request())
        await self.until(lambda: self.told(TOKENS))
        await self.stage.stop_handler()
        self.assertEqual(self.held(), self.first)
        self.coordinator.faults.remove(fault)
        self.stage.start_handler()
        await self.until(lambda: self.coordinator.tokens)
        (tokens,) = self.coordinator.tokens
        self.assertEqual((tokens.project_id, tokens.previous_refresh_token), ("project-7", self.first))
        self.assertEqual(self.rows("SELECT refresh_token FROM chains"), [(self.held(),)])

    async def test_projects_that_share_a_token_all_get_the_newest(self) -> None:
        self.add_project("globex/shop", "project-8")
        self.coordinator.projects["globex/shop"]["service_auth"]["refreshToken"] = self.first
        await self.built(self.repository.open_pull_request())
        await self.until(lambda: self.held() != self.first)
        self.assertEqual(self.held("globex/shop"), self.held())

    async def test_a_repository_without_a_project_is_recorded_and_not_asked_about_again(self) -> None:
        self.coordinator.projects.clear()
        for null in (False, True):
            self.coordinator._null_where_unknown = null
            pull_request = self.repository.open_pull_request(branch=f"null-{null}")
            self.assertEqual(set(await self.reasons(1 + null)), {NO_PROJECT})
            self.assertEqual(self.states(pull_request), {})
        await self.restart()
        self.assertEqual(len(self.told("/projects")), 2)
        self.assertEqual(self.started(), [])

    async def test_a_project_that_appears_later_is_built_by_the_next_delivery_of_the_same_commit(self) -> None:
        projects, self.coordinator.projects = self.coordinator.projects, {}
        pull_request = self.repository.open_pull_request()
        await self.reasons(1)
        self.coordinator.projects = projects
        await self.deliver("pullrequest:updated", self.pull_request_body(pull_request))
        self.assertEqual(set((await self.built(pull_request)).values()), {"SUCCESSFUL"})

    async def test_a_project_that_vanishes_before_the_start_is_recorded(self) -> None:
        self.container_manager.setting.images = frozenset()
        self.coordinator.faults.add(Fault(Answer(503), "/startbuild", times=1))
        self.repository.open_pull_request()
        await self.until(lambda: self.told("/startbuild"))
        self.coordinator.projects.clear()
        self.assertEqual(await self.reasons(1), [NO_PROJECT])

    async def test_statuses_of_a_repository_whose_project_is_gone_are_given_up(self) -> None:
        await self.built(self.repository.open_pull_request())
        self.coordinator.projects.clear()
        (build,) = self.container_manager.builds.values()
        body = {"update": {"state": "success", "context": "Late"}, "build": build}
        self.assertEqual((await self.call("POST", "/update", body)).status, 200)
        await self.until(lambda: self.rows("SELECT key FROM statuses WHERE failed") == [("Late",)])
        ((said,),) = self.rows("SELECT last_error FROM statuses WHERE failed")
        self.assertEqual(said, "the coordinator has no project for acme/site")

    async def test_the_reaper_is_told_nothing_of_a_repository_without_a_project(self) -> None:
        self.unannounced()
        self.assertEqual((await self.call("GET", "/pull-request/acme/site/1")).json["state"], "open")
        self.coordinator.projects.clear()
        answer = await self.call("GET", "/pull-request/acme/site/1")
        self.assertEqual((answer.status, answer.json["state"]), (502, None))

    async def test_troubles_of_the_coordinator_pass(self) -> None:
        for trouble in (Answer(500), Answer(200, b"<html></html>", HTML), Answer(200, b"[]", JSON), Hang(), Cut()):
            self.coordinator.faults.add(Fault(trouble, "/projects", times=1))
        self.repository.open_pull_request()
        await self.until(self.started)

    async def test_a_project_without_an_id_is_not_built_and_says_why(self) -> None:
        del self.coordinator.projects["acme/site"]["id"]
        self.repository.open_pull_request()
        await self.decided(1)
        await self.until(lambda: self.rows("SELECT id FROM builds WHERE attempts > 0 OR NOT pending"))
        self.assertEqual(self.started(), [])
        ((said,),) = self.rows("SELECT reason || last_error FROM builds")
        self.assertIn("a project that is not an object with an id", said)

    async def lose_the_answer(self, **asked: Any) -> PullRequest:
        """Open a pull request whose build is started although the answer to that is lost."""
        self.coordinator.faults.add(Fault(LoseAnswer(), "/startbuild", times=1))
        return self.repository.open_pull_request(**asked)

    async def test_an_update_of_a_build_is_proof_enough_that_it_was_started(self) -> None:
        pull_request = await self.lose_the_answer()
        self.assertEqual(set((await self.built(pull_request)).values()), {"SUCCESSFUL"})
        self.assertEqual(list(self.container_manager.started.values()), [1])
        self.assertEqual(len(self.told("/startbuild")), 1)

    async def test_a_coordinator_that_cannot_be_asked_for_builds_is_sent_the_build_again(self) -> None:
        for answered in (Answer(404), Answer(405), Answer(403), Answer(302), Answer(200, b"<html></html>", HTML)):
            self.coordinator.faults.add(Fault(Cut(), "/startbuild", times=1))
            fault = self.coordinator.faults.add(Fault(answered, "/builds/.*", "GET"))
            pull_request = self.repository.open_pull_request(branch=f"b{id(answered)}")
            self.assertEqual(set((await self.built(pull_request)).values()), {"SUCCESSFUL"}, answered)
            self.coordinator.faults.remove(fault)
        self.assertEqual(set(self.container_manager.started.values()), {1})

    async def test_the_end_of_a_pull_request_is_told_to_the_coordinator_once_and_nothing_is_taken_down(self) -> None:
        merged, declined = (self.repository.open_pull_request(branch=branch) for branch in ("one", "two"))
        for pull_request in (merged, declined):
            await self.built(pull_request)
        for trouble in (Answer(503), Cut()):
            self.coordinator.faults.add(Fault(trouble, "/pr-closed", times=1))
        merged.merge()
        declined.decline()
        await self.until(lambda: len(self.coordinator.closed) == 2)
        self.assertEqual(set(self.coordinator.closed), {("project-7", "one"), ("project-7", "two")})
        await self.until(lambda: not self.rows("SELECT number FROM pull_requests WHERE pending"))
        self.assertEqual(len(self.coordinator.closed), 2)
        methods = {each.method for each in (*self.coordinator.requests, *self.container_manager.requests)}
        self.assertNotIn("DELETE", methods)

    async def test_the_end_of_a_pull_request_without_a_project_is_told_to_nobody(self) -> None:
        pull_request = self.repository.open_pull_request()
        await self.built(pull_request)
        self.coordinator.projects.clear()
        pull_request.merge()
        await self.decided(2)
        await self.until(lambda: not self.rows("SELECT number FROM pull_requests WHERE pending"))
        self.assertEqual(self.coordinator.closed, [])

    async def test_a_fork_is_read_and_reported_with_the_credentials_of_the_project_of_its_pull_request(self) -> None:
        fork = self.cloud.fork(self.repository, "robin/site")
        pull_request = self.repository.open_pull_request("From afar", "patch", {"a": b"a"}, source=fork)
        assert await self.built(pull_request), "something is shown"
        assert {each.path.split("/")[3] for each in self.asked("/statuses/", "POST")} == {"robin"}
        assert set(self.rows("SELECT last_error FROM statuses")) == {("",)}

    async def test_updates_that_do_not_come_are_the_coordinators_to_send(self) -> None:
        self.patch(silence, "_PATIENCE", 0.0)
        self.container_manager.setting.handler_url = "http://127.0.0.1:9"  # nobody is there
        self.repository.open_pull_request(files={"a": b"1"})
        await self.until(lambda: self.rows("SELECT 1 FROM builds WHERE started_at IS NOT NULL"))
        [warning] = (await self.call("GET", "/api/status")).json["warnings"]
        self.assertIn("of it no update came: have the coordinator send its updates to this daemon", warning["trouble"])
        checked = (await self.call("POST", "/api/check")).json["verdicts"]
        [told] = [each["advice"] for each in checked if each["subject"] == "updates"]
        self.assertIn("have the coordinator send", told)
