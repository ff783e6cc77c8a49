"""Whatever is sent: an answer of the 4xx class, no error in the log, and the handler goes on."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from treq.content import json_content
from twisted.logger import LogLevel, capturedLogs

from probo_bitbucket.bitbucket.signature import sign
from probo_bitbucket.sandbox.stage import HOOK_SECRET
from tests.postgres import Cluster, running_cluster
from tests.staged import StageTestCase
from tests.web import hostile
from tests.web.wire import exchange, status

WEBHOOK = "/bitbucket-webhook"


def signed(body: bytes, headers: bytes = b"", over: bytes | None = None) -> bytes:
    signature = sign(HOOK_SECRET, body if over is None else over).encode()
    return hostile.post(WEBHOOK, body, hostile.EVENT + headers + b"X-Hub-Signature: " + signature + b"\r\n")


class Hostile(StageTestCase):
    timeout = 120
    # Two, so that the store is asked which of them has a repository.
    settings: ClassVar[dict[str, Any]] = {"forward": dict.fromkeys(("github", "gitlab"), "http://127.0.0.1:1")}

    async def send(self, requests: dict[str, bytes]) -> dict[str, int]:
        """The status of the answer to each request, of those that are not of the 4xx class."""
        with capturedLogs() as events:
            answers = {name: status(await exchange(self.handler.port, request)) for name, request in requests.items()}
        bad = [event for event in events if event["log_level"] >= LogLevel.error]
        self.assertEqual(bad, [])
        return {name: answered for name, answered in answers.items() if not 400 <= answered < 500}

    async def test_broken_requests(self) -> None:
        self.assertEqual(await self.send(hostile.FRAMES), {})

    async def test_broken_deliveries(self) -> None:
        self.assertEqual(await self.send({name: signed(body) for name, body in hostile.BODIES.items()}), {})

    async def test_broken_compression(self) -> None:
        packed = b"Content-Encoding: gzip\r\n"
        self.assertEqual(await self.send({name: signed(body, packed) for name, body in hostile.PACKED.items()}), {})
        self.assertEqual(await self.send({"unknown": signed(b"{}", b"Content-Encoding: br\r\n")}), {})

    async def test_broken_bodies_on_the_internal_routes(self) -> None:
        for path in ("/update", "/builds/1/status/context", "/builds/hash"):
            self.assertEqual(
                await self.send({name: hostile.post(path, body) for name, body in hostile.BODIES.items()}), {}
            )

    async def test_odd_texts_pass_and_do_no_harm(self) -> None:
        with capturedLogs() as events:
            for number, text in enumerate(hostile.TEXTS):
                title = json.dumps(text)
                body = hostile.pull_request(id=str(number + 1), title=title, branch=title)
                answered = await exchange(self.handler.port, signed(body))
                self.assertEqual(status(answered), 200, text)
        self.assertEqual([event for event in events if event["log_level"] >= LogLevel.error], [])

    async def test_a_refresh_token_of_4000_characters_fits(self) -> None:
        answered = await self.client.get(
            f"{self.stage.url}/auth_lookup", params={"refreshToken": "ä/" * 1333 + "=" * 1333}
        )
        self.assertEqual((answered.code, "ours" in (await json_content(answered))["error"]), (403, True))


class HostileOnPostgreSQL(Hostile):
    """PostgreSQL is stricter than SQLite: it takes no NUL, and no text that is too long."""

    cluster: ClassVar[Cluster]

    @classmethod
    def setUpClass(cls) -> None:
        clusters = running_cluster()
        cls.cluster = next(clusters)
        cls.addClassCleanup(next, clusters, None)

    async def prepare(self) -> None:
        self.stage._given["database"] = self.cluster.new_database()

    async def test_the_reaper_is_told_no_state_of_a_name_that_nobody_has(self) -> None:
        answered = await self.call("GET", "/pull-request/acme/a%00b/1?provider_id=1")
        self.assertEqual((answered.status, answered.json["state"]), (400, None))
