"""The webhook: what is taken, what is refused, and that nothing refused becomes work."""

from __future__ import annotations

import gzip
import json
from typing import Any, ClassVar

from probo_bitbucket.sandbox.hooks import sign
from probo_bitbucket.sandbox.stage import HOOK_SECRET
from probo_bitbucket.web.app import DELIVERY_LIMIT
from tests.staged import StageTestCase

BUILT = ("pullrequest:created", "pullrequest:updated", "pullrequest:push")
IGNORED = (
    "pullrequest:approved",
    "pullrequest:unapproved",
    "pullrequest:changes_request_created",
    "repo:push",
    "repo:fork",
    "repo:updated",
    "repo:commit_comment_created",
    "repo:commit_status_created",
    "repo:commit_status_updated",
    "issue:created",
    "something:new",
)


class Webhook(StageTestCase):
    async def body(self) -> Any:
        """The body of a pull request that no hook told of."""
        return self.pull_request_body(self.unannounced())

    async def test_each_event_of_a_pull_request_with_a_commit_is_answered_ok_and_built(self) -> None:
        for number, event in enumerate(BUILT, 1):
            body = await self.body()
            body["pullrequest"]["id"] = number
            answer = await self.deliver(event, body)
            assert (answer.status, answer.json) == (200, {"ok": True})
        assert [state for _, state, _ in await self.decided(3)] == ["accepted"] * 3
        await self.until(lambda: len(self.container_manager.started) == 3)

    async def test_every_other_event_is_answered_ok_and_recorded_with_a_reason_in_words(self) -> None:
        body = await self.body()
        for event in IGNORED:
            answer = await self.deliver(event, body)
            assert (answer.status, answer.json) == (200, {"ok": True})
        decisions = await self.decided(len(IGNORED))
        assert [event for event, _, _ in decisions] == list(IGNORED)
        assert {state for _, state, _ in decisions} == {"ignored"}
        assert all(" " in reason for _, _, reason in decisions)
        assert self.rows("SELECT id FROM builds") == []

    async def test_an_ignored_event_needs_no_more_than_an_object(self) -> None:
        assert (await self.deliver("repo:push", {})).status == 200
        assert (await self.deliver("repo:push", [])).status == 400

    async def test_nobody_outside_can_say_what_only_we_tell_ourselves(self) -> None:
        answer = await self.deliver("reconciliation", self.pull_request_body(self.unannounced()))
        assert (answer.status, self.rows("SELECT 1 FROM deliveries")) == (400, [])

    async def test_the_answer_does_not_wait_for_bitbucket_or_the_container_manager(self) -> None:
        await self.cloud.server.stop()
        await self.container_manager.stop()
        body = await self.body()
        assert (await self.deliver("pullrequest:created", body)).status == 200

    async def test_a_gzipped_body_is_read_and_its_signature_is_over_what_was_sent(self) -> None:
        answer = await self.deliver(
            "pullrequest:created", gzip.compress(json.dumps(await self.body()).encode()), Content_Encoding="gzip"
        )
        assert (answer.status, answer.json) == (200, {"ok": True})
        assert [state for _, state, _ in await self.decided(1)] == ["accepted"]

    async def test_nothing_is_done_with_a_body_before_its_signature_fits(self) -> None:
        whole = json.dumps(await self.body()).encode()
        unsigned = {"Content_Encoding": "gzip", "X_Hub_Signature": sign(whole, HOOK_SECRET)}  # that of other bytes
        for content in (gzip.compress(whole), b"not gzip", gzip.compress(b" " * 2 * DELIVERY_LIMIT)):
            assert (await self.deliver("pullrequest:created", content, **unsigned)).status == 401
        assert (
            await self.deliver("pullrequest:created", b"{}", Content_Encoding="br", X_Hub_Signature="")
        ).status == 401
        assert self.decisions() == []

    async def test_what_is_called_gzip_but_is_not_is_refused_in_words(self) -> None:
        whole = gzip.compress(json.dumps(await self.body()).encode())
        for content in (b"not gzip", whole[:-20], b""):
            answer = await self.deliver("pullrequest:created", content, Content_Encoding="gzip")
            assert answer.status == 400
            assert "not gzip" in answer.json["error"]
        assert self.decisions() == []

    async def test_an_encoding_that_nobody_understands_is_refused_by_name(self) -> None:
        answer = await self.deliver("pullrequest:created", b"{}", Content_Encoding="br")
        assert (answer.status, answer.json) == (400, {"error": "the content encoding 'br' is not understood"})

    async def test_a_small_body_that_inflates_to_a_huge_one_is_refused(self) -> None:
        bomb = gzip.compress(b" " * (200 * DELIVERY_LIMIT), compresslevel=1)
        answer = await self.deliver("pullrequest:created", bomb, Content_Encoding="gzip")
        assert answer.status == 413

    async def test_a_body_over_the_limit_is_refused_with_the_limit_in_words(self) -> None:
        answer = await self.deliver("pullrequest:created", b" " * (DELIVERY_LIMIT + 1))
        assert answer.status == 413
        assert str(DELIVERY_LIMIT) in answer.json["error"]
        assert self.decisions() == []

    async def test_a_call_without_or_with_a_wrong_signature_is_refused(self) -> None:
        body = await self.body()
        for signature in ("sha256=" + "0" * 64, "", "sha256=", "sha1=0", "\u00fc"):
            answer = await self.deliver("pullrequest:created", body, X_Hub_Signature=signature)
            assert answer.status == 401
            assert "X-Hub-Signature" in answer.json["error"]
        assert self.decisions() == []

    async def test_bodies_that_are_no_object_are_refused_in_words(self) -> None:
        for content in (b"", b"{", b"[]", b"null", b"7", b'"text"', b"\xff\xfe", b"a=b", b"[" * 100_000):
            answer = await self.deliver("pullrequest:created", content)
            assert answer.status == 400, content[:20]
            assert len(answer.json["error"]) > 10
        assert self.decisions() == []

    async def test_what_is_missing_is_named_by_its_path(self) -> None:
        cases = {
            "repository": "`repository` is missing",
            "pullrequest": "`pullrequest` is missing",
            "repository.full_name": "`repository.full_name` is missing",
            "pullrequest.id": "`pullrequest.id` is missing",
            "pullrequest.state": "`pullrequest.state` is missing",
            "pullrequest.source": "`pullrequest.source` is missing",
        }
        for path, words in cases.items():
            answer = await self.deliver("pullrequest:created", _without(await self.body(), path))
            assert (answer.status, answer.json) == (400, {"error": words})
        assert self.decisions() == []

    async def test_a_name_that_must_not_reach_an_address_or_a_shell_is_refused(self) -> None:
        for full_name in ("acme", "acme/../etc", "acme/site; rm -rf /", "acme/site?x", "../..", "acme/", "/site"):
            body = await self.body()
            body["repository"]["full_name"] = full_name
            answer = await self.deliver("pullrequest:created", body)
            assert answer.status == 400, full_name
        assert self.decisions() == []

    async def test_a_missing_event_key_is_refused_by_its_name(self) -> None:
        answer = await self.deliver("", await self.body())
        assert (answer.status, answer.json) == (400, {"error": "the header `X-Event-Key` is missing"})

    async def test_bitbucket_gets_its_answer_and_does_not_send_again(self) -> None:
        self.repository.open_pull_request()
        await self.cloud.settled()
        (delivery,) = self.cloud.deliveries.journal
        assert [attempt.status for attempt in delivery.attempts] == [200]


class UnsignedWebhook(StageTestCase):
    settings: ClassVar[dict[str, Any]] = {"bbWebhookSecret": ""}

    async def test_without_a_secret_every_call_is_taken(self) -> None:
        self.repository.open_pull_request()
        assert [state for _, state, _ in await self.decided(1)] == ["accepted"]


class WebhookElsewhere(StageTestCase):
    settings: ClassVar[dict[str, Any]] = {"bbWebhookUrl": "/hooks/bitbucket"}

    async def test_the_path_is_the_one_of_the_settings(self) -> None:
        assert (await self.call("POST", "/hooks/bitbucket", b"{}")).status == 401
        assert (await self.call("POST", "/bitbucket-webhook", b"{}")).status == 404


def _without(document: Any, path: str) -> Any:
    *parents, name = path.split(".")
    inner = document
    for parent in parents:
        inner = inner[parent]
    del inner[name]
    return document
