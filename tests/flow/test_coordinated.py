"""Projects and credentials that are the coordinator's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import define, evolve
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.errors import DeadCredentials
from probo_bitbucket.flow.accounts import NotOurs
from probo_bitbucket.flow.coordinated import CoordinatorProjects, HandOn, ProjectAccounts
from probo_bitbucket.model import Build, BuildKind, Repository
from probo_bitbucket.probo.container_manager import ContainerManager
from probo_bitbucket.store.credentials import Chain
from probo_bitbucket.upstream import Upstream
from tests.flow.chains import Endpoint, chain_of
from tests.immediate import ImmediateStore, result_of, run, start
from tests.wire import Wire

SITE, SHOP = Repository("acme", "site"), Repository("acme", "shop")
BUILD = Build("b-1", BuildKind.HASH, SITE, SITE, "d96c25c4ae50", "n", 1.0)


@define
class Desk:
    """The accounts of a coordinator's projects, its wire, and the token endpoint."""

    accounts: ProjectAccounts
    wire: Wire
    endpoint: Endpoint

    def has(self, refresh_token: Any, id: str = "p-1") -> None:
        """Have the coordinator answer with this project from now on."""
        project = {"id": id, "service_auth": {"refreshToken": refresh_token}}
        self.wire.answers = [(200, {}, json.dumps(project).encode())]


def coordinator(wire: Wire, clock: Clock) -> ContainerManager:
    return ContainerManager(Upstream("the coordinator", wire.client, clock), "http://coordinator", "secret")


@pytest.fixture
def desk(store: ImmediateStore, clock: Clock) -> Desk:
    wire, endpoint = Wire(), Endpoint()
    accounts = ProjectAccounts(
        coordinator(wire, clock),
        store,
        lambda name, token: chain_of(endpoint, store, clock, token, name=name),
        Budget(clock, 1000),
    )
    return Desk(accounts, wire, endpoint)


def get(desk: Desk, repository: Repository, access_token: str, refresh_token: str) -> None:
    """Have *repository* reached with a pair that the endpoint gives now."""
    asking = start(desk.accounts.of(repository).authorization())
    desk.endpoint.grant(access_token, refresh_token)
    assert result_of(asking) == f"Bearer {access_token}"


def test_the_coordinators_token_reaches_its_repository(desk: Desk) -> None:
    desk.has("R0")
    get(desk, SITE, "A1", "R1")
    assert desk.endpoint.shown == ["R0"]
    assert desk.wire.asked[0].url == "http://coordinator/projects?service=bitbucket&slug=acme%2Fsite&single=true"


def test_projects_that_share_a_token_share_its_chain(desk: Desk) -> None:
    desk.has("R0", "p-1")
    get(desk, SITE, "A1", "R1")
    desk.has("R0", "p-2")
    assert run(desk.accounts.of(SHOP).authorization()) == "Bearer A1"
    assert desk.endpoint.shown == ["R0"]


def test_a_token_that_the_coordinator_has_of_old_does_not_begin_anew(desk: Desk) -> None:
    desk.has("R0")
    get(desk, SITE, "A1", "R1")
    assert run(desk.accounts.of(SITE).authorization()) == "Bearer A1"


def test_a_new_token_that_an_operator_gave_the_coordinator_is_used_at_once(desk: Desk) -> None:
    desk.has("R0")
    asking = start(desk.accounts.of(SITE).authorization())
    desk.endpoint.refuse(DeadCredentials("revoked"))
    with pytest.raises(DeadCredentials):
        result_of(asking)
    desk.has("N0")
    get(desk, SITE, "A1", "N1")
    assert desk.endpoint.shown == ["R0", "N0"]


@pytest.mark.parametrize("project", [None, {"id": "p-1"}, {"id": "p-1", "service_auth": {"refreshToken": ""}}])
def test_a_project_without_credentials_waits_for_them(desk: Desk, project: Any) -> None:
    desk.wire.say(200, project)
    with pytest.raises(DeadCredentials, match="the coordinator has no credentials for acme/site"):
        run(desk.accounts.of(SITE).authorization())


def test_a_token_that_is_refused_is_replaced(desk: Desk) -> None:
    desk.has("R0")
    get(desk, SITE, "A1", "R1")
    access = desk.accounts.of(SITE)
    assert run(access.refused("Bearer A1")) is False
    run(access.authorization())
    assert run(access.refused("Bearer A1")) is True
    start(access.authorization())
    assert desk.endpoint.shown == ["R0", "R1"]


def test_only_tokens_of_our_chains_are_answered(desk: Desk) -> None:
    desk.has("R0")
    get(desk, SITE, "A1", "R1")
    access, _ = run(desk.accounts.by_token("R0"))
    assert run(access.access_token()) == "A1"
    with pytest.raises(NotOurs):
        run(desk.accounts.by_token("unknown"))


def test_a_project_is_sent_with_the_credentials_that_it_has_now(clock: Clock) -> None:
    wire = Wire()
    projects = CoordinatorProjects(coordinator(wire, clock))
    old, new = {"id": "p-1", "service_auth": {"token": "old"}}, {"id": "p-1", "service_auth": {"token": "new"}}
    wire.say(200, old)
    wire.say(200, new)
    wire.say(404)
    assert run(projects.of(BUILD)) == old
    assert run(projects.with_service_auth(old, BUILD)) == new
    assert run(projects.with_service_auth(old, BUILD)) == old
    assert run(projects.of(BUILD)) is None


PREVIOUS = Chain("project p-1", "", "R0")
NEWEST = Chain("project p-1", "", "R1", "A1", expires_at=9200.0, refreshed_at=2000.0)


def test_renewed_tokens_are_handed_on_until_they_are_taken(clock: Clock) -> None:
    wire = Wire()
    for status in (500, 503, 200):
        wire.say(status)
    HandOn(coordinator(wire, clock), clock)(PREVIOUS, NEWEST)
    clock.pump([1, 2])
    clock.advance(1000)
    assert len(wire.asked) == 3
    sent = {name: values[0] for name, values in wire.asked[-1].headers.items()}
    assert wire.asked[-1].url == "http://coordinator/projects/tokens"
    assert (sent["projectid"], sent["token"], sent["refreshtoken"]) == ("p-1", "A1", "R1")
    assert (sent["previousrefreshtoken"], sent["tokencreatedat"], sent["tokenexpiresin"]) == ("R0", "2000", "7200")


def test_a_coordinator_that_refuses_the_tokens_is_not_asked_again(clock: Clock, logged: list[LogEvent]) -> None:
    wire = Wire()
    wire.say(400)
    HandOn(coordinator(wire, clock), clock)(PREVIOUS, NEWEST)
    clock.advance(1000)
    assert len(wire.asked) == 1
    assert [event["account"] for event in logged if event.get("event") == "credentials.not_handed_on"] == [
        "project p-1"
    ]


def test_a_pair_that_follows_one_that_never_arrived_names_the_token_that_the_coordinator_has(clock: Clock) -> None:
    """It would not find the other projects of the chain by a token that it was never told."""
    wire = Wire()
    for status in (503, 200, 200):
        wire.say(status)
    hand_on = HandOn(coordinator(wire, clock), clock)
    second = evolve(NEWEST, refresh_token="R2", access_token="A2")
    hand_on(PREVIOUS, NEWEST)
    hand_on(NEWEST, second)
    clock.advance(1000)
    hand_on(second, evolve(second, refresh_token="R3"))
    told = [(asked.headers["previousrefreshtoken"][0], asked.headers["refreshtoken"][0]) for asked in wire.asked]
    assert told == [("R0", "R1"), ("R0", "R2"), ("R2", "R3")]


def test_a_token_that_an_operator_gave_is_the_one_that_the_coordinator_has(clock: Clock) -> None:
    wire = Wire()
    for status in (400, 200):
        wire.say(status)
    hand_on = HandOn(coordinator(wire, clock), clock)
    hand_on(PREVIOUS, NEWEST)
    hand_on(evolve(PREVIOUS, refresh_token="N0"), evolve(NEWEST, refresh_token="N1"))
    assert wire.asked[-1].headers["previousrefreshtoken"] == ["N0"]
