"""The gate, over real sockets: what is not the webhook is closed to all but those whom the settings name."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.address import IPv4Address
from twisted.internet.defer import DeferredList
from twisted.logger import capturedLogs
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.test.requesthelper import DummyRequest

from probo_bitbucket.bitbucket.signature import sign
from probo_bitbucket.sandbox.stage import HOOK_SECRET
from probo_bitbucket.web import channel, site
from probo_bitbucket.web.access import Rules
from probo_bitbucket.web.gate import Gate, Rooms
from tests.canaries import MARK
from tests.staged import StageTestCase
from tests.web.hostile import EVENT, get, post, pull_request
from tests.web.wire import connect, exchange, status

INTERNAL = (
    get(b"/auth_lookup?refreshToken=x"),
    get(b"/pull-request/acme/site/1"),
    get(b"/branches/acme/site"),
    get(b"/commits/acme/site"),
    post("/update", b"{}"),
    post("/builds/1/status/context", b"{}"),
    post("/builds/hash", b"{}"),
    get(b"/bitbucket-webhook/"),
    get(b"//bitbucket-webhook"),
    get(b"/%62itbucket-webhook"),
    get(b"/no-such-route"),
    get(b"/"),
)
INSIDE = b"/pull-request/acme/site/x"  # answered with 400 once it is let in
STRANGERS = ["203.0.113.0/24"]
TOKEN = f"only-for-the-container-manager-{MARK}"  # one that is a letter short has no mark


def delivery(body: bytes = pull_request(), signature: str | None = None, headers: bytes = b"") -> bytes:
    signed = b"X-Hub-Signature: " + (sign(HOOK_SECRET, body) if signature is None else signature).encode() + b"\r\n"
    return post("/bitbucket-webhook", body, EVENT + signed + headers)


class GateTestCase(StageTestCase):
    async def ask(self, *requests: bytes) -> list[int]:
        return [status(await exchange(self.handler.port, request)) for request in requests]


class Default(GateTestCase):
    async def test_loopback_may_call_the_internal_routes(self) -> None:
        self.assertNotIn(403, await self.ask(*INTERNAL[1:]))

    async def test_but_not_through_a_proxy(self) -> None:
        for header in (b"X-Forwarded-For: 127.0.0.1\r\n", b"Forwarded: for=127.0.0.1\r\n", b"X-Real-IP: ::1\r\n"):
            self.assertEqual(await self.ask(get(b"/branches/acme/site", header)), [403])
        self.assertEqual(await self.ask(delivery(headers=b"X-Forwarded-For: 127.0.0.1\r\n")), [200])

    async def test_a_delivery_needs_its_signature_whatever_its_body(self) -> None:
        with capturedLogs() as events:
            answers = await self.ask(
                post("/bitbucket-webhook", pull_request(), EVENT),
                delivery(signature="sha256=" + "0" * 64),
                delivery(b"not JSON", signature=sign("another secret", b"not JSON")),
            )
        self.assertEqual(answers, [401, 401, 401])
        self.assertEqual(self.measured("log_events", event="delivery.refused"), 3)
        refused = [event for event in events if event.get("event") == "delivery.refused"]
        self.assertEqual([event["client"] for event in refused], ["127.0.0.1"] * 3)


class Closed(GateTestCase):
    settings: ClassVar[dict[str, Any]] = {"internalAccess": STRANGERS}

    async def test_every_other_path_than_the_webhooks_is_refused(self) -> None:
        with capturedLogs() as events:
            answers = [await exchange(self.handler.port, request) for request in INTERNAL]
        self.assertEqual({status(answered) for answered in answers}, {403})
        self.assertEqual({answered.partition(b"\r\n\r\n")[2] for answered in answers}, {b'{"error":"forbidden"}'})
        self.assertEqual(self.measured("log_events", event="http.forbidden"), len(INTERNAL))
        refused = [event for event in events if event.get("event") == "http.forbidden"]
        self.assertEqual((refused[0]["client"], refused[0]["path"]), ("127.0.0.1", "/auth_lookup"))

    async def test_a_browser_is_shown_what_to_set_and_the_same_wherever_it_goes(self) -> None:
        accept = b"Accept: text/html,application/xhtml+xml\r\n"
        heads, bodies = zip(
            *[
                (await exchange(self.handler.port, get(path, accept))).split(b"\r\n\r\n", 1)
                for path in (b"/", b"/deliveries/1", b"/no-such-route", b"/setup?code=guessed")
            ],
            strict=True,
        )
        self.assertEqual(len({*bodies}), 1)
        self.assertIn(b"internalAccess:\n- 127.0.0.0/8\n", bodies[0])
        for head in heads:
            self.assertEqual(status(head), 403)
            self.assertIn(b"content-type: text/html; charset=utf-8", head.lower())
            self.assertIn(b"content-security-policy: default-src 'none'", head.lower())

    async def test_the_log_has_the_beginning_of_a_long_path(self) -> None:
        with capturedLogs() as events:
            self.assertEqual(await self.ask(get(b"/" + b"x" * 9000)), [403])
        (refused,) = [event for event in events if event.get("event") == "http.forbidden"]
        self.assertEqual(refused["path"], "/" + "x" * 199)

    async def test_the_webhook_is_open(self) -> None:
        self.assertEqual(await self.ask(delivery()), [200])


class WithToken(GateTestCase):
    settings: ClassVar[dict[str, Any]] = {"internalAccess": STRANGERS, "internalToken": TOKEN}

    async def test_the_token_opens_from_anywhere(self) -> None:
        with capturedLogs() as events:
            prefix = f"/t/{TOKEN}"
            self.assertEqual(
                await self.ask(
                    get(prefix.encode() + INSIDE),
                    get(prefix.encode() + INSIDE, b"X-Forwarded-For: 192.0.2.1\r\n"),
                    post(prefix + "/update", b"{}"),
                    delivery().replace(b"/bitbucket-webhook", prefix.encode() + b"/bitbucket-webhook"),
                ),
                [400, 400, 400, 200],
            )
        self.assertNotIn(TOKEN, repr([event for event in events if event["log_namespace"].startswith("probo")]))

    async def test_another_does_not(self) -> None:
        for path in (b"/branches/acme/site", b"/t/wrong/branches/acme/site", b"/t/%s" % TOKEN[:-1].encode()):
            self.assertEqual(await self.ask(get(path)), [403])


class Reasons(GateTestCase):
    settings: ClassVar[dict[str, Any]] = {
        "internalAccess": STRANGERS,
        "internalToken": TOKEN,
        "webhookNetworks": STRANGERS,
    }

    async def reason(self, request: bytes) -> str:
        """What the log says of a refusal; the answer says nothing."""
        with capturedLogs() as events:
            answered = await exchange(self.handler.port, request)
        self.assertEqual(answered.partition(b"\r\n\r\n")[2], b'{"error":"forbidden"}')
        (refused,) = [event for event in events if event.get("event") == "http.forbidden"]
        return str(refused["reason"])

    async def test_the_log_says_which_setting_refused(self) -> None:
        self.assertIn("`trustedProxies`", await self.reason(get(INSIDE, b"X-Forwarded-For: 203.0.113.7\r\n")))
        self.assertIn("`internalAccess`", await self.reason(get(INSIDE)))
        self.assertIn("token", await self.reason(get(b"/t/wrong" + INSIDE)))
        self.assertIn("`webhookNetworks`", await self.reason(delivery()))


class Invited(TestCase):
    """Somebody whose address is not let in, but who has what opens one page."""

    def ask(self, path: bytes, internal: bool = True) -> int:
        """The status of the answer to a request from a stranger. Only /guest is invited."""
        rooms = Rooms("/hook", None, _Here() if internal else None, lambda request: bool(request.path == b"/guest"))
        request: Any = DummyRequest([])
        request.path, request.client, request.too_large = path, IPv4Address("TCP", "192.0.2.1", 1), False
        request.getClientAddress = lambda: request.client
        Gate(rooms, Rules((), (), (), TOKEN)).render(request)
        return int(request.responseCode or 200)

    def test_an_invitation_opens_what_it_is_for_and_nothing_else(self) -> None:
        self.assertEqual([self.ask(path) for path in (b"/guest", b"/guest/", b"/", b"/auth_lookup")], [200] + 3 * [403])

    def test_an_invitation_counts_whatever_token_comes_with_it(self) -> None:
        self.assertEqual(self.ask(b"/t/wrong/guest"), 200)

    def test_no_invitation_opens_a_door_that_has_no_internal_routes(self) -> None:
        self.assertEqual(self.ask(b"/guest", internal=False), 403)


class AtRest(TestCase):
    """Whoever stops waits until the gate is."""

    def let_in(self, gate: Gate) -> Any:
        """A request that is being answered."""
        request: Any = DummyRequest([])
        request.path, request.client, request.too_large = b"/guest", IPv4Address("TCP", "127.0.0.1", 1), False
        request.getClientAddress = lambda: request.client
        gate.render(request)
        return request

    def test_it_waits_for_what_came_in_meanwhile_too(self) -> None:
        gate = Gate(Rooms("/hook", None, _Here(), lambda _: True), Rules((), (), (), TOKEN))
        first = self.let_in(gate)
        rest = gate.at_rest()
        second = self.let_in(gate)
        first.finish()
        self.assertNoResult(rest)
        second.finish()
        self.successResultOf(rest)
        self.successResultOf(gate.at_rest())


class _Here(Resource):
    isLeaf = True

    def render(self, request: Any) -> bytes:
        return b"here"


class BehindProxy(GateTestCase):
    settings: ClassVar[dict[str, Any]] = {"trustedProxies": "127.0.0.1", "webhookNetworks": "198.51.100.0/24"}

    async def test_the_address_that_the_proxy_tells_counts(self) -> None:
        path = INSIDE
        self.assertEqual(
            await self.ask(
                get(path),
                get(path, b"X-Forwarded-For: 203.0.113.1, 127.0.0.1\r\n"),
                get(path, b"X-Forwarded-For: 127.0.0.1, 203.0.113.1\r\n"),
                delivery(headers=b"X-Forwarded-For: 198.51.100.7\r\n"),
                delivery(headers=b"X-Forwarded-For: 198.51.100.7, 203.0.113.1\r\n"),
                delivery(),
            ),
            [400, 403, 403, 200, 403, 403],
        )


class Apart(StageTestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.directory = tempfile.TemporaryDirectory()
        self.inside = str(Path(self.directory.name, "inside.sock"))
        self.settings = {"internalListen": f"unix:{self.inside}:mode=660"}  # type: ignore[misc]
        await super().setUp()

    async def tearDown(self) -> None:  # type: ignore[override]
        await super().tearDown()
        self.directory.cleanup()

    async def test_the_webhook_and_the_internal_routes_have_doors_of_their_own(self) -> None:
        path = get(INSIDE)
        self.assertEqual(status(await exchange(self.handler.port, path)), 403)
        self.assertEqual(status(await exchange(self.inside, path)), 400)
        self.assertEqual(status(await exchange(self.handler.port, delivery())), 200)
        self.assertEqual(status(await exchange(self.inside, delivery())), 404)


class Chosen(StageTestCase):
    settings: ClassVar[dict[str, Any]] = {"repositories": ["initech", "acme/other"]}

    async def test_deliveries_of_other_repositories_are_recorded_as_ignored(self) -> None:
        with capturedLogs() as events:
            self.assertEqual(status(await exchange(self.handler.port, delivery())), 200)
        (ignored,) = [event for event in events if event.get("event") == "delivery.ignored"]
        self.assertEqual(ignored["repository"], "acme/site")
        self.assertIn("`repositories`", ignored["reason"])

    async def test_their_commits_are_not_built_either(self) -> None:
        wanted = post("/builds/hash", b'{"project": {"slug": "acme/site"}, "sha": "0123456789ab"}')
        self.assertEqual(status(await exchange(self.handler.port, wanted)), 403)


class Limits(GateTestCase):
    async def test_a_slow_request_is_cut_off_and_an_answer_takes_as_long_as_it_takes(self) -> None:
        self.patch(channel, "RECEIVE", 0.2)
        slow = [
            b"POST /bitb",
            b"POST /bitbucket-webhook HTTP/1.1\r\nX: ",
            b"POST /bitbucket-webhook HTTP/1.1\r\nContent-Length: 9\r\n\r\n{",
            b"POST /bitbucket-webhook HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{",
        ]
        for beginning in slow:
            self.assertEqual(await exchange(self.handler.port, beginning), b"")
        self.assertEqual(self.measured("log_events", event="http.too_slow"), len(slow))

    async def test_a_new_request_on_an_old_connection_has_its_full_time(self) -> None:
        wire = await connect(self.handler.port)
        for number in range(1, 4):
            wire.send(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % INSIDE)
            await self.until(lambda number=number: wire.received.count(b"HTTP/1.1 400 ") == number)
        (connection,) = [c for door in self.handler._parts.doors for c in door.site.connections]
        self.assertIsNone(connection._deadline)
        wire.send(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        await wire.closed

    async def test_more_connections_than_the_limit_are_closed(self) -> None:
        self.patch(site, "CONNECTION_LIMIT", 3)
        wires = [await connect(self.handler.port) for _ in range(3)]
        wires[-1].send(get(INSIDE).replace(b"close", b"keep-alive"))
        await self.until(lambda: b"400 " in wires[-1].received)
        self.assertEqual(await exchange(self.handler.port, get(b"/")), b"")
        self.assertEqual(self.measured("log_events", event="http.crowded"), 1)
        for wire in wires:
            wire.transport.loseConnection()  # type: ignore[union-attr]
        await DeferredList([wire.closed for wire in wires])
        await self.until(lambda: not any(door.site.connections for door in self.handler._parts.doors))
        self.assertEqual(await self.ask(get(INSIDE)), [400])

    async def test_a_body_that_says_it_is_too_long_is_not_kept(self) -> None:
        kept = []
        self.patch(site.BoundedRequest, "finish", lambda request: kept.append(request.content.getbuffer().nbytes))
        wire = await connect(self.handler.port)
        wire.send(post("/update", b" " * (site.BODY_LIMIT + 1)))
        await self.until(lambda: kept)
        self.assertEqual(kept, [0])
        wire.transport.loseConnection()  # type: ignore[union-attr]
        await wire.closed
