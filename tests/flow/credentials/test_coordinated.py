"""Projects and credentials that are the coordinator's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import define
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.errors import DeadCredentials
from probo_bitbucket.flow.credentials.accounts import NotOurs
from probo_bitbucket.flow.credentials.coordinated import CoordinatorProjects, ProjectAccounts
from probo_bitbucket.flow.credentials.projects import NoProject
from probo_bitbucket.flow.credentials.upkeep import IDLE, Upkeep
from probo_bitbucket.flow.credentials.wanting import Wanting
from probo_bitbucket.model import Build, BuildKind, Repository
from probo_bitbucket.probo.container_manager import ContainerManager
from probo_bitbucket.store import credentials
from probo_bitbucket.upstream import Upstream
from tests.flow.credentials.chains import HOUR, Endpoint, chain_of
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
    return ContainerManager(Upstream("the coordinator", wire.client, clock), "http://coordinator", "c4n4ry-secret")


@pytest.fixture
def desk(store: ImmediateStore, clock: Clock) -> Desk:
    wire, endpoint = Wire(), Endpoint()
    accounts = ProjectAccounts(
        coordinator(wire, clock),
        store,
        lambda name, chain: chain_of(endpoint, store, clock, chain.refresh_token, name=name, origin=chain.origin),
        Budget(clock, 1000),
        Wanting(clock),
    )
    return Desk(accounts, wire, endpoint)


def get(desk: Desk, repository: Repository, access_token: str, refresh_token: str) -> None:
    """Have *repository* reached with a pair that the endpoint gives now."""
    asking = start(desk.accounts.of(repository).authorization())
    desk.endpoint.grant(access_token, refresh_token)
    assert result_of(asking) == f"Bearer {access_token}"


def test_the_coordinators_token_reaches_its_repository(desk: Desk) -> None:
    desk.has("c4n4ry-R0")
    get(desk, SITE, "c4n4ry-A1", "c4n4ry-R1")
    assert desk.endpoint.shown == ["c4n4ry-R0"]
    assert desk.wire.asked[0].url == "http://coordinator/projects?service=bitbucket&slug=acme%2Fsite&single=true"


def test_projects_that_share_a_token_share_its_chain(desk: Desk) -> None:
    desk.has("c4n4ry-R0", "p-1")
    get(desk, SITE, "c4n4ry-A1", "c4n4ry-R1")
    desk.has("c4n4ry-R0", "p-2")
    assert run(desk.accounts.of(SHOP).authorization()) == "Bearer c4n4ry-A1"
    assert desk.endpoint.shown == ["c4n4ry-R0"]


def test_a_token_that_the_coordinator_has_of_old_does_not_begin_anew(desk: Desk) -> None:
    desk.has("c4n4ry-R0")
    get(desk, SITE, "c4n4ry-A1", "c4n4ry-R1")
    assert run(desk.accounts.of(SITE).authorization()) == "Bearer c4n4ry-A1"


def test_a_new_token_that_an_operator_gave_the_coordinator_is_used_at_once(desk: Desk) -> None:
    desk.has("c4n4ry-R0")
    asking = start(desk.accounts.of(SITE).authorization())
    desk.endpoint.refuse(DeadCredentials("revoked"))
    with pytest.raises(DeadCredentials):
        result_of(asking)
    desk.has("c4n4ry-N0")
    get(desk, SITE, "c4n4ry-A1", "c4n4ry-N1")
    assert desk.endpoint.shown == ["c4n4ry-R0", "c4n4ry-N0"]


def test_new_credentials_of_a_project_leave_the_others_on_their_chain(desk: Desk, store: ImmediateStore) -> None:
    desk.has("c4n4ry-R0", "p-1")
    get(desk, SITE, "c4n4ry-A1", "c4n4ry-R1")
    desk.has("c4n4ry-R0", "p-2")
    assert run(desk.accounts.of(SHOP).authorization()) == "Bearer c4n4ry-A1"
    desk.has("c4n4ry-N0", "p-1")
    get(desk, SITE, "c4n4ry-B1", "c4n4ry-N1")
    desk.has("c4n4ry-R0", "p-2")
    assert run(desk.accounts.of(SHOP).authorization()) == "Bearer c4n4ry-A1"
    tokens = {"c4n4ry-R0": "c4n4ry-A1", "c4n4ry-R1": "c4n4ry-A1", "c4n4ry-N0": "c4n4ry-B1", "c4n4ry-N1": "c4n4ry-B1"}
    assert {token: run(run(desk.accounts.by_token(token))[0].access_token()) for token in tokens} == tokens
    assert store.now(credentials.holders, "c4n4ry-R1") == ["project p-2"]


def test_a_project_whose_token_was_not_renewed_at_the_coordinator_stays_on_its_chain(
    desk: Desk, store: ImmediateStore, clock: Clock
) -> None:
    """It refused what was handed on, and shows what it had half a year ago."""
    desk.has("c4n4ry-R0")
    get(desk, SITE, "c4n4ry-A1", "c4n4ry-R1")
    desk.has("c4n4ry-R1")
    assert run(desk.accounts.of(SITE).authorization()) == "Bearer c4n4ry-A1"
    for number in range(2, 5):
        clock.advance(3 * HOUR)
        get(desk, SITE, f"c4n4ry-A{number}", f"c4n4ry-R{number}")
    assert store.now(credentials.prune, clock.seconds() + 1, 100) == 2
    assert run(desk.accounts.of(SITE).authorization()) == "Bearer c4n4ry-A4"


@pytest.mark.parametrize("project", [{"id": "p-1"}, {"id": "p-1", "service_auth": {"refreshToken": ""}}])
def test_a_project_without_credentials_waits_for_them_and_is_told(
    desk: Desk, store: ImmediateStore, logged: list[LogEvent], project: Any
) -> None:
    desk.wire.say(200, project)
    with pytest.raises(DeadCredentials, match="the coordinator has no credentials for acme/site"):
        run(desk.accounts.of(SITE).authorization())
    assert store.now(desk.accounts.troubles) == {"project acme/site": "there are none"}
    assert [event["repository"] for event in logged if event.get("event") == "credentials.missing"] == ["acme/site"]
    desk.has("c4n4ry-R0")
    get(desk, SITE, "c4n4ry-A1", "c4n4ry-R1")
    assert store.now(desk.accounts.troubles) == {"project p-1": ""}


def test_a_token_admits_to_the_projects_of_its_chain_only(desk: Desk) -> None:
    desk.has("c4n4ry-R0", "p-1")
    get(desk, SITE, "c4n4ry-A1", "c4n4ry-R1")
    run(desk.accounts.admit("c4n4ry-R1", SITE))
    desk.has("c4n4ry-S0", "p-2")
    with pytest.raises(NotOurs, match="not that of acme/shop"):
        run(desk.accounts.admit("c4n4ry-R1", SHOP))


def test_a_token_that_is_refused_is_replaced(desk: Desk) -> None:
    desk.has("c4n4ry-R0")
    get(desk, SITE, "c4n4ry-A1", "c4n4ry-R1")
    access = desk.accounts.of(SITE)
    assert run(access.refused("Bearer c4n4ry-A1")) is False
    run(access.authorization())
    assert run(access.refused("Bearer c4n4ry-A1")) is True
    start(access.authorization())
    assert desk.endpoint.shown == ["c4n4ry-R0", "c4n4ry-R1"]


def test_only_tokens_of_our_chains_are_answered(desk: Desk) -> None:
    desk.has("c4n4ry-R0")
    get(desk, SITE, "c4n4ry-A1", "c4n4ry-R1")
    access, _ = run(desk.accounts.by_token("c4n4ry-R0"))
    assert run(access.access_token()) == "c4n4ry-A1"
    with pytest.raises(NotOurs):
        run(desk.accounts.by_token("unknown"))


def test_the_chains_of_all_projects_are_known_after_a_restart_each_once(
    desk: Desk, store: ImmediateStore, clock: Clock
) -> None:
    for id, token in (("p-1", "c4n4ry-R0"), ("p-2", "c4n4ry-R0"), ("p-3", "c4n4ry-T0")):
        store.now(credentials.begin, f"project {id}", token)
    store.now(credentials.begin, "default", "c4n4ry-of-the-settings")
    clock.advance(IDLE)
    start(Upkeep(store, desk.accounts.chains).round())
    desk.endpoint.grant("c4n4ry-A1", "c4n4ry-R1")
    assert desk.endpoint.shown == ["c4n4ry-R0", "c4n4ry-T0"]


def test_a_chain_that_was_dead_before_a_restart_is_told(desk: Desk, store: ImmediateStore) -> None:
    chain = store.now(credentials.begin, "project p-1", "c4n4ry-R0")
    store.now(credentials.unlock, chain, "revoked")
    assert store.now(desk.accounts.troubles) == {"project p-1": "revoked"}


def test_a_project_is_kept_without_its_credentials_and_sent_with_those_that_it_has_now(desk: Desk) -> None:
    projects = CoordinatorProjects(desk.accounts.coordinator, desk.accounts)
    desk.has("c4n4ry-R0")
    assert run(projects.of(BUILD)) == {"id": "p-1"}
    desk.has("c4n4ry-N0")
    assert run(projects.with_service_auth({"id": "p-1"}, BUILD))["service_auth"] == {"refreshToken": "c4n4ry-N0"}


def test_a_token_that_was_sent_with_a_build_may_be_asked_with_at_once(desk: Desk) -> None:
    projects = CoordinatorProjects(desk.accounts.coordinator, desk.accounts)
    desk.has("c4n4ry-R0")
    get(desk, SITE, "c4n4ry-A1", "c4n4ry-R1")
    desk.has("c4n4ry-N0")
    run(projects.with_service_auth({"id": "p-1"}, BUILD))
    access, _ = run(desk.accounts.by_token("c4n4ry-N0"))
    asking = start(access.access_token())
    desk.endpoint.grant("c4n4ry-B1", "c4n4ry-N1")
    assert result_of(asking) == "c4n4ry-B1"


def test_a_repository_without_a_project_waits_for_nothing(desk: Desk) -> None:
    projects = CoordinatorProjects(desk.accounts.coordinator, desk.accounts)
    for status, body in ((404, b""), (200, b"null")):
        desk.wire.answers = [(status, {}, body)]
        for asking in (
            desk.accounts.of(SITE).authorization(),
            projects.of(BUILD),
            projects.with_service_auth({"id": "p-1"}, BUILD),
        ):
            with pytest.raises(NoProject, match="the coordinator has no project for acme/site"):
                run(asking)
