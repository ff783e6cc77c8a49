"""The simulated Container Manager: what goes over the wire is what was recorded of the real one."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
import treq
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import Request

from probo_bitbucket.sandbox.build_run import Fatal, escape
from probo_bitbucket.sandbox.container_manager import ContainerManager
from probo_bitbucket.sandbox.faults import Answer, Cut, Fault, Hang, Slow
from probo_bitbucket.sandbox.server import Server

pytestmark = pytest.mark.secret_in("asked", "in place of the handler, a simulator is asked, with the project's tokens")

ID = "aa3361ab-1e02-4c94-aa7a-b875ec3fc2c8"
NAME = f"probo--acme.site--acme-site--{ID}"
STATUS, AUTH, ARCHIVE = "/builds/.*", "/auth_lookup", "/acme/site/get/.*"
STEPS = [{"name": "Hello", "command": "echo hi"}, {"name": "Fail", "command": "false"}]


class Handler(Resource):
    """Answers as a handler, and as Bitbucket, that have nothing against it."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        request.setHeader("Content-Type", "application/json")
        if request.path == AUTH.encode():
            return b'{"access_token": "c4n4ry-AT"}'
        return b"\x1f\x8b archive" if request.method == b"GET" else b"{}"


def document(**build: Any) -> dict[str, Any]:
    return {
        "build": {
            "id": ID,
            "commit": {"ref": "d96c25c4ae50"},
            "branch": {"name": "feature/readme"},
            "config": {"steps": STEPS},
            **build,
        },
        "project": {
            "id": "acme-site",
            "owner": "acme",
            "repo": "site",
            "slug": "acme/site",
            "service_auth": {"token": "c4n4ry-AT0", "refreshToken": "c4n4ry-a+b/c=d e&f%g", "type": "token"},
            "provider": {"type": "bitbucket", "slug": "bitbucket"},
        },
    }


class ContainerManagerTestCase(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.handler = Server(reactor, Handler())
        self.handler_url = await self.handler.listen(reactor)
        self.events: list[str] = []
        await self.begin()

    async def begin(self, **setting: Any) -> None:
        self.cm = ContainerManager(
            reactor,
            handler_url=self.handler_url,
            auth_url=self.handler_url + AUTH,
            archive_url=self.handler_url,
            instance_name="Acme",
            on_event=lambda build_id, line: self.events.append(line),
            **setting,
        )
        self.url = await self.cm.listen(reactor)

    async def begin_again(self, **setting: Any) -> None:
        await self.cm.stop()
        await self.begin(**setting)

    async def tearDown(self) -> None:  # type: ignore[override]
        await self.cm.stop()
        await self.handler.stop()

    async def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        headers = Headers({"Content-Type": [kind]} if body is not None else {})
        answer = await treq.request(method, self.url + path, headers=headers, data=body, agent=Agent(reactor))
        return answer.code, json.loads(await answer.content())

    async def start(self, **build: Any) -> Any:
        return await self.ask("POST", "/startbuild", json.dumps(document(**build)).encode())

    async def build(self, **build: Any) -> Any:
        answer = await self.start(**build)
        await self.cm.wait_for(ID)
        return answer

    def statuses(self) -> list[tuple[str, str, str]]:
        """What the handler was told, in the order in which it came."""
        updates = [json.loads(r.body)["update"] for r in self.handler.requests if r.method == "POST"]
        return [(update["context"], update["state"], update["description"]) for update in updates]


class ContainerManagerTests(ContainerManagerTestCase):
    async def test_a_build_is_reported_in_the_recorded_order(self) -> None:
        answer = await self.build()
        assert answer == (
            200,
            {"status": "build started", "container": {"id": NAME, "name": NAME}, "build": {"id": ID}, "steps": 3},
        )
        download = "[▶] BitbucketDownloader acme/site @ d96c25c4ae50"
        assert self.statuses() == [
            ("Acme/env", "running", "[▶] The hamsters are working hard on your setup"),
            ("Acme/env", "success", "[▶] Environment built"),
            ("Acme/env", "running", download),
            ("Acme/env", "success", download),
            ("Acme/env", "success", "[■] Environment ready"),
            ("Acme/Shell/Hello", "pending", "[⌛] echo hi"),
            ("Acme/Shell/Fail", "pending", "[⌛] false"),
            ("Acme/Shell/Hello", "running", "[▶] echo hi"),
            ("Acme/Shell/Hello", "success", "[■] echo hi"),
            ("Acme/Shell/Fail", "running", "[▶] false"),
            ("Acme/Shell/Fail", "error", "[■] false"),
        ]
        assert self.events[-1] == "ended: error"

    async def test_the_last_call_is_the_recorded_one(self) -> None:
        await self.build(createdAt="2026-11-22T10:00:00.000Z")
        call = self.handler.requests[-1]
        assert call.path == f"/builds/{ID}/status/Acme%2FShell%2FFail"
        assert (call.headers["authorization"], call.headers["connection"]) == ("Bearer undefined", "close")
        sent = json.loads(call.body)
        task = sent["update"].pop("task")
        assert sent["update"] == {
            "state": "error",
            "description": "[■] false",
            "context": "Acme/Shell/Fail",
            "target_url": f"http://{ID}.example.com:3050/",
        }
        assert (task["name"], task["plugin"], task["timeout"], len(task["id"])) == ("Fail", "Shell", 6000, 16)
        assert task["result"] == {"code": 1, "time": 40}
        build = sent["build"]
        assert build["project"] == document()["project"]
        assert (build["id"], build["active"], build["status"]) == (ID, True, "running")
        assert build["createdAt"] == "2026-11-22T10:00:00.000Z"
        assert build["container"]["name"] == NAME
        steps = [(step["name"], step["state"], step["result"]["code"]) for step in build["steps"]]
        assert steps == [("BitbucketDownloader task", "success", 0), ("Hello", "success", 0), ("Fail", "running", 1)]

    async def test_the_archive_is_fetched_with_the_token_of_the_lookup(self) -> None:
        await self.build()
        [lookup, archive] = [request for request in self.handler.requests if request.method == "GET"]
        assert lookup.query == "type=bitbucket&refreshToken=c4n4ry-a%2Bb%2Fc%3Dd%20e%26f%25g"
        assert "authorization" not in lookup.headers
        assert archive.path == "/acme/site/get/d96c25c4ae50.tar.gz"
        assert archive.headers["authorization"] == "Bearer c4n4ry-AT"

    async def test_sprint_7_and_a_missing_build_url_leave_the_target_url_out(self) -> None:
        for setting in ({"variant": "sprint7"}, {"build_url": None}):
            await self.begin_again(**setting)
            self.handler.requests.clear()
            await self.build()
            assert not any(b"target_url" in request.body for request in self.handler.requests)

    def test_a_context_is_escaped_as_node_does(self) -> None:
        escaped = "100%25%20(it%27s)%20%2B%20%231%3F%20%26%20a%3Db%3Bc%3Ad%40e%2C!~*"
        assert escape("100% (it's) + #1? & a=b;c:d@e,!~*") == escaped
        assert escape("Größe ✓\n") == "Gr%C3%B6%C3%9Fe%20%E2%9C%93%0A"

    async def test_an_escaped_context_arrives_as_it_was_escaped(self) -> None:
        await self.build(config={"steps": [{"name": "100% (it's) ✓ a/b!", "command": "true"}]})
        escaped = "Acme%2FShell%2F100%25%20(it%27s)%20%E2%9C%93%20a%2Fb!"
        assert self.handler.requests[-1].path == f"/builds/{ID}/status/{escaped}"

    async def test_assets_are_fetched_and_unknown_plugins_vanish(self) -> None:
        steps = [{"plugin": "Nope"}, {"plugin": "LAMPApp"}]
        _, answer = await self.build(config={"assets": ["db.sql.gz", {"id1": "files.tgz"}], "steps": steps})
        assert answer["steps"] == 3
        assert ("Acme/env", "success", "[▶] AssetDownloader db.sql.gz, id1") in self.statuses()
        assert self.statuses()[-1] == (
            "Acme/LAMPApp/LAMPApp task",
            "success",
            "[■] LAMPApp 'Provisioning LAMP Application!'",
        )

    async def test_a_refused_lookup_leads_to_a_failing_download(self) -> None:
        self.handler.faults.add(Fault(Answer(503, b'{"error": "no token"}'), path=AUTH))
        self.handler.faults.add(Fault(Answer(401), path=ARCHIVE))
        await self.build()
        assert self.handler.requests[-3].headers["authorization"] == "Bearer undefined"
        assert self.statuses()[-2:] == [
            ("Acme/env", "error", "[▶] BitbucketDownloader acme/site @ d96c25c4ae50"),
            (
                "Acme/env",
                "error",
                "[■] Environment build failed: Setup task BitbucketDownloader task failed with exit code 1",
            ),
        ]
        build = self.cm.builds[ID]
        assert (build["status"], build["active"], build["container"]["state"]) == ("error", False, "stopped")

    async def test_a_lookup_cut_off_is_told_to_the_author(self) -> None:
        self.handler.faults.add(Fault(Cut(), path=AUTH))
        await self.build()
        assert self.statuses()[-1][1:] == ("error", "[■] Environment build failed: socket hang up")

    async def test_an_unknown_image_leaves_the_build_active_for_ever(self) -> None:
        await self.build(config={"image": "nope:1"})
        assert self.statuses()[-1][2].startswith("[■] Use an approved Probo Image in your .probo.yaml file.")
        assert (self.cm.builds[ID]["active"], self.cm.builds[ID]["status"]) == (True, "running")
        assert await self.ask("GET", "/builds") == (200, [])

    async def test_a_status_that_is_refused_is_never_sent_again_and_missing_from_the_build(self) -> None:
        self.handler.faults.add(Fault(Answer(500), path=".*Hello"))
        await self.build()
        assert len(self.statuses()) == 11
        steps = [step["name"] for step in self.cm.builds[ID]["steps"]]
        assert steps == ["BitbucketDownloader task", "Fail"]

    async def test_an_answer_that_hangs_stops_the_build_only_where_it_waits(self) -> None:
        self.handler.faults.add(Fault(Hang(), path=".*Hello"))
        await self.start()
        while self.cm.builds[ID]["active"]:
            await self.turn()
        self.handler.faults.add(Fault(Hang(), path=STATUS))
        self.handler.requests.clear()
        await self.start(id="other")
        while not self.handler.requests:
            await self.turn()
        assert self.cm.builds["other"]["active"]
        assert len(self.cm.calls) == 11 + 2 + 1

    async def turn(self) -> None:
        turned: Deferred[None] = Deferred()
        reactor.callLater(0, turned.callback, None)
        await turned

    async def test_null_as_an_answer_to_the_lookup_hangs_v4_5_3_and_ends_sprint_7(self) -> None:
        self.handler.faults.add(Fault(Answer(200, b"null"), path=AUTH))
        await self.start()
        await self.assertFailure(self.cm.wait_for(ID), Fatal)
        assert len(self.cm.stuck) == 1
        assert not self.cm.died
        await self.begin_again(variant="sprint7")
        waiting = self.cm.wait_for(ID)
        starting = ensureDeferred(self.start())
        await self.assertFailure(waiting, Fatal)
        assert "/auth_lookup" in self.cm.died
        await starting
        await self.assertFailure(ensureDeferred(self.ask("GET", "/builds")), Exception)

    async def test_null_as_an_answer_to_a_status_hangs_v4_5_3(self) -> None:
        self.handler.faults.add(Fault(Answer(200, b"null"), path=STATUS))
        await self.start()
        await self.assertFailure(self.cm.wait_for(ID), Fatal)
        assert self.cm.stuck

    async def test_a_body_without_a_build_ends_sprint_7(self) -> None:
        cases = [(None, ""), (b"{}", "application/json"), (b"[]", "application/json"), (b"null", "application/json")]
        cases += [(b'{"build": null}', "application/json"), (b'{"build": {}}', "text/plain")]
        for body, kind in cases:
            await self.begin_again(variant="sprint7")
            await self.assertFailure(ensureDeferred(self.ask("POST", "/startbuild", body, kind)), Exception)
            assert self.cm.died, body

    async def test_what_is_missing_is_refused_in_node_s_words(self) -> None:
        cases: list[tuple[dict[str, Any], str]] = [
            ({"project": None}, "Cannot read properties of null (reading 'slug')"),
            ({"project": {}}, "Cannot read properties of undefined (reading 'replace')"),
            ({"project": {"slug": "a/b"}}, "Cannot read properties of undefined (reading 'type')"),
            ({"project": {"slug": "a/b", "provider": {"type": "svn"}}}, "Download: unsupported provider type: svn"),
            ({"build": {}}, "Cannot read properties of undefined (reading 'ref')"),
            ({"build": {"commit": {"ref": "1"}}}, "Cannot read properties of undefined (reading 'image')"),
            (document(config=None), "Cannot read properties of null (reading 'image')"),
            (document(config={"steps": [None]}), "Cannot read properties of null (reading 'plugin')"),
        ]
        for case, error in cases:
            body = json.dumps({**document(), **case}).encode()
            assert await self.ask("POST", "/startbuild", body) == (500, {"error": error})
        assert not self.handler.requests
        assert not self.cm.started

    async def test_a_build_started_twice_at_once_is_told_so(self) -> None:
        await self.begin_again(step_time=0.2)
        await self.start()
        await self.start()
        await self.cm.wait_for(ID)
        assert ("Acme/env", "error", "[■] Build already in progress") in self.statuses()
        assert self.cm.started[ID] == 2
        assert self.cm.builds[ID]["active"] is False

    async def test_a_build_started_after_its_end_runs_again_with_new_tasks(self) -> None:
        await self.build()
        first = {step["id"] for step in self.cm.builds[ID]["steps"]}
        await self.build()
        assert ("Acme/env", "success", "[▶] Reusing existing environment") in self.statuses()
        assert not first & {step["id"] for step in self.cm.builds[ID]["steps"]}
        assert len(self.statuses()) == 22

    async def test_builds_can_be_read_pinned_and_run_again(self) -> None:
        missing = (404, {"message": f"Key not found in database [builds!{ID}]"})
        assert await self.ask("GET", f"/builds/{ID}") == missing
        assert await self.ask("PUT", f"/builds/{ID}/pin") == missing
        await self.build()
        assert (await self.ask("PUT", f"/builds/{ID}/pin"))[1]["pinned"] is True
        assert (await self.ask("PUT", f"/builds/{ID}/unpin"))[1]["pinned"] is False
        assert (await self.ask("POST", f"/builds/{ID}"))[1]["steps"] == 3
        await self.cm.wait_for(ID)
        _, [build] = await self.ask("GET", "/builds")
        assert len(build["steps"]) == 6
        assert (await self.ask("GET", "/containers"))[1]["stopped"] == 1
        assert (await self.ask("GET", "/nope"))[1]["message"] == "/nope does not exist"

    async def test_a_removed_build_says_why_and_is_not_listed(self) -> None:
        await self.build()
        path = f"/builds/{ID}?reason=4&reasonText=The%20PR%20is%20closed&reapedDate=1700000000000&force=true"
        assert (await self.ask("DELETE", path))[1]["status"] == "removed"
        assert await self.ask("GET", "/builds") == (200, [])
        _, [build] = await self.ask("GET", "/builds?all=true")
        assert build["container"]["state"] == "deleted"
        reaped = {"reaped": True, "reapedReason": "4", "reapedReasonText": "The PR is closed"}
        assert build.items() >= {**reaped, "reapedDate": "1700000000000"}.items()
        assert (await self.ask("DELETE", path))[0] == 404
        assert (await self.ask("DELETE", "/builds/nope"))[0] == 500

    async def test_to_remove_a_running_build_without_force_ends_sprint_7(self) -> None:
        await self.begin_again(step_time=60)
        await self.start()
        while "container" not in self.cm.builds[ID]:
            await self.turn()
        assert (await self.ask("DELETE", f"/builds/{ID}"))[0] == 409
        self.cm.setting.variant = "sprint7"
        await self.assertFailure(ensureDeferred(self.ask("DELETE", f"/builds/{ID}")), Exception)
        assert ID in self.cm.died

    async def test_statuses_that_are_not_waited_for_may_overtake_each_other(self) -> None:
        await self.begin_again(overtake=Random(1))
        steps = [{"name": str(number), "command": "true"} for number in range(5)]
        await self.build(config={"steps": steps})
        states = [state for context, state, _ in self.statuses() if "Shell" in context]
        assert sorted(states) == ["pending"] * 5 + ["running"] * 5 + ["success"] * 5
        assert states.index("running") < 5


class OutageTests(ContainerManagerTestCase):
    """The page at `/`, and its button."""

    async def page(self) -> str:
        return (await (await treq.get(f"{self.url}/", agent=Agent(reactor))).content()).decode()

    async def press(self, action: str) -> None:
        answer = await treq.post(f"{self.url}/", data={"action": action}, agent=Agent(reactor), allow_redirects=False)
        assert (answer.code, answer.headers.getRawHeaders("Location")) == (303, ["/"])

    async def test_while_it_is_down_nobody_gets_an_answer_but_who_looks_at_its_page(self) -> None:
        await self.build()
        assert "Take it down" in await self.page()
        await self.press("down")
        for path in ("/builds", "/containers", f"/builds/{ID}", "/nope"):
            with pytest.raises(ResponseFailed):
                await self.ask("GET", path)
        assert "Bring it up" in await self.page()
        await self.press("down")
        await self.press("up")
        assert (await self.ask("GET", f"/builds/{ID}"))[0] == 200
        assert "Take it down" in await self.page()

    async def test_what_is_being_built_when_it_goes_down_is_lost(self) -> None:
        self.handler.faults.add(Fault(Slow(0.02), STATUS))
        await self.start()
        await self.handler_has_heard()
        await self.press("down")
        await self.press("up")
        told = len(self.handler.requests)
        await self.start(id="another")
        await self.cm.wait_for("another")
        builds = {json.loads(each.body)["build"]["id"] for each in list(self.handler.requests)[told:] if each.body}
        assert builds == {"another"}

    async def handler_has_heard(self) -> None:
        while not self.handler.requests:
            await deferLater(reactor, 0, lambda: None)

    async def test_a_post_that_is_no_form_is_refused(self) -> None:
        answer = await treq.post(f"{self.url}/", data=b"{}", agent=Agent(reactor))
        assert answer.code == 400
