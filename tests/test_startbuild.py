"""`POST /startbuild`: what the Container Manager gets, and that it gets it once."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet import reactor

from probo_bitbucket.sandbox.faults import HTML, JSON, Answer, Cut, Effect, Fault, Hang, LoseAnswer, Truncated
from probo_bitbucket.sandbox.stage import CONFIGURATION
from tests.staged import StageTestCase

START = "/startbuild"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class StartBuild(StageTestCase):
    async def document(self, **asked: Any) -> dict[str, Any]:
        """What is sent for a pull request."""
        await self.built(self.repository.open_pull_request(**asked))
        (document,) = self.started()
        return document  # type: ignore[no-any-return]

    async def test_the_document_is_the_one_of_the_contract(self) -> None:
        document = await self.document(title="Change the README", branch="feature/readme", files={}, description="Why")
        build, project = document["build"], document["project"]
        site = f"{self.cloud.url}/acme/site"
        ref = self.repository.pull_requests[1].commit
        handle = project["service_auth"]["token"]
        assert list(document) == ["build", "project"]
        assert UUID.fullmatch(build.pop("id"))
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", build.pop("createdAt"))
        assert build == {
            "projectId": "acme-site",
            "name": "Change the README",
            "type": "pull_request",
            "commit": {"ref": ref, "htmlUrl": f"{site}/commits/{ref}"},
            "branch": {"name": "feature/readme", "htmlUrl": f"{site}/branch/feature/readme"},
            "pullRequest": {
                "number": "1",
                "name": "Change the README",
                "description": "Why",
                "htmlUrl": f"{site}/pull-requests/1",
            },
            "config": {"steps": [{"name": "Hello", "command": "echo hi"}, {"name": "Fine", "command": "true"}]},
            "request": {
                "type": "pullrequest",
                "service": "bitbucket",
                "branch": "feature/readme",
                "branch_html_url": f"{site}/branch/feature/readme",
                "owner": "acme",
                "repo": "site",
                "repo_id": self.repository.uuid,
                "slug": "acme/site",
                "sha": ref,
                "commit_url": f"{site}/commits/{ref}",
                "pull_request": 1,
                "pull_request_name": "Change the README",
                "pull_request_description": "Why",
                "pull_request_html_url": f"{site}/pull-requests/1",
                "payload": {
                    "pullrequest": {
                        "links": {"html": {"href": f"{site}/pull-requests/1"}},
                        "author": {"display_name": "Robin Fern"},
                    }
                },
            },
        }
        assert project == {
            "id": "acme-site",
            "provider_id": self.repository.uuid,
            "owner": "acme",
            "repo": "site",
            "slug": "acme/site",
            "provider": {"type": "bitbucket", "slug": "bitbucket"},
            "service_auth": {"token": handle, "refreshToken": handle, "type": "token"},
        }

    async def test_it_is_json_of_a_known_length_and_never_empty(self) -> None:
        await self.document()
        for request in self.posted(START):
            assert request.headers["content-type"] == "application/json"
            assert int(request.headers["content-length"]) == len(request.body) > 2

    async def test_no_token_of_bitbucket_leaves_the_house(self) -> None:
        await self.document()
        secrets = {self.stage.refresh_token, *self.cloud.credentials._bearers, *self.cloud.credentials._refresh_tokens}
        assert not any(secret.encode() in request.body for secret in secrets for request in self.posted(START))

    async def test_a_refusal_in_the_words_of_javascript_is_shown_and_not_tried_again(self) -> None:
        words = b'{"error": "Cannot read properties of undefined (reading \'image\')"}'
        self.container_manager.faults.add(Fault(Answer(500, words, JSON), START))
        pull_request = self.repository.open_pull_request()
        await self.until(pull_request.shown)
        await self.settled()
        (status,) = pull_request.shown()
        assert (status.key, str(status.state)) == ("ProboCI/env", "FAILED")
        assert "Cannot read properties of undefined (reading 'image')" in status.description
        assert len(self.posted(START)) == 1

    def about(self) -> list[tuple[str, str]]:
        """What the Container Manager was asked for."""
        return [(each.method, each.path.split("/")[1]) for each in self.container_manager.requests]

    async def test_after_a_lost_answer_an_update_is_proof_enough_that_the_build_was_started(self) -> None:
        self.container_manager.faults.add(Fault(LoseAnswer(), START, times=1))
        await self.document_in_spite_of_trouble()
        assert self.about() == [("POST", "startbuild")]

    async def test_a_lost_answer_without_an_update_leads_to_a_question_before_any_second_try(self) -> None:
        self.container_manager.setting.handler_url = "http://127.0.0.1:1"
        self.container_manager.faults.add(Fault(LoseAnswer(), START, times=1))
        self.repository.open_pull_request()
        await self.until(lambda: self.rows("SELECT id FROM builds WHERE state = 'running'"))
        assert self.about() == [("POST", "startbuild"), ("GET", "builds")]
        assert list(self.container_manager.started.values()) == [1]

    async def document_in_spite_of_trouble(self) -> None:
        pull_request = self.repository.open_pull_request()
        states = await self.built(pull_request)
        assert set(states.values()) == {"SUCCESSFUL"}
        assert list(self.container_manager.started.values()) == [1]
        assert len({document["build"]["id"] for document in self.started()}) == 1
        self.check_container_manager()

    async def test_every_trouble_of_the_container_manager_passes_and_leads_to_one_build(self) -> None:
        troubles: tuple[Effect, ...] = (
            Answer(500, b'{"error": "EMFILE"}', JSON),
            Answer(429),
            Answer(200, b"<html>Welcome to nginx</html>", HTML),
            Truncated(),
            Hang(),
            Cut(),
        )
        for trouble in troubles:
            self.container_manager.faults.add(Fault(trouble, START, times=1))
        await self.document_in_spite_of_trouble()

    async def test_a_question_that_is_not_answered_is_asked_again_before_the_build_is_sent_again(self) -> None:
        self.container_manager.faults.add(Fault(LoseAnswer(), START, times=1))
        for trouble in (Answer(500), Answer(200, b"<html></html>", HTML), Truncated(), Hang()):
            self.container_manager.faults.add(Fault(trouble, "/builds/.*", "GET", times=1))
        self.container_manager.setting.handler_url = "http://127.0.0.1:1"  # no update is a proof
        self.repository.open_pull_request()
        await self.until(lambda: self.rows("SELECT id FROM builds WHERE state = 'running'"))
        assert len(self.posted(START)) == 1
        assert list(self.container_manager.started.values()) == [1]

    async def test_a_container_manager_that_is_not_there_is_waited_for(self) -> None:
        port = int(self.stage.settings().api_url.rpartition(":")[2])
        await self.container_manager.stop()
        pull_request = self.repository.open_pull_request()
        await self.until(lambda: self.rows("SELECT id FROM builds WHERE attempts > 1"))
        await self.container_manager.listen(reactor, port)
        assert set((await self.built(pull_request)).values()) == {"SUCCESSFUL"}

    async def test_two_repositories_whose_names_join_to_the_same_are_two_projects_for_good(self) -> None:
        for full_name in ("a-b/c", "a/b-c"):
            repository = self.cloud.add_repository(full_name, {".probo.yaml": CONFIGURATION})
            self.stage.watch(full_name)
            await self.built(repository.open_pull_request(files={"x": b"x"}))
            repository.pull_requests[1].push()
            await self.built(repository.pull_requests[1])
        ids = [document["project"]["id"] for document in self.started()]
        assert ids[0] == ids[1] == "a-b-c"
        assert ids[2] == ids[3] != "a-b-c"
        assert re.fullmatch(r"a-b-c-[0-9a-f]{6}", ids[2])

    async def test_a_build_that_is_asked_for_by_its_hash_belongs_to_the_project_of_its_repository(self) -> None:
        await self.built(self.repository.open_pull_request())
        head = self.repository.branches["main"]
        answer = await self.call("POST", "/builds/hash", {"project": {"slug": "acme/site"}, "sha": head})
        assert answer.status == 200
        await self.settled()
        assert [document["project"]["id"] for document in self.started()] == ["acme-site", "acme-site"]

    async def test_a_project_that_was_first_built_by_a_hash_keeps_its_id(self) -> None:
        head = self.repository.branches["main"]
        await self.call("POST", "/builds/hash", {"project": {"slug": "acme/site"}, "sha": head})
        await self.built(self.repository.open_pull_request())
        assert [document["project"]["id"] for document in self.started()] == ["acme-site", "acme-site"]

    async def test_api_url_may_have_a_path(self) -> None:
        url = self.stage.settings().api_url
        await self.stage.stop_handler()
        self.stage._given["api"] = {"url": f"{url}/probo"}
        self.stage.start_handler()
        self.repository.open_pull_request()
        await self.until(lambda: self.posted("/probo/startbuild"))


class Sprint7StartBuild(StartBuild):
    async def prepare(self) -> None:
        self.container_manager.setting.variant = "sprint7"
