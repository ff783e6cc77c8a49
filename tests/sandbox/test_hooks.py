"""How events reach their receivers, and what is in them."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import Request

from probo_bitbucket.sandbox.faults import Answer, Cut, Fault, Hang
from probo_bitbucket.sandbox.hooks import MOST_HOOKS, sign
from probo_bitbucket.sandbox.server import Server
from tests.sandbox.cloud import CloudTestCase

EVENTS = [
    *(f"pullrequest:{what}" for what in ("created", "updated", "fulfilled", "rejected", "comment_created")),
    "repo:push",
]


class Receiver(Resource):
    isLeaf = True

    def render(self, request: Request) -> bytes:
        return b'{"ok":true}'


class HookTestCase(CloudTestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.receiver = Server(self.clock, Receiver())
        self.hook = self.cloud.add_hook("acme/site", await self.receiver.listen(reactor), EVENTS, "c4n4ry-s3cret")

    async def tearDown(self) -> None:  # type: ignore[override]
        await super().tearDown()
        await self.receiver.stop()

    def received(self) -> list[str]:
        return [request.headers["x-event-key"] for request in self.receiver.requests]

    def body(self, event: str) -> Any:
        """The last body of *event*."""
        return [
            json.loads(request.body) for request in self.receiver.requests if request.headers["x-event-key"] == event
        ][-1]


class DeliveryTests(HookTestCase):
    async def test_a_delivery_is_signed_and_labelled(self) -> None:
        self.site.push("main", {})
        await self.cloud.settled()
        [request] = self.receiver.requests
        assert request.headers["x-hub-signature"] == sign(request.body, "c4n4ry-s3cret")
        assert request.headers["user-agent"] == "Bitbucket-Webhooks/2.0"
        assert request.headers["x-hook-uuid"] == self.hook.uuid.strip("{}")
        assert request.headers["x-attempt-number"] == "1"

    async def test_the_signature_is_atlassians(self) -> None:
        assert sign(b"Hello World!", "It's a Secret to Everybody") == (
            "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"
        )

    async def test_a_hook_without_secret_is_not_signed(self) -> None:
        self.hook.secret = ""
        self.site.push("main", {})
        await self.cloud.settled()
        assert "x-hub-signature" not in self.receiver.requests[0].headers

    async def attempts(self, *faults: Fault) -> list[tuple[str, str]]:
        """Push once with *faults* and return the attempt numbers and request uuids that arrived."""
        for fault in faults:
            self.receiver.faults.add(fault)
        self.site.push("main", {})
        await self.cloud.settled()
        headers = [request.headers for request in self.receiver.requests]
        return [(each["x-attempt-number"], each["x-request-uuid"]) for each in headers]

    async def test_a_5xx_is_sent_again_twice_at_most(self) -> None:
        attempts = await self.attempts(Fault(Answer(503)))
        assert [number for number, _ in attempts] == ["1", "2", "3"]
        assert len({uuid for _, uuid in attempts}) == 1

    async def test_a_request_uuid_can_be_new_each_time(self) -> None:
        self.cloud.deliveries.keep_request_uuid = False
        assert len({uuid for _, uuid in await self.attempts(Fault(Answer(500)))}) == 3

    async def test_a_4xx_is_final(self) -> None:
        assert len(await self.attempts(Fault(Answer(401)))) == 1
        assert self.cloud.deliveries.journal[0].status == 401

    async def test_a_cut_connection_is_sent_again(self) -> None:
        assert len(await self.attempts(Fault(Cut(), times=1))) == 2
        assert self.cloud.deliveries.journal[0].status == 200

    async def test_after_ten_seconds_without_an_answer_it_is_sent_again(self) -> None:
        self.receiver.faults.add(Fault(Hang(), times=1))
        self.site.push("main", {})
        while not self.receiver.requests:
            await deferLater(reactor, 0, lambda: None)
        self.clock.advance(10)
        await self.cloud.settled()
        assert [attempt.status for attempt in self.cloud.deliveries.journal[0].attempts] == [None, 200]

    async def test_a_body_over_256_kilobytes_is_dropped_silently(self) -> None:
        self.site.push("main", {}, "x" * 300_000)
        await self.cloud.settled()
        assert self.received() == []
        assert self.cloud.deliveries.journal[0].dropped

    async def test_every_second_delivery_can_be_dropped(self) -> None:
        self.cloud.deliveries.drop_every = 2
        for _ in range(4):
            self.site.push("main", {})
        await self.cloud.settled()
        assert len(self.received()) == 2

    async def test_everything_can_be_delivered_twice(self) -> None:
        self.cloud.deliveries.twice = True
        self.site.push("main", {})
        await self.cloud.settled()
        assert len(self.received()) == 2

    async def test_what_is_held_back_can_be_released_in_reverse(self) -> None:
        self.cloud.deliveries.hold()
        self.site.open_pull_request(files={"a": b"1"}).decline()
        await self.cloud.settled()
        assert self.received() == []
        self.cloud.deliveries.release(reverse=True)
        await self.cloud.settled()
        assert self.received() == ["pullrequest:rejected", "pullrequest:created", "repo:push"]

    async def test_a_delivery_can_be_sent_again_by_hand(self) -> None:
        self.site.push("main", {})
        await self.cloud.settled()
        self.cloud.deliveries.again(self.cloud.deliveries.journal[0])
        await self.cloud.settled()
        first, second = self.receiver.requests
        assert first.body == second.body
        assert first.headers["x-request-uuid"] != second.headers["x-request-uuid"]

    async def test_a_workspace_hook_hears_of_all_its_repositories(self) -> None:
        self.cloud.add_hook("acme", self.hook.url, ["repo:push"])
        self.cloud.add_repository("acme/other").push("main", {})
        await self.cloud.settled()
        assert self.body("repo:push")["repository"]["full_name"] == "acme/other"

    async def test_stopping_gives_up_what_hangs(self) -> None:
        self.receiver.faults.add(Fault(Hang()))
        self.site.push("main", {})
        while not self.receiver.requests:
            await deferLater(reactor, 0, lambda: None)
        await self.cloud.stop()
        assert [attempt.status for attempt in self.cloud.deliveries.journal[0].attempts] == [None]


class PayloadTests(HookTestCase):
    async def test_a_pull_request_names_its_commit_in_12_characters(self) -> None:
        pull_request = self.site.open_pull_request("Title", "feature/x", {"a": b"1"})
        await self.cloud.settled()
        body = self.body("pullrequest:created")
        assert body["pullrequest"]["source"]["commit"]["hash"] == pull_request.commit[:12]
        assert body["pullrequest"]["links"]["html"]["href"] == f"{self.cloud.url}/acme/site/pull-requests/1"
        assert (body["repository"]["full_name"], body["repository"]["name"]) == ("acme/site", "The Site")
        assert "username" not in body["repository"]["owner"]

    async def test_a_push_names_the_full_hashes_before_and_after(self) -> None:
        old = self.site.branches["main"]
        new = self.site.push("main", {"a": b"1"})
        await self.cloud.settled()
        [change] = self.body("repo:push")["push"]["changes"]
        assert (change["old"]["target"]["hash"], change["new"]["target"]["hash"]) == (old, new.hash)

    async def test_a_deleted_branch_is_null_and_without_commits(self) -> None:
        self.site.push("gone", {})
        await self.cloud.settled()
        self.site.delete_branch("gone")
        await self.cloud.settled()
        [change] = self.body("repo:push")["push"]["changes"]
        assert (change["new"], change["closed"]) == (None, True)
        assert not {"commits", "links"} & change.keys()

    async def test_the_life_of_a_pull_request_is_told(self) -> None:
        pull_request = self.site.open_pull_request(files={"a": b"1"})
        await self.cloud.settled()
        for act in (pull_request.edit, pull_request.push, lambda: pull_request.comment("hello"), pull_request.merge):
            act()
            await self.cloud.settled()
        events = [event for event in self.received() if event.startswith("pullrequest:")]
        assert events == [
            f"pullrequest:{what}" for what in ("created", "updated", "updated", "comment_created", "fulfilled")
        ]
        assert self.body("pullrequest:fulfilled")["pullrequest"]["state"] == "MERGED"

    async def test_a_deleted_fork_and_branch_are_null(self) -> None:
        fork = self.cloud.fork(self.site, "robin/site")
        of_fork = self.site.open_pull_request(branch="b", source=fork, files={"a": b"1"})
        of_branch = self.site.open_pull_request(branch="c", files={"a": b"1"})
        self.cloud.delete_repository(fork)
        self.site.delete_branch("c")
        of_fork.decline()
        await self.cloud.settled()
        source = self.body("pullrequest:rejected")["pullrequest"]["source"]
        assert (source["repository"], source["commit"]) == (None, None)
        of_branch.decline()
        await self.cloud.settled()
        source = self.body("pullrequest:rejected")["pullrequest"]["source"]
        assert (source["repository"]["full_name"], source["commit"]) == ("acme/site", None)


class SubscriptionTests(CloudTestCase):
    async def test_hooks_are_made_listed_changed_and_deleted_by_the_api(self) -> None:
        for place in ("/repositories/acme/site/hooks", "/workspaces/acme/hooks"):
            body = {
                "description": "d",
                "url": "http://127.0.0.1:9/",
                "active": True,
                "secret": "c4n4ry-s",
                "events": EVENTS,
            }
            made = await self.post(place, body)
            assert (made.status, made.document["secret_set"], "secret" in made.document) == (201, True, False)
            one = f"{place}/{made.document['uuid'].replace('{', '%7B').replace('}', '%7D')}"
            changed = await self.request("PUT", one, json={**body, "events": ["repo:push"]})
            assert changed.document["events"] == ["repo:push"]
            assert len((await self.get(place)).document["values"]) == 1
            assert (await self.request("DELETE", one)).status == 204
            assert (await self.get(one)).status == 404

    async def test_a_hook_that_makes_no_sense_is_refused(self) -> None:
        good = {"description": "d", "url": "http://127.0.0.1:9/", "events": ["repo:push"]}
        wrong: list[dict[str, Any]] = [
            {"events": ["repo:nope"]},
            {"events": []},
            {"url": "nowhere"},
            {"secret": "c4n4ry".ljust(129, "s")},
        ]
        for bad in wrong:
            assert (await self.post("/repositories/acme/site/hooks", {**good, **bad})).status == 400

    async def test_a_repository_has_so_many_hooks_and_no_more(self) -> None:
        for _ in range(MOST_HOOKS):
            self.cloud.add_hook("acme/site", "http://127.0.0.1:9/", ["repo:push"])
        body = {"description": "d", "url": "http://127.0.0.1:9/", "events": ["repo:push"]}
        assert (await self.post("/repositories/acme/site/hooks", body)).status == 400

    async def test_hooks_need_the_scope_webhook(self) -> None:
        self.cloud.credentials.add_access_token("c4n4ry-poor", ["pullrequest"], "acme")
        assert (await self.get("/workspaces/acme/hooks", "c4n4ry-poor")).status == 403
