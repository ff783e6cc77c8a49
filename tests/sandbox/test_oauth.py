"""Tokens come, rotate and die, and the consent page leads to a code."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.sandbox.cloud import CloudTestCase, Reply, basic

CALLBACK = "http://127.0.0.1:9/callback"
SECRET = "c4n4ry: with a colon"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class OAuthTests(CloudTestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.cloud.add_consumer("key", SECRET, CALLBACK)
        self.refresh_token = self.cloud.credentials.issue_refresh_token("key")

    async def token(self, secret: str = SECRET, **fields: str) -> Reply:
        return await self.send("access_token", fields, {"Authorization": basic("key", secret)})

    async def refresh(self, token: str) -> Reply:
        return await self.token(grant_type="refresh_token", refresh_token=token)

    async def send(self, page: str, fields: dict[str, str], headers: dict[str, str] | None = None) -> Reply:
        url = f"{self.cloud.url}/site/oauth2/{page}"
        body = urlencode(fields).encode()
        return await self.request("POST", url, None, data=body, headers={**FORM, **(headers or {})})

    async def ask(self, **arguments: str) -> Reply:
        query = urlencode({"client_id": "key", "response_type": "code", **arguments})
        return await self.get(f"{self.cloud.url}/site/oauth2/authorize?{query}", None)

    async def decide(self, decision: str) -> dict[str, list[str]]:
        """Press a button of the consent page and return what the callback URL was given."""
        reply = await self.send("authorize", {"client_id": "key", "state": "s&1", "decision": decision})
        [location] = reply.headers.getRawHeaders("Location") or []
        assert location.startswith(f"{CALLBACK}?")
        return parse_qs(urlsplit(location).query)

    async def test_a_refresh_gives_a_working_access_token_and_the_next_refresh_token(self) -> None:
        reply = (await self.refresh(self.refresh_token)).document
        assert reply["refresh_token"] != self.refresh_token
        assert min(len(reply["access_token"]), len(reply["refresh_token"])) >= 2500
        assert (reply["expires_in"], reply["scopes"]) == (7200, "pullrequest")
        assert (await self.get("/repositories/acme/site", reply["access_token"])).status == 200

    async def test_an_access_token_dies_after_its_time(self) -> None:
        token = (await self.refresh(self.refresh_token)).document["access_token"]
        self.clock.advance(7200)
        assert (await self.get("/repositories/acme/site", token)).status == 401

    async def test_a_used_refresh_token_dies_after_the_grace(self) -> None:
        await self.refresh(self.refresh_token)
        self.clock.advance(599)
        assert (await self.refresh(self.refresh_token)).status == 200
        self.clock.advance(1)
        assert (await self.refresh(self.refresh_token)).status == 400

    async def test_without_grace_a_used_refresh_token_dies_at_once(self) -> None:
        self.cloud.add_consumer("key", SECRET, CALLBACK, grace=0)
        token = self.cloud.credentials.issue_refresh_token("key")
        assert [(await self.refresh(token)).status for _ in range(2)] == [200, 400]

    async def test_a_static_refresh_token_stays(self) -> None:
        self.cloud.add_consumer("key", SECRET, CALLBACK, rotating=False)
        token = self.cloud.credentials.issue_refresh_token("key")
        assert [(await self.refresh(token)).document["refresh_token"] for _ in range(2)] == [token, token]

    async def test_an_unused_refresh_token_dies_after_three_months(self) -> None:
        self.clock.advance(90 * 86400)
        assert (await self.refresh(self.refresh_token)).status == 400

    async def test_a_dead_refresh_token_is_reported_in_two_ways(self) -> None:
        errors = [(await self.refresh("dead")).document["error"] for _ in range(2)]
        assert errors == ["invalid_grant", "unauthorized_client"]

    async def test_client_credentials_get_no_refresh_token(self) -> None:
        reply = (await self.token(grant_type="client_credentials")).document
        assert "refresh_token" not in reply
        assert (await self.get("/repositories/acme/site", reply["access_token"])).status == 200

    async def test_other_grants_and_wrong_secrets_are_refused(self) -> None:
        assert (await self.token(grant_type="password")).document["error"] == "unsupported_grant_type"
        assert (await self.token("c4n4ry", grant_type="client_credentials")).document["error"] == "unauthorized_client"

    async def test_the_field_of_the_scopes_can_have_its_new_name(self) -> None:
        self.cloud.scope_field = "scope"
        reply = (await self.refresh(self.refresh_token)).document
        assert (reply["scope"], "scopes" in reply) == ("pullrequest", False)

    async def test_consent_leads_to_a_code_that_works_once(self) -> None:
        callback = await self.decide("grant")
        assert callback["state"] == ["s&1"]
        exchange: dict[str, Any] = {"grant_type": "authorization_code", "code": callback["code"][0]}
        assert [(await self.token(**exchange)).status for _ in range(2)] == [200, 400]
        assert self.cloud.credentials.granted == {"authorization_code": 1}

    async def test_denial_leads_back_with_an_error(self) -> None:
        callback = await self.decide("deny")
        assert (callback["error"], callback["state"], "code" in callback) == (["access_denied"], ["s&1"], False)

    async def test_the_consent_page_is_a_form_with_two_buttons_and_the_state_escaped(self) -> None:
        page = (await self.ask(state='"><script>')).body.decode()
        assert 'value="grant"' in page
        assert 'value="deny"' in page
        assert "<script" not in page

    async def test_a_wrong_consumer_or_callback_is_told_to_the_user(self) -> None:
        wrong = [{"client_id": "nobody"}, {"redirect_uri": "http://elsewhere/"}, {"response_type": "token"}]
        assert [(await self.ask(**arguments)).status for arguments in wrong] == [400] * 3

    async def test_a_callback_that_does_not_match_is_told_with_the_one_that_is_registered(self) -> None:
        page = (await self.ask(redirect_uri="http://elsewhere/")).body.decode()
        assert f"http://elsewhere/ does not match the callback URL of this consumer, {CALLBACK}" in page

    async def test_a_consumer_without_callback_is_told(self) -> None:
        self.cloud.add_consumer("key", SECRET, "")
        assert b"No callback uri defined for the OAuth client." in (await self.ask()).body

    async def test_the_consent_page_tells_where_the_answer_goes(self) -> None:
        assert f"<code>{CALLBACK}</code>" in (await self.ask()).body.decode()

    async def test_a_consumer_that_is_not_private_gets_no_client_credentials(self) -> None:
        self.cloud.credentials.consumers["key"].private = False
        assert (await self.token(grant_type="client_credentials")).document["error"] == "unauthorized_client"
