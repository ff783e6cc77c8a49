"""The calls to the REST API."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from attrs import define, evolve, field
from twisted.internet.task import Clock

from probo_bitbucket.bitbucket.api import Bitbucket, Commit, PullRequestSummary
from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.bitbucket.caller import PAGES
from probo_bitbucket.errors import (
    DeadCredentials,
    NotFound,
    Permanent,
    RateLimited,
    Temporary,
    Unauthorized,
    UpstreamError,
)
from probo_bitbucket.flow.work.schedule import effort_after
from probo_bitbucket.model import InvalidName, Repository, Status, StatusState
from probo_bitbucket.store import Effort
from probo_bitbucket.upstream import Upstream
from tests.immediate import run
from tests.wire import Wire

API = "https://api.example/2.0"
REPOSITORY = f"{API}/repositories/acme/site"
SITE = Repository("acme", "site")
COMMIT = "d96c25c4ae50"
STATUS = Status(SITE, COMMIT, "Acme/env", StatusState.SUCCESSFUL, "Acme/env", "[■] Ready", "https://x/", "main")


@define
class Keyring:
    """Access with *tokens*, one after the other: each that is refused makes room for the next."""

    budget: Budget
    tokens: list[str]
    refusals: list[str] = field(factory=list)
    acceptances: int = 0
    asked_of: list[Repository] = field(factory=list)

    def of(self, repository: Repository, home: Repository | None = None) -> Keyring:
        self.asked_of.append(repository)
        return self

    async def authorization(self) -> str:
        return f"Bearer {self.tokens[0]}"

    def accepted(self) -> None:
        self.acceptances += 1

    async def refused(self, authorization: str) -> bool:
        self.refusals.append(authorization)
        if len(self.tokens) == 1:
            return False
        self.tokens.pop(0)
        return True


@define
class Setting:
    """A client, and what it talks to."""

    wire: Wire = field(factory=Wire)
    clock: Clock = field(factory=Clock)
    access: Keyring = field(factory=lambda: Keyring(Budget(Clock(), 1000), ["c4n4ry-one"]))

    @property
    def bitbucket(self) -> Bitbucket:
        return Bitbucket(Upstream("Bitbucket", self.wire.client, self.clock), API, self.access)

    @property
    def urls(self) -> list[str]:
        return [asked.url for asked in self.wire.asked]


@pytest.fixture
def setting() -> Setting:
    return Setting()


def test_a_file_is_asked_for_at_its_commit_and_comes_as_it_is(setting: Setting) -> None:
    setting.wire.say(200, b"\xff\x00 steps")
    assert run(setting.bitbucket.file(SITE, COMMIT, ".probo.yaml")) == b"\xff\x00 steps"
    assert setting.urls == [f"{REPOSITORY}/src/{COMMIT}/.probo.yaml"]
    assert setting.access.asked_of == [SITE]


def test_the_name_of_a_file_is_encoded(setting: Setting) -> None:
    setting.wire.say(200)
    run(setting.bitbucket.file(SITE, COMMIT, "a b?#%/ü.yaml"))
    assert setting.urls == [f"{REPOSITORY}/src/{COMMIT}/a%20b%3F%23%25/%C3%BC.yaml"]


def test_a_file_kept_elsewhere_is_not_fetched_from_there(setting: Setting) -> None:
    setting.wire.say(301, location="https://media.example/lfs")
    with pytest.raises(Permanent) as caught:
        run(setting.bitbucket.file(SITE, COMMIT, ".probo.yaml"))
    assert caught.value.status == 301
    assert len(setting.urls) == 1


def test_a_file_that_is_not_there(setting: Setting) -> None:
    setting.wire.say(404)
    with pytest.raises(NotFound):
        run(setting.bitbucket.file(SITE, COMMIT, ".probo.yaml"))


@pytest.mark.parametrize("commit", ["", "main", "../../other", "d96c25c4ae50?x", "D96C25C4AE50"])
def test_nothing_but_a_hash_gets_into_an_address(setting: Setting, commit: str) -> None:
    calls = [
        lambda: setting.bitbucket.file(SITE, commit, "x"),
        lambda: setting.bitbucket.root(SITE, commit),
        lambda: setting.bitbucket.commit(SITE, commit),
        lambda: setting.bitbucket.post_status(evolve(STATUS, commit=commit)),
    ]
    for call in calls:
        with pytest.raises(InvalidName):
            run(call())
    assert setting.urls == []


def test_the_root_is_its_files_of_all_pages_without_folders(setting: Setting) -> None:
    second = f"{REPOSITORY}/src/{COMMIT}/?pagelen=100&page=2"
    setting.wire.say(200, {"values": [{"path": "docs", "type": "commit_directory"}], "next": second})
    setting.wire.say(200, {"values": [{"path": ".probo.yaml", "type": "commit_file"}, {"path": "link"}]})
    assert run(setting.bitbucket.root(SITE, COMMIT)) == [".probo.yaml", "link"]
    assert setting.urls == [f"{REPOSITORY}/src/{COMMIT}/?pagelen=100", second]


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/2.0/repositories/acme/site/refs/branches?page=2",
        f"{API}/repositories/acme/site-2/refs/branches?page=2",
        f"{API}@evil.example/repositories/acme/site/x",
        "http://api.example/2.0/repositories/acme/site/refs/branches?page=2",
        "refs/branches?page=2",
        "",
    ],
)
def test_a_link_that_leads_elsewhere_is_not_followed(setting: Setting, elsewhere: str) -> None:
    setting.wire.say(200, {"values": [{"name": "main"}], "next": elsewhere})
    assert run(setting.bitbucket.branches(SITE)) == [{"name": "main"}]
    assert len(setting.urls) == 1


def test_pages_that_lead_in_a_circle_come_to_an_end(setting: Setting) -> None:
    setting.wire.say(200, {"values": [{"name": "main"}], "next": f"{REPOSITORY}/refs/branches?page=1"})
    assert len(run(setting.bitbucket.branches(SITE))) == PAGES


def test_a_commit_is_its_full_hash_and_its_message(setting: Setting) -> None:
    full = COMMIT + "0" * 28
    setting.wire.say(200, {"hash": full, "message": "Fix\n"})
    assert run(setting.bitbucket.commit(SITE, COMMIT)) == Commit(full, "Fix\n")
    assert setting.urls == [f"{REPOSITORY}/commit/{COMMIT}"]


def test_commits_of_a_branch_are_asked_for_with_its_name_encoded(setting: Setting) -> None:
    setting.wire.say(200, {"values": [{"hash": "a"}], "next": f"{REPOSITORY}/commits?page=2"})
    assert run(setting.bitbucket.commits(SITE, "feature/ü&x=1")) == [{"hash": "a"}]
    assert run(setting.bitbucket.commits(SITE)) == [{"hash": "a"}]
    assert setting.urls == [
        f"{REPOSITORY}/commits?pagelen=100&include=feature%2F%C3%BC%26x%3D1",
        f"{REPOSITORY}/commits?pagelen=100",
    ]


def test_a_pull_request_is_summed_up(setting: Setting) -> None:
    setting.wire.say(
        200,
        {
            "id": 7,
            "state": "OPEN",
            "title": "Change",
            "author": {"display_name": "Ada", "nickname": "ada", "uuid": "{u}"},
            "links": {"html": {"href": "https://x/7"}},
        },
    )
    summary = PullRequestSummary(7, "OPEN", "Change", "https://x/7", "Ada", "{u}")
    assert run(setting.bitbucket.pull_request(SITE, 7)) == summary
    assert setting.urls == [f"{REPOSITORY}/pullrequests/7"]


@pytest.mark.parametrize(("author", "name"), [({"nickname": "ada"}, "ada"), (None, "")])
def test_an_author_without_a_name(setting: Setting, author: Any, name: str) -> None:
    setting.wire.say(200, {"id": 7, "state": "MERGED", "author": author})
    assert run(setting.bitbucket.pull_request(SITE, 7)) == PullRequestSummary(7, "MERGED", "", "", name, "")


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b"[]", b'{"hash": 7}', b"{}", b'{"hash": "../../x"}', b'{"hash":' + b"[" * 100_000]
)
def test_a_document_that_is_not_what_it_should_be_may_heal(setting: Setting, body: bytes) -> None:
    setting.wire.say(200, body)
    with pytest.raises(Temporary, match="Bitbucket answered 200 with an unexpected document"):
        run(setting.bitbucket.commit(SITE, COMMIT))


def test_a_status_is_posted_in_bitbuckets_words(setting: Setting) -> None:
    setting.wire.say(201, {"type": "build"})
    run(setting.bitbucket.post_status(STATUS))
    [asked] = setting.wire.asked
    assert (asked.method, asked.url) == ("POST", f"{REPOSITORY}/commit/{COMMIT}/statuses/build")
    assert json.loads(asked.body) == {
        "state": "SUCCESSFUL",
        "key": "Acme/env",
        "name": "Acme/env",
        "description": "[■] Ready",
        "url": "https://x/",
        "refname": "main",
    }


def test_a_status_without_a_branch_has_no_refname(setting: Setting) -> None:
    setting.wire.say(201, {"type": "build"})
    run(setting.bitbucket.post_status(evolve(STATUS, refname="")))
    assert "refname" not in json.loads(setting.wire.asked[0].body)


def test_a_status_is_not_posted_when_its_time_is_over(setting: Setting) -> None:
    setting.wire.say(201, {"type": "build"})
    now = setting.clock.seconds()
    with pytest.raises(Temporary, match="too late"):
        run(setting.bitbucket.post_status(STATUS, not_after=now - 1))
    run(setting.bitbucket.post_status(STATUS, not_after=now))
    assert len(setting.wire.asked) == 1


def test_a_token_that_came_too_late_posts_no_status(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    async def late(self: Keyring) -> str:
        setting.clock.advance(20)
        return "Bearer c4n4ry"

    monkeypatch.setattr(Keyring, "authorization", late)
    with pytest.raises(Temporary, match="too late") as raised:
        run(setting.bitbucket.post_status(STATUS, not_after=setting.clock.seconds() + 10))
    assert setting.wire.asked == []
    assert effort_after(Effort(0, None), raised.value, setting.clock.seconds()).failing_since is None


def test_a_token_that_is_refused_is_replaced_once(setting: Setting) -> None:
    setting.access.tokens = ["c4n4ry-1", "c4n4ry-2"]
    setting.wire.say(401)
    setting.wire.say(201, {"type": "build"})
    run(setting.bitbucket.post_status(STATUS))
    assert [asked.authorization for asked in setting.wire.asked] == ["Bearer c4n4ry-1", "Bearer c4n4ry-2"]
    assert setting.wire.asked[0].body == setting.wire.asked[1].body
    assert setting.access.refusals == ["Bearer c4n4ry-1"]


def test_a_second_refusal_ends_the_call_and_is_remembered(setting: Setting) -> None:
    setting.access.tokens = ["c4n4ry-1", "c4n4ry-2", "c4n4ry-3"]
    setting.wire.say(401)
    with pytest.raises(Unauthorized):
        run(setting.bitbucket.post_status(STATUS))
    assert setting.access.refusals == ["Bearer c4n4ry-1", "Bearer c4n4ry-2"]
    assert len(setting.wire.asked) == 2


def test_credentials_that_cannot_be_renewed_are_not_tried_twice(setting: Setting) -> None:
    setting.wire.say(401)
    with pytest.raises(Unauthorized):
        run(setting.bitbucket.post_status(STATUS))
    assert len(setting.wire.asked) == 1


def test_an_account_without_credentials_sends_nothing(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(self: Keyring) -> str:
        raise DeadCredentials("there are none")

    monkeypatch.setattr(Keyring, "authorization", none)
    with pytest.raises(DeadCredentials):
        run(setting.bitbucket.post_status(STATUS))
    assert setting.wire.asked == []


def test_only_final_states_may_use_the_reserve(setting: Setting) -> None:
    setting.wire.say(201, {"type": "build"})
    setting.access.budget.limit = 1000
    setting.access.budget.elsewhere = 900
    run(setting.bitbucket.post_status(STATUS))
    run(setting.bitbucket.file(SITE, COMMIT, "x"))
    with pytest.raises(RateLimited):
        run(setting.bitbucket.post_status(evolve(STATUS, state=StatusState.INPROGRESS)))
    assert len(setting.wire.asked) == 2


def test_a_429_stops_the_account_and_not_only_the_call(setting: Setting) -> None:
    setting.wire.say(429, retry_after="30")
    for _ in range(2):
        with pytest.raises(RateLimited) as caught:
            run(setting.bitbucket.post_status(STATUS))
        assert caught.value.retry_after == 30
    assert len(setting.wire.asked) == 1


def test_what_a_breaker_keeps_back_costs_nothing_of_the_budget(setting: Setting) -> None:
    setting.wire.say(503)
    bitbucket, budget = setting.bitbucket, setting.access.budget
    for _ in range(1000):
        with pytest.raises(Temporary):
            run(bitbucket.commit(SITE, COMMIT))
    assert len(setting.wire.asked) == budget.sent_in(0) < 10


@pytest.mark.parametrize(("status", "accepted"), [(200, 1), (404, 1), (401, 0), (403, 0), (429, 0), (503, 0), (302, 0)])
def test_only_an_answer_of_who_let_us_in_tells_that_credentials_live(
    setting: Setting, status: int, accepted: int
) -> None:
    setting.wire.say(status, {"values": []})
    with suppress(UpstreamError):
        run(setting.bitbucket.branches(SITE))
    assert setting.access.acceptances == accepted
