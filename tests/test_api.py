"""The API tells what the store has, from a delivery to its last status, and has things done again."""

from __future__ import annotations

from typing import Any, ClassVar

from probo_bitbucket.flow.work import schedule
from probo_bitbucket.sandbox.faults import Answer, Fault
from tests.staged import Answered, StageTestCase

HOSTILE = "<script>alert(1)</script> & \u202e Umlaut ä"


class ApiTestCase(StageTestCase):
    async def get(self, path: str, status: int = 200) -> Any:
        answered = await self.call("GET", path)
        self.assertEqual(answered.status, status, answered.body)
        return answered.json

    async def post(self, path: str, **headers: str) -> Answered:
        return await self.call("POST", path, b"", {name.replace("_", "-"): value for name, value in headers.items()})


class Story(ApiTestCase):
    async def test_a_delivery_is_told_from_its_coming_in_to_the_last_status(self) -> None:
        pull_request = self.repository.open_pull_request(HOSTILE, "feature/readme", {"README.md": b"hi\n"})
        await self.built(pull_request)
        (line,) = (await self.get("/api/deliveries"))["items"]
        self.assertEqual(
            (line["event_key"], line["state"], line["title"]), ("pullrequest:created", "accepted", HOSTILE)
        )

        told = await self.get(f"/api/deliveries/{line['id']}")
        self.assertEqual(told["delivery"], line)
        self.assertEqual(told["headers"]["X-Event-Key"], "pullrequest:created")
        self.assertEqual(told["body"]["pullrequest"]["title"], HOSTILE)
        build = told["build"]["build"]
        self.assertEqual(told["build"]["deliveries"], [line["id"]])
        self.assertEqual((build["repository"], build["pull_request"]), ("acme/site", pull_request.number))
        times = [line[name] for name in ("received_at", "decided_at")]
        times += [build[name] for name in ("configured_at", "started_at")]
        self.assertEqual(times, sorted(times))
        self.assertEqual(build["tries"], {"waiting": False, "count": 1, "trouble": "", "next_at": None})
        shown = {status["key"]: status["reported"] for status in build["statuses"]}
        self.assertEqual(shown, self.states(pull_request))
        self.assertTrue(all(status["reported_at"] >= build["started_at"] for status in build["statuses"]))

    async def test_a_build_keeps_its_own_story_when_the_commit_is_built_again(self) -> None:
        await self.built(self.repository.open_pull_request("Once", "once", {"a": b"1"}))
        (old,) = (await self.get("/api/builds"))["items"]
        self.assertEqual(old["statuses"][0]["context"], "ProboCI/env")
        times = [status["began_at"] for status in old["statuses"]]
        self.assertEqual(times, sorted(times))
        self.assertTrue(all(status["ended_at"] >= status["began_at"] for status in old["statuses"]))
        answered = await self.post(f"/api/builds/{old['id']}/rebuild")
        await self.until(lambda: (answered.json["build"],) in self.rows("SELECT build_id FROM steps"))
        await self.settled()
        told = (await self.get(f"/api/builds/{old['id']}"))["build"]
        self.assertEqual((told["removal"] is None, told["outcome"]), (False, "removed"))
        steps = [(status["context"], status["state"], status["ended_at"]) for status in told["statuses"]]
        self.assertEqual(steps, [(each["context"], each["state"], each["ended_at"]) for each in old["statuses"]])
        self.assertEqual({status["shown"] for status in told["statuses"]}, {False})

    async def test_tries_and_the_trouble_that_was_got_over_stay(self) -> None:
        self.container_manager.faults.add(Fault(Answer(503), path="/startbuild", times=2))
        await self.built(self.repository.open_pull_request("Wait", "waiting", {"a": b"1"}))
        (build,) = (await self.get("/api/builds"))["items"]
        self.assertEqual(build["tries"]["count"], 3)
        self.assertIn("503", build["tries"]["trouble"])
        told = await self.get(f"/api/builds/{build['id']}")
        (happened,) = told["happenings"]
        self.assertEqual((happened["work"], happened["key"], happened["times"]), ("build", "", 2))
        self.assertEqual(happened["words"], build["tries"]["trouble"])
        self.assertLess(build["configured_at"], happened["at"])
        self.assertLess(happened["at"], happened["until"])
        self.assertLess(happened["until"], build["started_at"])
        page = (await self.call("GET", f"/builds/{build['id']}")).body.decode()
        places = [page.index(words) for words in ("<h3>Configuration read", "2 times until", "<h3>Build started")]
        self.assertEqual(places, sorted(places))

    async def test_a_status_that_bitbucket_refuses_has_its_story(self) -> None:
        self.cloud.faults.add(Fault(Answer(400), ".*/statuses/build"))
        self.repository.open_pull_request("Wait", "waiting", {"a": b"1"})
        await self.until(lambda: self.rows("SELECT 1 FROM statuses WHERE failed"))
        (build,) = (await self.get("/api/builds"))["items"]
        told = [
            each for each in (await self.get(f"/api/builds/{build['id']}"))["happenings"] if each["work"] == "status"
        ]
        self.assertIn("Given up: Bitbucket answered 400", told[0]["words"])
        page = (await self.call("GET", f"/builds/{build['id']}")).body.decode()
        self.assertIn(f"{told[0]['words']}</span>", page)

    async def test_what_waits_for_credentials_says_so_on_its_page_and_on_the_overview(self) -> None:
        self.patch(schedule, "CREDENTIALS_PAUSE", 60.0)
        self.cloud.credentials.revoke_refresh_tokens()
        self.cloud.credentials.revoke_access_tokens()
        self.repository.open_pull_request("Wait", "waiting", {"a": b"1"})
        await self.until(lambda: self.rows("SELECT 1 FROM builds WHERE last_error <> ''"))
        (build,) = (await self.get("/api/builds"))["items"]
        for path in (f"/builds/{build['id']}", "/", "/builds"):
            self.assertIn("Waits, next", (await self.call("GET", path)).body.decode(), path)

    async def test_what_is_asked_for_wrongly_is_said(self) -> None:
        for path, status in (
            ("/api/deliveries/x", 400),
            ("/api/deliveries/99", 404),
            ("/api/builds/99", 404),
            ("/api/pull-requests/acme/site/9", 404),
            ("/api/deliveries?after=x", 400),
            ("/api/builds?after=x", 400),
            ("/api/builds?state=x", 400),
            ("/api/deliveries?pull_request=x", 400),
        ):
            self.assertIn("error", await self.get(path, status), path)


class Lists(ApiTestCase):
    async def test_filters_and_search_leave_out_the_rest(self) -> None:
        first = self.repository.open_pull_request("Change the README", "feature/readme", {"README.md": b"hi\n"})
        await self.built(first)
        second = self.repository.open_pull_request("Something else", "other", {"b": b"2"})
        await self.built(second)
        await self.deliver("repo:fork", {"repository": {"full_name": "acme/site"}})
        builds = (await self.get("/api/builds"))["items"]
        self.assertEqual([build["title"] for build in builds], ["Something else", "Change the README"])
        for query, titles in (
            ("q=readme", ["Change the README"]),
            ("q=ELSE+some", ["Something else"]),
            ("q=%25", []),
            (f"q=acme/site%23{first.number}", ["Change the README"]),
            (f"q=%23{second.number}", ["Something else"]),
            (f"q={builds[1]['commit'][:8]}", ["Change the README"]),
            (f"q={builds[1]['id']}", ["Change the README"]),
            ("repository=acme/other", []),
            (f"repository=acme/site&pull_request={second.number}", ["Something else"]),
            ("failed=1", []),
            ("state=waiting", []),
            ("state=failed", []),
        ):
            for route in ("builds", "deliveries", "pull-requests"):
                found = await self.get(f"/api/{route}?{query}")
                self.assertEqual([each["title"] for each in found["items"]], titles, (route, query))
        (ignored,) = (await self.get("/api/deliveries?state=ignored"))["items"]
        self.assertEqual((ignored["event_key"], ignored["build"]), ("repo:fork", None))
        (repository,) = (await self.get("/api/repositories?q=SITE"))["items"]
        self.assertEqual((repository["repository"], repository["build"]), ("acme/site", builds[0]["id"]))
        self.assertEqual((await self.get("/api/repositories?q=other"))["items"], [])

    async def test_a_pull_request_shows_whether_it_is_open_or_how_it_was_closed(self) -> None:
        merged, declined, opened = (
            self.repository.open_pull_request(name, name, {name: b"1"}) for name in ("merged", "declined", "open")
        )
        for pull_request in (merged, declined, opened):
            await self.built(pull_request)
        merged.merge()
        declined.decline()
        await self.settled()
        states = {merged.number: "MERGED", declined.number: "DECLINED", opened.number: "OPEN"}
        listed = (await self.get("/api/pull-requests"))["items"]
        self.assertEqual({each["pull_request"]: each["pull_request_state"] for each in listed}, states)
        self.assertIn("</span>declined</span>", (await self.call("GET", "/pull-requests")).body.decode())
        for number, state in states.items():
            shown = (await self.call("GET", f"/pull-requests/acme/site/{number}")).body.decode()
            self.assertIn(f"</span>{state.lower()}</span>", shown)

    async def test_with_nothing_in_the_store_all_lists_are_empty(self) -> None:
        for path in ("deliveries", "builds", "pull-requests", "repositories"):
            self.assertEqual(await self.get(f"/api/{path}"), {"items": [], "after": ""})
        self.assertEqual(await self.get("/api/failures"), [])
        status = await self.get("/api/status")
        self.assertTrue(status["ok"])
        self.assertEqual(
            status["queues"],
            [
                {"work": work, "waiting": 0, "oldest_at": None, "given_up": 0, "trouble": ""}
                for work in (
                    "deliveries",
                    "builds",
                    "statuses",
                    "updates",
                    "comments",
                    "removals",
                    "closings",
                    "hand_ons",
                    "commands",
                )
            ],
        )


class Again(ApiTestCase):
    settings: ClassVar[dict[str, Any]] = {"retryFor": 0}

    async def test_a_build_that_was_given_up_on_is_started_after_all(self) -> None:
        fault = self.container_manager.faults.add(Fault(Answer(503), path="/startbuild"))
        pull_request = self.repository.open_pull_request("Wait", "waiting", {"a": b"1"})
        await self.until(lambda: self.states(pull_request).get("ProboCI/env") == "FAILED")
        (build,) = (await self.get("/api/builds?failed=1"))["items"]
        (delivery,) = (await self.get("/api/deliveries?failed=1"))["items"]
        self.assertEqual((delivery["state"], delivery["outcome"]), ("accepted", "failed"))
        self.container_manager.faults.remove(fault)
        self.assertEqual((await self.post(f"/api/builds/{build['id']}/send-again")).status, 202)
        await self.until(lambda: self.states(pull_request).get("ProboCI/Shell/Fine") == "SUCCESSFUL")
        again = await self.post(f"/api/builds/{build['id']}/send-again")
        self.assertEqual(again.status, 409)
        self.assertIn("rebuild", again.json["error"])

    async def test_a_rebuild_is_a_new_build_of_the_same_commit(self) -> None:
        pull_request = self.repository.open_pull_request("Once more", "again", {"a": b"1"})
        await self.built(pull_request)
        (old,) = (await self.get("/api/builds"))["items"]
        new = (await self.post(f"/api/builds/{old['id']}/rebuild")).json["build"]
        self.assertNotEqual(new, old["id"])
        await self.until(lambda: len(self.started()) == 2)
        await self.settled()
        story = await self.get(f"/api/pull-requests/acme/site/{pull_request.number}")
        self.assertEqual([build["id"] for build in story["builds"]["items"]], [new, old["id"]])
        asked = [build["origin"] for build in story["builds"]["items"]]
        self.assertEqual(asked, ["rebuild of delivery 1", "delivery 1"])
        page = (await self.call("GET", f"/builds/{new}")).body.decode()
        self.assertIn(', rebuild of <a href="/deliveries/1">delivery 1</a></p>', page)
        self.assertEqual({each["build"]["commit"]["ref"] for each in self.started()}, {pull_request.commit})
        self.assertEqual(set(self.states(pull_request).values()), {"SUCCESSFUL"})

    async def test_a_rebuild_that_is_asked_for_twice_is_one_build(self) -> None:
        await self.built(self.repository.open_pull_request("Once more", "again", {"a": b"1"}))
        (old,) = (await self.get("/api/builds"))["items"]
        fault = self.container_manager.faults.add(Fault(Answer(503), path="/startbuild"))
        asked = [(await self.post(f"/api/builds/{old['id']}/rebuild")).status for _ in range(2)]
        self.container_manager.faults.remove(fault)
        self.assertEqual(asked, [202, 409])

    async def test_only_the_newest_commit_of_an_open_pull_request_is_built_again(self) -> None:
        """Another would have the environment of the newest taken down, or be left behind for ever."""
        pull_request = self.repository.open_pull_request("Going on", "on", {"a": b"1"})
        await self.built(pull_request)
        (old,) = (await self.get("/api/builds"))["items"]
        pull_request.push()
        await self.built(pull_request)
        self.assertEqual((await self.post(f"/api/builds/{old['id']}/rebuild")).status, 409)
        newest = (await self.get("/api/builds"))["items"][0]
        pull_request.merge()
        await self.settled()
        answered = await self.post(f"/api/builds/{newest['id']}/rebuild")
        self.assertEqual((answered.status, "merged" in answered.json["error"]), (409, True))

    async def test_a_delivery_that_is_sent_again_and_asks_for_nothing_more_tells_what_it_led_to(self) -> None:
        await self.built(self.repository.open_pull_request("Once", "once", {"a": b"1"}))
        (delivery,) = (await self.get("/api/deliveries"))["items"]
        self.assertEqual((await self.post(f"/api/deliveries/{delivery['id']}/send-again")).status, 202)
        ((_, state, reason),) = await self.decided(1)
        self.assertEqual((state, reason), ("accepted", delivery["reason"]))
        self.assertEqual(len(self.started()), 1)
        told = await self.get(f"/api/deliveries/{delivery['id']}")
        self.assertEqual((told["delivery"]["build"], told["delivery"]["outcome"]), (delivery["build"], "succeeded"))
        before, again, nothing = told["happenings"]
        self.assertEqual(
            nothing["words"],
            f"Nothing new: {delivery['reason'].replace('a build of', 'commit')} is known already: "
            f"it is build {delivery['build']}",
        )
        self.assertEqual(before["words"], f"Decided: accepted, {delivery['reason']}, build {delivery['build']}")
        self.assertEqual((before["at"], again["words"]), (delivery["decided_at"], "Sent again"))
        page = (await self.call("GET", f"/deliveries/{delivery['id']}")).body.decode()
        order = (
            "Received",
            "Decided: accepted",
            "Configuration read",
            "Build started",
            "Sent again",
            "Nothing new",
        )
        places = [page.index(f"<h3>{words}") for words in order]
        self.assertEqual(places, sorted(places))

    async def test_a_status_is_reported_once_more(self) -> None:
        await self.built(self.repository.open_pull_request("Once", "once", {"a": b"1"}))
        ((build_id,),) = self.rows("SELECT id FROM builds")
        before = len(self.asked("/statuses/build", "POST"))
        self.assertEqual((await self.post(f"/api/builds/{build_id}/statuses/ProboCI%2Fenv/send-again")).status, 202)
        await self.until(lambda: len(self.asked("/statuses/build", "POST")) == before + 1)
        self.assertEqual((await self.post(f"/api/builds/{build_id}/statuses/other/send-again")).status, 404)

    async def test_a_build_is_taken_down(self) -> None:
        pull_request = self.repository.open_pull_request("Enough", "enough", {"a": b"1"})
        await self.built(pull_request)
        (build,) = (await self.get("/api/builds"))["items"]
        self.assertTrue(build["stands"])
        self.assertEqual((await self.post(f"/api/builds/{build['id']}/take-down")).status, 202)
        await self.until(lambda: self.rows("SELECT 1 FROM builds WHERE state = 'removed'"))
        gone = (await self.get(f"/api/builds/{build['id']}"))["build"]
        self.assertEqual((gone["outcome"], gone["stands"]), ("removed", False))
        self.assertEqual((gone["removal"]["words"], gone["ended_by"]), ("taken down by hand", "an operator"))
        self.assertEqual((await self.post(f"/api/builds/{build['id']}/take-down")).status, 409)

    async def test_what_is_not_there_cannot_be_done_again(self) -> None:
        for path in ("deliveries/9/send-again", "builds/9/send-again", "builds/9/rebuild", "builds/9/take-down"):
            self.assertEqual((await self.post(f"/api/{path}")).status, 404)


class FromBrowsers(ApiTestCase):
    """A browser says where a request comes from, and under which name it was sent."""

    settings: ClassVar[dict[str, Any]] = {"dashboardHosts": "probo.example.com"}

    async def sent(self, **headers: str) -> int:
        return (await self.post("/api/builds/9/rebuild", **headers)).status

    async def test_only_our_own_pages_have_things_done(self) -> None:
        own = self.stage.url
        for headers, status in (
            ({"Origin": "http://evil.example.com"}, 403),
            ({"Origin": "null"}, 403),
            ({"Sec_Fetch_Site": "cross-site", "Origin": own}, 403),
            ({"Sec_Fetch_Site": "same-site"}, 403),
            ({"Origin": own}, 404),
            ({"Sec_Fetch_Site": "same-origin"}, 404),
            ({}, 404),
        ):
            self.assertEqual(await self.sent(**headers), status, headers)

    async def test_no_page_of_a_stranger_has_builds_started_or_statuses_reported(self) -> None:
        body = {"update": {"state": "success", "context": "Acme/env"}, "build": {"id": "b"}}
        for path in ("/update", "/builds/b/status/Acme%2Fenv", "/builds/hash"):
            for headers, status in (
                ({"Origin": "http://evil.example.com", "Content-Type": "text/plain"}, 403),
                ({"Sec-Fetch-Site": "cross-site"}, 403),
                ({}, 400),
            ):
                self.assertEqual((await self.call("POST", path, body, headers)).status, status, (path, headers))

    async def test_a_name_that_a_stranger_points_to_us_is_refused(self) -> None:
        for host, status in (
            ("evil.example.com", 403),
            ("evil.example.com.", 403),
            ("evil.example.com:3012", 403),
            ("probo.example.com", 200),
            ("PROBO.example.com:443", 200),
            ("localhost:3012", 200),
            ("192.0.2.1", 200),
            ("[::1]:3012", 200),
        ):
            answered = await self.call("GET", "/api/status", headers={"Host": host})
            self.assertEqual(answered.status, status, host)
