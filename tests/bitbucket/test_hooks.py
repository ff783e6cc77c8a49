"""Webhooks as Bitbucket's API has them."""

from __future__ import annotations

import json

import pytest
from twisted.internet.task import Clock

from probo_bitbucket.bitbucket import payloads
from probo_bitbucket.bitbucket.caller import Caller
from probo_bitbucket.bitbucket.hooks import EVENTS, Place, Webhooks
from probo_bitbucket.bitbucket.scopes import ScopeMissing
from probo_bitbucket.errors import Permanent
from probo_bitbucket.model import InvalidName
from probo_bitbucket.sandbox import hooks as simulated
from probo_bitbucket.upstream import Upstream
from tests.bitbucket.test_api import API, Setting
from tests.immediate import run

SITE = Place("acme", "site")
SHOWN = {
    "type": "webhook_subscription",
    "uuid": "{d96c25c4}",
    "url": "https://probo.example.com/bitbucket-webhook",
    "description": None,
    "active": True,
    "events": ["repo:push"],
    "secret_set": True,
}


@pytest.fixture
def setting() -> Setting:
    return Setting()


def webhooks(setting: Setting) -> Webhooks:
    return Webhooks(Caller(Upstream("Bitbucket", setting.wire.client, Clock()), API), setting.access)


def test_a_webhook_has_every_event_that_leads_to_something() -> None:
    """But what is found here, and `push`: `updated` comes with new commits, too, and not every Bitbucket knows it."""
    assert set(payloads._READERS) - set(EVENTS) == {"pullrequest:push", payloads.FOUND}
    assert EVENTS.items() <= simulated.EVENTS.items()


def test_webhooks_are_read_from_all_pages(setting: Setting) -> None:
    setting.wire.say(200, {"values": [SHOWN], "next": f"{API}/repositories/acme/site/hooks?page=2"})
    setting.wire.say(200, {"values": [{**SHOWN, "uuid": "{other}"}]})
    found = run(webhooks(setting).of(SITE))
    assert [hook.uuid for hook in found] == ["d96c25c4", "other"]
    assert setting.urls[1] == f"{API}/repositories/acme/site/hooks?page=2"


def test_those_of_a_workspace_are_asked_for_with_the_credentials_that_cover_all_of_it(setting: Setting) -> None:
    setting.wire.say(200, {"values": []})
    run(webhooks(setting).of(Place("acme")))
    assert setting.urls == [f"{API}/workspaces/acme/hooks?pagelen=100"]
    assert [repository.full_name for repository in setting.access.asked_of] == ["acme/*"]


def test_a_change_names_the_webhook_in_braces_and_says_everything(setting: Setting) -> None:
    setting.wire.say(200, SHOWN)
    run(webhooks(setting).update(SITE, "d96c25c4", "https://x/", "c4n4ry-secret"))
    [asked] = setting.wire.asked
    assert (asked.method, asked.url) == ("PUT", f"{API}/repositories/acme/site/hooks/%7Bd96c25c4%7D")
    body = json.loads(asked.body)
    assert (body["url"], body["secret"], body["active"], body["events"]) == (
        "https://x/",
        "c4n4ry-secret",
        True,
        [*EVENTS],
    )


def test_one_that_is_gone_is_deleted_already(setting: Setting) -> None:
    setting.wire.say(404, {"type": "error", "error": {"message": "not found"}})
    run(webhooks(setting).delete(SITE, "d96c25c4"))
    [asked] = setting.wire.asked
    assert (asked.method, asked.url) == ("DELETE", f"{API}/repositories/acme/site/hooks/%7Bd96c25c4%7D")


def test_a_scope_that_is_missing_is_named_with_what_to_tick(setting: Setting) -> None:
    detail = {"required": ["webhook"], "granted": ["pullrequest"]}
    setting.wire.say(403, {"type": "error", "error": {"message": "Your credentials lack one.", "detail": detail}})
    with pytest.raises(ScopeMissing, match=r"lack one\. It needs webhook\.") as raised:
        run(webhooks(setting).of(SITE))
    assert "“Webhooks: Read and write”" in raised.value.advice


@pytest.mark.parametrize("error", [{"message": "Forbidden"}, {"message": "x", "detail": "odd"}, "text"])
def test_another_refusal_is_no_missing_scope(setting: Setting, error: object) -> None:
    setting.wire.say(403, {"error": error})
    with pytest.raises(Permanent) as raised:
        run(webhooks(setting).of(SITE))
    assert not isinstance(raised.value, ScopeMissing)


@pytest.mark.parametrize("text", ["", "/", "acme/", "acme/a/b", "../etc", "acme/*", "acme site"])
def test_a_place_that_must_not_reach_a_url_is_refused(text: str) -> None:
    with pytest.raises(InvalidName):
        Place.parse(text)


def test_the_address_of_a_repository_is_no_name_of_it() -> None:
    with pytest.raises(InvalidName, match="is an address; enter workspace/repository or workspace, such as acme/site"):
        Place.parse("https://bitbucket.org/acme/site")
