"""What the Container Manager, the Reaper and the web app ask through us."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from attrs import define, field
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from probo_bitbucket.bitbucket.api import Bitbucket
from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.credentials import AccessToken
from probo_bitbucket.errors import DeadCredentials, Temporary
from probo_bitbucket.flow.builds.lookup import PATIENCE, PAUSE, Lookup
from probo_bitbucket.flow.credentials.access import Access, FixedAccess
from probo_bitbucket.flow.credentials.accounts import NotOurs
from probo_bitbucket.flow.credentials.chain import TokenChain
from probo_bitbucket.flow.statuses.announcement import Announcement
from probo_bitbucket.flow.statuses.display import Display
from probo_bitbucket.model import Build, BuildKind, PullRequest, PullRequestState, Repository, StatusState
from probo_bitbucket.store import StoreUnavailable, Transaction, builds, statuses
from probo_bitbucket.upstream import Upstream
from tests.immediate import ImmediateStore, result_of, run, start
from tests.wire import Wire

HOME, FORK = Repository("acme", "site", "{home}"), Repository("ada", "site", "{fork}")
COMMIT = "d96c25c4ae50"


@define
class Troubled(FixedAccess):
    """An account that has *troubles*, one at each time it is asked."""

    troubles: list[Exception] = field(factory=list)
    asked: int = 0

    async def access_token(self) -> str:
        self.asked += 1
        if self.troubles:
            raise self.troubles.pop(0)
        return await FixedAccess.access_token(self)


@define
class OneAccount:
    """Serves every repository; its only handle is `handle`, which is one of HOME."""

    access: Troubled
    build_id: str = "b-1"
    advice: str = ""

    def of(self, repository: Repository, home: Repository | None = None) -> Access:
        return self.access

    async def by_token(self, text: str) -> tuple[Access, str]:
        if text != "handle":
            raise NotOurs("this refresh token is not ours")
        return self.access, self.build_id

    async def admit(self, text: str, repository: Repository) -> None:
        await self.by_token(text)
        if repository.full_name != HOME.full_name:
            raise NotOurs("this refresh token is not that of the repository")

    def troubles(self, tx: Transaction) -> dict[str, str]:
        return {}

    def chains(self, tx: Transaction) -> Sequence[TokenChain]:
        return []


@define
class Desk:
    """A lookup, and all that it works with."""

    lookup: Lookup
    access: Troubled
    wire: Wire
    woken: list[None]

    def shown(self) -> list[tuple[StatusState, str]]:
        found = self.store.now(statuses.of_build, "b-1")
        return [(each.desired.state, each.desired.description) for each in found]

    @property
    def store(self) -> ImmediateStore:
        assert isinstance(self.lookup.store, ImmediateStore)
        return self.lookup.store


@pytest.fixture
def desk(store: ImmediateStore, clock: Clock) -> Desk:
    wire, woken = Wire(), list[None]()
    access = Troubled("acme", AccessToken("c4n4ry-T"), Budget(clock, 1000), clock)
    accounts = OneAccount(access)
    lookup = Lookup(
        store,
        clock,
        accounts,
        Bitbucket(Upstream("Bitbucket", wire.client, clock), "https://api/2.0", accounts),
        Announcement(Display("Acme", "", "https://bitbucket.org")),
        lambda: woken.append(None),
    )
    return Desk(lookup, access, wire, woken)


def built(desk: Desk) -> Build:
    """A build of pull request 7 from a fork."""
    pull_request = PullRequest(7, "Change", "", "https://x/7", "Ada", "", PullRequestState.OPEN, "main", COMMIT, FORK)
    build = Build("b-1", BuildKind.PULL_REQUEST, HOME, FORK, COMMIT, "Change", 1.0, "main", pull_request, "delivery 3")
    desk.store.now(builds.request, build, 1.0)
    return build


def test_a_handle_gets_a_token(desk: Desk) -> None:
    assert run(desk.lookup.access_token("handle")) == "c4n4ry-T"


def test_anything_else_gets_none(desk: Desk) -> None:
    with pytest.raises(NotOurs):
        run(desk.lookup.access_token("c4n4ry-T"))
    assert desk.access.asked == 0


def test_a_passing_trouble_is_waited_out(desk: Desk, clock: Clock) -> None:
    desk.access.troubles = [Temporary("503")] * 3
    asking = start(desk.lookup.access_token("handle"))
    clock.pump([PAUSE] * 3)
    assert result_of(asking) == "c4n4ry-T"
    assert desk.woken == []


def test_patience_has_an_end_and_the_author_is_told(desk: Desk, clock: Clock, logged: list[LogEvent]) -> None:
    build = built(desk)
    desk.access.troubles = [Temporary("Bitbucket answered 503")] * 1000
    asking = start(desk.lookup.access_token("handle"))
    clock.pump([PAUSE] * (int(PATIENCE / PAUSE) - 1))
    assert not asking.called
    clock.advance(PAUSE)
    with pytest.raises(Temporary, match="503"):
        result_of(asking)
    words = "No access token for the download: Bitbucket answered 503."
    assert desk.shown() == [(StatusState.FAILED, words)]
    stored = desk.store.now(builds.find, build.id)
    assert stored is not None
    assert stored.reason == words
    assert desk.woken == [None]
    [event] = [event for event in logged if event.get("event") == "lookup.failed"]
    assert (event["account"], event["build"], event["delivery"], event["pull_request"]) == ("acme", "b-1", 3, 7)


def test_dead_credentials_are_not_waited_for(desk: Desk) -> None:
    built(desk)
    desk.access.troubles = [DeadCredentials("revoked")]
    with pytest.raises(DeadCredentials):
        run(desk.lookup.access_token("handle"))
    assert desk.access.asked == 1
    assert desk.shown() == [(StatusState.FAILED, "No access token for the download: revoked.")]


def test_a_build_that_is_not_known_needs_no_explanation(desk: Desk) -> None:
    desk.access.troubles = [DeadCredentials("revoked")]
    with pytest.raises(DeadCredentials):
        run(desk.lookup.access_token("handle"))
    assert desk.shown() == []


def test_the_reason_is_logged_also_where_it_cannot_be_stored(desk: Desk, logged: list[LogEvent]) -> None:
    desk.access.troubles = [DeadCredentials("revoked")]
    desk.store.down = True
    with pytest.raises(StoreUnavailable):
        run(desk.lookup.access_token("handle"))
    desk.store.down = False
    [event] = [event for event in logged if event.get("event") == "lookup.failed"]
    assert (event["build"], event["reason"]) == ("b-1", "revoked")


def test_a_store_that_is_away_is_not_taken_for_a_trouble_of_the_credentials(desk: Desk) -> None:
    desk.access.troubles = [StoreUnavailable("disk full")]
    with pytest.raises(StoreUnavailable):
        run(desk.lookup.access_token("handle"))


ANSWERS: list[tuple[str, Any]] = [
    ("pull_request", {"id": 7, "state": "OPEN"}),
    ("branches", {"values": [{"name": "main"}]}),
    ("commits", {"values": [{"hash": COMMIT}]}),
]


def ask(desk: Desk, what: str, token: str) -> Any:
    lookup = desk.lookup
    calls = {
        "pull_request": lambda: lookup.pull_request(FORK, 7, token),
        "branches": lambda: lookup.branches(HOME, token),
        "commits": lambda: lookup.commits(HOME, "main", token),
    }
    return run(calls[what]())


@pytest.mark.parametrize(("what", "answer"), ANSWERS)
@pytest.mark.parametrize("token", ["", "handle"])
def test_who_shows_no_token_or_ours_is_answered(desk: Desk, what: str, answer: Any, token: str) -> None:
    built(desk)
    desk.wire.say(200, answer)
    assert ask(desk, what, token)


@pytest.mark.parametrize(("what", "answer"), ANSWERS)
def test_who_shows_another_token_is_not_answered(desk: Desk, what: str, answer: Any) -> None:
    with pytest.raises(NotOurs):
        ask(desk, what, "another")
    assert desk.wire.asked == []


def test_a_token_opens_no_repository_of_another_account(desk: Desk) -> None:
    for call in (
        desk.lookup.pull_request(FORK, 7, "handle"),  # which we never built, so that its home is not known
        desk.lookup.branches(FORK, "handle"),
        desk.lookup.commits(FORK, "main", "handle"),
    ):
        with pytest.raises(NotOurs):
            run(call)
    assert desk.wire.asked == []


def test_a_pull_request_from_a_fork_is_looked_up_where_it_is(desk: Desk) -> None:
    built(desk)
    desk.wire.say(200, {"id": 7, "state": "OPEN"})
    ask(desk, "pull_request", "")
    assert desk.wire.asked[0].url == "https://api/2.0/repositories/acme/site/pullrequests/7"


def test_a_pull_request_that_we_never_built_is_looked_up_where_it_is_said_to_be(desk: Desk) -> None:
    desk.wire.say(200, {"id": 7, "state": "OPEN"})
    ask(desk, "pull_request", "")
    assert desk.wire.asked[0].url == "https://api/2.0/repositories/ada/site/pullrequests/7"
