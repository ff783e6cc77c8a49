"""How an account stands with Bitbucket."""

from __future__ import annotations

from twisted.internet.task import Clock

from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.bitbucket.caller import Caller
from probo_bitbucket.credentials import AccessToken, Account
from probo_bitbucket.flow.credentials.access import FixedAccess
from probo_bitbucket.flow.oversight.standing import Standing
from probo_bitbucket.model import Repository
from probo_bitbucket.upstream import Upstream
from tests.immediate import run
from tests.wire import Wire

API = "https://api.example/2.0"
TOKEN = AccessToken("c4n4ry-token")


def looked(wire: Wire, *globs: str, known: tuple[Repository, ...] = ()) -> list[tuple[str, str, str]]:
    """Subject, grade and words of each verdict."""
    clock, account = Clock(), Account("acme", TOKEN, globs)
    access = FixedAccess("acme", TOKEN, Budget(clock, 1000), clock)
    standing = Standing(Caller(Upstream("Bitbucket", wire.client, clock), API), clock)
    return [(each.subject, each.grade, each.what) for each in run(standing.of(account, access, list(known)))]


def test_a_repository_of_the_workspace_is_looked_at_where_none_is_known() -> None:
    wire = Wire()
    wire.say(200, {"values": [{"full_name": "acme/blog"}, {"full_name": "acme/site-1"}]})
    wire.say(200, {})
    found = looked(wire, "acme/site-*")
    assert found[1] == ("scopes acme", "ok", "repository, pullrequest, webhook: tried at acme/site-1")
    assert [asked.url.removeprefix(f"{API}/repositories/") for asked in wire.asked] == [
        "acme?pagelen=100",
        "acme/site-1",
        "acme/site-1/pullrequests?pagelen=1",
        "acme/site-1/hooks?pagelen=1",
    ]


def test_one_that_is_known_spares_the_listing() -> None:
    wire = Wire()
    wire.say(200, {})
    looked(wire, "acme/*", known=(Repository("other", "site"), Repository("acme", "site")))
    assert wire.asked[0].url == f"{API}/repositories/acme/site"


def test_where_nothing_is_known_that_is_said_and_nobody_asked() -> None:
    wire = Wire()
    assert looked(wire, "*")[1] == ("scopes acme", "warning", "not tried: no repository is known yet")
    assert wire.asked == []


def test_a_token_that_is_refused_is_about_the_credentials() -> None:
    wire = Wire()
    wire.say(401, {"error": {"message": "Token is invalid."}})
    [(subject, grade, what)] = looked(wire, "acme/*", known=(Repository("acme", "site"),))
    assert (subject, grade, what) == ("credentials acme", "wrong", "Bitbucket answered 401 to the access token")


def test_who_may_not_administer_the_repository_is_warned() -> None:
    wire = Wire()
    wire.say(200, {})
    wire.say(200, {})
    wire.say(403, {"error": {"message": "Forbidden"}})
    _, grade, what = looked(wire, "acme/*", known=(Repository("acme", "site"),))[1]
    assert (grade, what) == ("warning", "acme/site: Bitbucket answered 403: Forbidden")
