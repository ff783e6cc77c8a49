"""The token endpoint."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from twisted.internet.task import Clock

from probo_bitbucket.bitbucket.oauth import DEFAULT_LIFE, Grant, OAuth
from probo_bitbucket.errors import DeadCredentials, RateLimited, Temporary
from probo_bitbucket.upstream import Upstream
from tests.immediate import run
from tests.wire import Wire

PAIR = {"access_token": "c4n4ry-A1", "refresh_token": "c4n4ry-R1", "expires_in": 7200, "scopes": "pullrequest account"}


def oauth(wire: Wire, secret: str = "c4n4ry-secret") -> OAuth:
    return OAuth(Upstream("Bitbucket's token endpoint", wire.client, Clock()), "https://site", "key", secret)


def refreshed(document: Any) -> Grant:
    wire = Wire()
    wire.say(200, document)
    grant = run(oauth(wire).refresh("c4n4ry-R0"))
    assert isinstance(grant, Grant)
    return grant


def test_a_pair_of_tokens_is_read() -> None:
    assert refreshed(PAIR) == Grant("c4n4ry-A1", "c4n4ry-R1", 7200.0, ("pullrequest", "account"))


def test_the_scopes_of_the_standard_are_read_as_well() -> None:
    assert refreshed({"access_token": "c4n4ry-A1", "scope": "pullrequest"}).scopes == ("pullrequest",)


@pytest.mark.parametrize("scopes", [None, "", 7, ["pullrequest"]])
def test_scopes_that_are_no_text_are_none(scopes: Any) -> None:
    assert refreshed({"access_token": "c4n4ry-A1", "scopes": scopes}).scopes == ()


@pytest.mark.parametrize("life", [None, "7200", []])
def test_a_life_that_is_not_told_is_an_hour(life: Any) -> None:
    assert refreshed({"access_token": "c4n4ry-A1", "expires_in": life}).expires_in == DEFAULT_LIFE


@pytest.mark.parametrize("life", [b"1" + b"0" * 400, b"1e300", b"-1", b"0"])
def test_a_life_that_cannot_be_does_not_cost_the_new_refresh_token(life: bytes) -> None:
    grant = refreshed(b'{"access_token": "c4n4ry-A1", "refresh_token": "c4n4ry-R1", "expires_in": %s}' % life)
    assert (grant.refresh_token, grant.expires_in) == ("c4n4ry-R1", DEFAULT_LIFE)


@pytest.mark.parametrize("token", [None, 7, ""])
def test_a_refresh_token_that_is_not_given_is_empty(token: Any) -> None:
    assert refreshed({"access_token": "c4n4ry-A1", "refresh_token": token}).refresh_token == ""


def test_tokens_of_4000_characters_pass_both_ways() -> None:
    wire = Wire()
    long = "c4n4ry-r+/=&" * 400
    wire.say(200, {"access_token": "c4n4ry-a" * 500, "refresh_token": long})
    grant = run(oauth(wire).refresh(long))
    assert wire.asked[0].form["refresh_token"] == long
    assert (len(grant.access_token), len(long), grant.refresh_token) == (4000, 4800, long)


@pytest.mark.parametrize("document", [None, [], "c4n4ry-A1", {}, {"access_token": 7}, {"access_token": ""}])
def test_an_answer_without_a_token_may_heal(document: Any) -> None:
    with pytest.raises(Temporary) as caught:
        refreshed(document)
    assert not isinstance(caught.value, DeadCredentials)


@pytest.mark.parametrize("status", [400, 401])
def test_credentials_that_are_refused_are_dead(status: int) -> None:
    wire = Wire()
    wire.say(status, {"error": "invalid_grant"})
    with pytest.raises(
        DeadCredentials,
        match=f"^Bitbucket does not take the refresh token any more: .* answered {status}: invalid_gr",
    ):
        run(oauth(wire).refresh("c4n4ry-R0"))


def test_a_consumer_that_is_refused_is_told_from_its_token() -> None:
    wire = Wire()
    wire.say(401, {"error": "invalid_client"})
    with pytest.raises(DeadCredentials, match="take the key and secret of the OAuth consumer any more: "):
        run(oauth(wire).refresh("c4n4ry-R0"))


@pytest.mark.parametrize(
    ("status", "kind"), [(429, RateLimited), *((status, Temporary) for status in (301, 403, 404, 500, 503))]
)
def test_an_endpoint_in_trouble_kills_no_credentials(status: int, kind: type[Temporary]) -> None:
    wire = Wire()
    wire.say(status)
    with pytest.raises(kind) as caught:
        run(oauth(wire).refresh("c4n4ry-R0"))
    assert type(caught.value) is kind


def test_a_page_in_place_of_tokens_kills_no_credentials() -> None:
    with pytest.raises(Temporary) as caught:
        refreshed(b"<html>Maintenance</html>")
    assert not isinstance(caught.value, DeadCredentials)


def test_each_grant_says_what_it_is() -> None:
    wire = Wire()
    wire.say(200, PAIR)
    run(oauth(wire).exchange("code"))
    run(oauth(wire).refresh("c4n4ry-R0"))
    run(oauth(wire).client_credentials())
    assert [asked.form for asked in wire.asked] == [
        {"grant_type": "authorization_code", "code": "code"},
        {"grant_type": "refresh_token", "refresh_token": "c4n4ry-R0"},
        {"grant_type": "client_credentials"},
    ]
    assert {(asked.method, asked.url) for asked in wire.asked} == {("POST", "https://site/site/oauth2/access_token")}


def test_the_consumer_shows_itself_with_key_and_secret() -> None:
    wire = Wire()
    wire.say(200, PAIR)
    run(oauth(wire, "c4n4ry:geh:eim ü").client_credentials())
    scheme, _, pair = wire.asked[0].authorization.partition(" ")
    assert (scheme, base64.b64decode(pair).decode()) == ("Basic", "key:c4n4ry:geh:eim ü")


def test_the_address_of_the_consent_page_carries_the_state() -> None:
    url = urlsplit(oauth(Wire()).authorize_url("a&b"))
    assert url.path == "/site/oauth2/authorize"
    assert parse_qs(url.query) == {"client_id": ["key"], "response_type": ["code"], "state": ["a&b"]}


def test_a_grant_does_not_show_its_tokens() -> None:
    assert "c4n4ry-A1" not in repr(refreshed(PAIR))
    assert "c4n4ry-R1" not in repr(refreshed(PAIR))
