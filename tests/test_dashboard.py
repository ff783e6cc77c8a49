"""The dashboard over the wire: who gets it, what its forms need, and what it tells while it is open."""

from __future__ import annotations

import re
from typing import Any, ClassVar
from urllib.parse import urlencode

import pytest
from twisted.logger import capturedLogs

from probo_bitbucket.bitbucket.signature import sign
from probo_bitbucket.flow.oversight import trial
from probo_bitbucket.logs import Secrets
from probo_bitbucket.sandbox.faults import Answer, Fault
from probo_bitbucket.sandbox.stage import HOOK_SECRET
from probo_bitbucket.store import hooks
from probo_bitbucket.web import events, struck_out
from tests.canaries import canary
from tests.staged import Answered, StageTestCase
from tests.web.wire import Wire, connect

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SECRET = canary("pass-me-not-on")


class DashboardTestCase(StageTestCase):
    async def page(self, path: str, status: int = 200) -> str:
        answered = await self.call("GET", path)
        self.assertEqual(answered.status, status, path)
        self.assertEqual(answered.headers.getRawHeaders("content-type"), ["text/html; charset=utf-8"])
        return answered.body.decode()

    async def send(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> Answered:
        """Send a form as a browser does."""
        said = {**FORM, "Origin": self.stage.url, **(headers or {})}
        return await self.call("POST", path, urlencode(fields).encode(), said)

    async def token(self) -> str:
        """The token of a page's forms."""
        found = re.search(r'name="token" value="(\w+)"', await self.page("/deliveries/1"))
        assert found is not None
        return found[1]


class Webhooks(DashboardTestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.patch(trial, "PAUSE", 0.02)
        await self.built(self.repository.open_pull_request("Once", "once", {"a": b"1"}))
        self.cloud.hooks.clear()

    async def done(self, what: str) -> str:
        """The page that a button of the page of webhooks leads to."""
        sent = await self.send(f"/hooks/{what}", token=await self.token(), name="acme/site")
        self.assertEqual((sent.status, sent.headers.getRawHeaders("location")), (303, ["/hooks?done=acme%2Fsite"]))
        return await self.page("/hooks?done=acme%2Fsite")

    async def test_what_came_of_a_button_is_told_on_a_page_that_can_be_loaded_again(self) -> None:
        self.assertIn("Add acme/site: made", await self.done("add"))
        self.assertIn("Test acme/site: works, ", await self.done("test"))
        requests = len(self.cloud.requests)
        self.assertIn("Test acme/site: works, ", await self.page("/hooks?done=acme%2Fsite"))
        self.assertEqual(len(self.cloud.requests), requests)  # what is known is shown
        self.assertIn("Remove acme/site: removed", await self.done("remove"))
        self.assertIn(f"there is no webhook to {self.stage.url}/bitbucket-webhook. Press Add.", await self.done("test"))

    async def test_a_name_that_is_none_is_told_beside_the_field_on_a_page_that_can_be_loaded_again(self) -> None:
        token, requests = await self.token(), len(self.cloud.requests)
        sent = await self.send("/hooks/add", token=token, name="acme/<b>site")
        [location] = sent.headers.getRawHeaders("location", [])
        self.assertEqual((sent.status, location), (303, "/hooks?entered=acme%2F%3Cb%3Esite"))
        page = await self.page(location)
        self.assertIn('value="acme/&lt;b&gt;site"', page)
        self.assertIn('aria-describedby="name-problem"', page)
        self.assertNotIn("POST", [request.method for request in list(self.cloud.requests)[requests:]])

    async def test_a_repository_shows_the_last_that_is_known_of_its_webhook(self) -> None:
        self.assertIn("unknown yet", await self.page("/repositories"))
        self.assertIn("press Add", await self.page("/hooks"))
        [line] = (await self.call("GET", "/api/repositories")).json["items"]
        self.assertEqual((line["hook"]["grade"], line["hook"]["deed"]), ("wrong", "look"))
        await self.call("POST", "/api/hooks/add", {"places": ["acme/site"]})
        [line] = (await self.call("GET", "/api/repositories")).json["items"]
        self.assertEqual((line["hook"]["grade"], line["hook"]["what"]), ("ok", "made"))
        self.assertIn('title="made"', await self.page("/repositories"))

    async def test_what_is_known_to_be_wrong_is_told_on_the_overview_until_something_comes(self) -> None:
        self.assertIn("All is well", await self.page("/"))
        await self.call("POST", "/api/hooks/add", {"places": ["acme/site"]})
        [[hook]] = self.cloud.hooks.values()
        hook.active = False
        await self.call("GET", "/api/hooks")  # which looks
        requests = len(self.cloud.requests)
        overview = await self.page("/")
        self.assertIn("Something needs a look", overview)
        self.assertIn("Webhook acme/site", overview)
        self.assertIn("It is inactive: probo-bitbucket hooks repair acme/site", overview)
        self.assertEqual(len(self.cloud.requests), requests)
        hook.active = True
        self.repository.push("main", {})
        await self.settled()
        self.assertIn("All is well", await self.page("/"))

    async def test_a_mistyped_name_is_told_where_it_was_entered_and_not_on_the_overview(self) -> None:
        await self.send("/hooks/add", token=await self.token(), name="acme/tpyo")
        self.assertIn("Add acme/tpyo: Bitbucket answered 404", await self.page("/hooks?done=acme%2Ftpyo"))
        self.assertIn("All is well", await self.page("/"))

    async def test_a_repository_that_was_deleted_is_told_on_the_overview_until_its_webhook_is_removed(self) -> None:
        await self.call("POST", "/api/hooks/add", {"places": ["acme/site"]})
        self.cloud.faults.add(Fault(Answer(404), path=".*/acme/site/hooks"))
        await self.call("GET", "/api/hooks")  # which looks
        self.assertIn("Webhook acme/site", await self.page("/"))
        self.assertIn("Remove acme/site: there was none: Bitbucket answered 404", await self.done("remove"))
        await self.call("GET", "/api/hooks")
        self.assertIn("All is well", await self.page("/"))

    async def test_deliveries_that_are_refused_are_told_on_the_overview(self) -> None:
        await self.call("POST", "/api/hooks/add", {"places": ["acme/site"]})
        [[hook]] = self.cloud.hooks.values()
        hook.secret = "wrong"
        self.repository.push("main", {})
        await self.cloud.settled()
        self.assertIn("Its deliveries are refused, 1 until now", await self.page("/"))


class InVain(DashboardTestCase):
    async def test_what_waits_since_a_try_failed_is_told_with_its_trouble(self) -> None:
        fault = self.container_manager.faults.add(Fault(Answer(503), path="/startbuild"))
        self.repository.open_pull_request("Wait", "waiting", {"a": b"1"})
        await self.until(lambda: self.rows("SELECT 1 FROM builds WHERE pending AND last_error != ''"))
        now = (await self.call("GET", "/api/status")).json
        [warning] = now["warnings"]
        self.assertEqual(warning["subject"], "builds waiting")
        self.assertIn("1, since a try failed: the Container Manager answered 503", warning["trouble"])
        self.assertIn("Something needs a look", await self.page("/"))
        self.container_manager.faults.remove(fault)
        await self.until(lambda: not self.rows("SELECT 1 FROM builds WHERE pending"))
        await self.settled()
        self.assertIn("All is well", await self.page("/"))

    async def test_a_queue_is_called_the_same_wherever_it_is_told_of(self) -> None:
        fault = self.container_manager.faults.add(Fault(Answer(503), path="/builds"))
        pull_request = self.repository.open_pull_request("Wait", "waiting", {"a": b"1"})
        pull_request.decline()
        await self.until(lambda: self.rows("SELECT 1 FROM pull_requests WHERE pending AND last_error != ''"))
        [warning] = (await self.call("GET", "/api/status")).json["warnings"]
        self.assertEqual(warning["subject"], "closed pull requests waiting")
        self.assertEqual((await self.page("/")).count("<h2>Closed pull requests waiting</h2>"), 2)
        self.assertRegex(await self.run_command("status"), r"(?m)^closed pull requests +1 ")
        self.container_manager.faults.remove(fault)


class Buttons(DashboardTestCase):
    async def test_what_would_be_refused_is_not_offered_and_a_refusal_leads_back(self) -> None:
        pull_request = self.repository.open_pull_request("Once", "once", {"a": b"1"})
        await self.built(pull_request)
        [(id,)] = self.rows("SELECT id FROM builds")
        pages = ("/pull-requests/acme/site/1", f"/builds/{id}")
        for path in pages:
            shown = await self.page(path)
            self.assertIn(f"/builds/{id}/rebuild", shown)
            self.assertIn(f"/builds/{id}/take-down", shown)
            self.assertIn("Open the environment", shown)
        pull_request.merge()
        await self.settled()
        await self.until(lambda: self.rows("SELECT 1 FROM builds WHERE state = 'removed'"))
        for path in pages:
            shown = await self.page(path)
            self.assertNotIn("/rebuild", shown)
            self.assertNotIn("/take-down", shown)
            self.assertNotIn("Open the environment", shown)
        token, came_from = await self.token(), {"Referer": f"{self.stage.url}{pages[1]}"}
        refused = await self.send(f"/builds/{id}/rebuild", came_from, token=token)
        self.assertIn(f'href="{pages[1]}">Back', refused.body.decode())
        refused = await self.send(f"/builds/{id}/rebuild", {"Referer": "http://evil.example.com/x"}, token=token)
        self.assertNotIn("Back", refused.body.decode())
        again = await self.send(f"/builds/{id}/rebuild", {"Referer": "http://["}, token=token)
        self.assertEqual((again.status, again.body), (refused.status, refused.body))


class Nowhere(DashboardTestCase):
    """Addresses that lead to nothing."""

    async def ask(self, method: str, path: str, accept: str) -> tuple[int, str, str]:
        answered = await self.call(method, path, headers={"Accept": accept})
        return answered.status, answered.headers.getRawHeaders("content-type", [""])[0], answered.body.decode()

    async def test_a_browser_is_shown_a_page_that_leads_on(self) -> None:
        for path, status, words in (
            ("/nope", 404, "/nope does not exist."),
            ("/builds/x/rebuild", 405, "GET is not allowed."),  # a form's address, entered by hand
        ):
            answered, kind, page = await self.ask("GET", path, "text/html,application/xhtml+xml,*/*;q=0.8")
            self.assertEqual((answered, kind), (status, "text/html; charset=utf-8"))
            self.assertIn(words, page)
            self.assertIn('<a class="button" href="/">To the overview</a>', page)

    async def test_a_program_is_answered_in_json(self) -> None:
        for accept in ("*/*", "application/json"):
            status, kind, body = await self.ask("GET", "/nope", accept)
            self.assertEqual((status, kind), (404, "application/json"))
            self.assertEqual(body, '{"code":"ResourceNotFound","message":"/nope does not exist"}')

    async def test_a_stranger_at_the_webhook_is_shown_none_of_our_pages(self) -> None:
        status, kind, _ = await self.ask("GET", "/bitbucket-webhook", "text/html")
        self.assertEqual((status, kind), (405, "application/json"))


class Forms(DashboardTestCase):
    async def test_a_form_needs_the_token_of_our_own_pages(self) -> None:
        await self.built(self.repository.open_pull_request("Once", "once", {"a": b"1"}))
        path, token = "/deliveries/1/send-again", await self.token()
        self.assertEqual((await self.send(path)).status, 403)
        self.assertEqual((await self.send(path, token="x" * 64)).status, 403)
        self.assertEqual((await self.send(path, {"Origin": "http://evil.example.com"}, token=token)).status, 403)
        self.assertEqual((await self.send(path, {"Sec-Fetch-Site": "cross-site"}, token=token)).status, 403)
        self.assertEqual((await self.send(path, token=token, more="x" * 9000)).status, 413)
        self.assertEqual(self.rows("SELECT state FROM deliveries"), [("accepted",)])
        sent = await self.send(path, token=token)
        self.assertEqual((sent.status, sent.headers.getRawHeaders("location")), (303, ["/deliveries/1?said=sent"]))
        self.assertIn("It is sent again.", await self.page("/deliveries/1?said=sent"))

    async def test_the_token_stays_good_after_a_restart_and_is_in_no_log(self) -> None:
        await self.built(self.repository.open_pull_request("Once", "once", {"a": b"1"}))
        with capturedLogs() as logged:
            token = await self.token()
            await self.stage.stop_handler()
            self.stage.start_handler()
            self.assertEqual((await self.send("/deliveries/1/send-again", token=token)).status, 303)
        self.assertNotIn(token, repr(logged))

    async def test_what_an_address_says_is_shown_only_where_it_is_ours(self) -> None:
        self.assertNotIn("evil", await self.page("/?said=evil"))
        self.assertNotIn("<script>alert", await self.page("/builds?q=<script>alert(1)</script>"))
        self.assertIn("no state", await self.page("/builds?state=<b>", 400))
        await self.page("/builds?path=x")

    @pytest.mark.secret_in("store", "a delivery is kept as it came")
    async def test_secrets_in_a_body_are_struck_out(self) -> None:
        known = Secrets()
        known.hide(HOOK_SECRET)
        self.patch(struck_out, "redact", known.redact)
        body = {
            "repository": {"full_name": "acme/site"},
            "token": SECRET,
            "nested": [{"apiKey": SECRET, "clone": f"https://ada:{SECRET}@bitbucket.org/acme/site"}],
            "words": f"our hook has the secret {HOOK_SECRET}",
            "app": "ATBB0123456789abcdefghij0123",
        }
        await self.deliver("repo:fork", body)
        for shown in (await self.page("/deliveries/1"), (await self.call("GET", "/api/deliveries/1")).body.decode()):
            self.assertIn("bitbucket.org/acme/site", shown)
            self.assertIn("our hook has the secret", shown)
            for secret in (SECRET, HOOK_SECRET, "ATBB0123456789abcdefghij0123"):
                self.assertNotIn(secret, shown)

    @pytest.mark.secret_in("store", "a delivery is kept as it came")
    async def test_tokens_in_addresses_are_struck_out_and_the_rest_of_the_address_is_shown(self) -> None:
        names = ("access_token", "token", "key", "api_key", "secret", "password", "jwt", "X-Amz-Signature", "code")
        url = "https://example.com/x?page=2&amp;" + "&".join(f"{name}={SECRET}" for name in names) + "&keyword=shown"
        await self.deliver("repo:fork", {"links": {"url": url}, "words": f"see ({url}#access_token={SECRET})"})
        for shown in (await self.page("/deliveries/1"), (await self.call("GET", "/api/deliveries/1")).body.decode()):
            self.assertNotIn(SECRET, shown)
            self.assertEqual(shown.count("keyword=shown"), 2)
            self.assertEqual(shown.count("page=2"), 2)


class Unsigned(DashboardTestCase):
    """No secret anywhere: whoever knows the URL can send deliveries."""

    settings: ClassVar[dict[str, Any]] = {"bbWebhookSecret": None, "publicUrl": "https://probo.example.com"}
    words = "webhook has a secret"

    async def restart(self) -> list[Any]:
        """What is doubtful, as the log says at a start."""
        await self.stage.stop_handler()
        with capturedLogs() as logged:
            self.stage.start_handler()
        return [event["words"] for event in logged if event.get("event") == "settings.doubtful"]

    async def test_the_log_says_so_at_a_start_and_the_first_page_as_long_as_it_is_so(self) -> None:
        (warning,) = await self.restart()
        self.assertIn(self.words, warning)
        page = await self.page("/")
        self.assertIn(self.words, page)
        self.assertIn("Something is not safe", page)
        now = (await self.call("GET", "/api/status")).json
        self.assertEqual((now["ok"], now["warnings"]), (True, [{"subject": "signatures", "trouble": warning}]))

    async def test_a_secret_in_the_database_is_enough(self) -> None:
        await self.handler._foundation.store.transact(hooks.new_secret, 1.0)
        self.assertEqual(await self.restart(), [])
        self.assertNotIn(self.words, await self.page("/"))

    async def test_other_settings_are_looked_at_when_they_are_read(self) -> None:
        with capturedLogs() as logged:
            await self.stage.reload(bbWebhookSecret="c4n4ry-long-enough")
            self.assertNotIn("settings.doubtful", [event.get("event") for event in logged])
            self.assertNotIn(self.words, await self.page("/"))
            await self.stage.reload(bbWebhookSecret=None)
            self.assertIn("settings.doubtful", [event.get("event") for event in logged])


class AtTheRoot(DashboardTestCase):
    settings: ClassVar[dict[str, Any]] = {"bbWebhookUrl": "/"}

    async def test_the_webhook_and_the_dashboard_can_have_one_path(self) -> None:
        self.assertIn("All is well", await self.page("/"))
        body = b'{"repository": {"full_name": "acme/site"}}'
        headers = {"X-Event-Key": "repo:fork", "X-Hub-Signature": sign(HOOK_SECRET, body)}
        self.assertEqual((await self.call("POST", "/", body, headers)).status, 200)
        self.assertEqual(len(self.decisions()), 1)


class Closed(DashboardTestCase):
    settings: ClassVar[dict[str, Any]] = {"internalAccess": "203.0.113.0/24", "bbWebhookUrl": "/"}

    async def test_strangers_see_nothing(self) -> None:
        for path in ("/", "/builds", "/deliveries/1", "/events", "/api/status"):
            self.assertEqual((await self.call("GET", path)).status, 403, path)


class Live(DashboardTestCase):
    async def prepare(self) -> None:
        self.patch(events, "BEAT", 0.02)

    async def listen(self) -> Wire:
        wire = await connect(self.handler.port)
        wire.send(b"GET /events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await self.until(lambda: b"retry: 5000" in wire.received or b" 503 " in wire.received)
        return wire

    async def test_a_change_is_told_and_silence_is_broken(self) -> None:
        self.patch(events, "SILENCE", 0.05)
        wire = await self.listen()
        await self.until(lambda: b": nothing new" in wire.received)
        self.assertNotIn(b"data: changed", wire.received)
        await self.deliver("repo:fork", {"repository": {"full_name": "acme/site"}})
        await self.until(lambda: b"data: changed" in wire.received)

    async def test_a_stream_ends_with_the_daemon(self) -> None:
        wire = await self.listen()
        await self.stage.stop_handler()
        self.assertIn(b"text/event-stream", await wire.closed)

    async def test_only_so_many_streams_are_open_and_one_that_left_makes_room(self) -> None:
        self.patch(events, "STREAMS", 1)
        first = await self.listen()
        self.assertIn(b" 503 ", (await self.listen()).received)
        assert first.transport is not None
        first.transport.loseConnection()
        await first.closed
        while b" 200 " not in (await self.listen()).received:
            pass
