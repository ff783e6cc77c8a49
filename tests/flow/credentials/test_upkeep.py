"""Credentials that nobody uses are kept alive."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel

from probo_bitbucket.assembly.periodic import UPKEEP_INTERVAL
from probo_bitbucket.errors import DeadCredentials, Temporary
from probo_bitbucket.flow.credentials.upkeep import IDLE, Upkeep
from tests.flow.credentials.chains import Endpoint, chain_of
from tests.immediate import ImmediateStore, result_of, start


def test_idle_credentials_are_refreshed_and_those_in_use_are_not(store: ImmediateStore, clock: Clock) -> None:
    idle, used = Endpoint(), Endpoint()
    chains = [
        chain_of(idle, store, clock, "c4n4ry-I0", name="idle"),
        chain_of(used, store, clock, "c4n4ry-U0", name="used"),
    ]
    asking = start(chains[1].access_token())
    used.grant("c4n4ry-A1", "c4n4ry-U1")
    result_of(asking)
    clock.advance(IDLE - 1)
    start(Upkeep(store, lambda _: chains).round())
    assert (idle.shown, used.shown) == (["c4n4ry-I0"], ["c4n4ry-U0"])


def test_credentials_that_are_dead_do_not_keep_the_others_from_being_refreshed(
    store: ImmediateStore, clock: Clock, logged: list[LogEvent]
) -> None:
    dead, alive = Endpoint(), Endpoint()
    chains = [
        chain_of(dead, store, clock, "c4n4ry-D0", name="dead"),
        chain_of(alive, store, clock, "c4n4ry-A0", name="alive"),
    ]
    clock.advance(IDLE)
    round = start(Upkeep(store, lambda _: chains).round())
    dead.refuse(DeadCredentials("revoked"))
    alive.grant("c4n4ry-A1", "c4n4ry-A1")
    result_of(round)
    assert [event for event in logged if event.get("event") == "credentials.idle"] == []  # they are told already


def test_idle_credentials_that_could_not_be_refreshed_are_told(
    store: ImmediateStore, clock: Clock, logged: list[LogEvent]
) -> None:
    endpoint = Endpoint()
    chain = chain_of(endpoint, store, clock)
    clock.advance(IDLE)
    upkeep = Upkeep(store, lambda _: [chain])
    round = start(upkeep.round())
    endpoint.refuse(Temporary("503"))
    result_of(round)
    [event] = [event for event in logged if event.get("event") == "credentials.idle"]
    assert (event["account"], event["reason"], event["log_level"]) == ("default", "503", LogLevel.warn)
    round = start(upkeep.round())
    endpoint.grant("c4n4ry-A1", "c4n4ry-R1")
    result_of(round)
    assert endpoint.shown == ["c4n4ry-R0", "c4n4ry-R0"]


def test_a_round_follows_before_a_token_dies_whose_successor_was_lost() -> None:
    assert 2 * UPKEEP_INTERVAL < 600.0


def test_who_has_tokens_of_one_chain_is_told_once(store: ImmediateStore, clock: Clock, logged: list[LogEvent]) -> None:
    endpoint = Endpoint()
    chains = [chain_of(endpoint, store, clock, name=name, node=name) for name in ("acme", "globex")]
    asking = start(chains[0].access_token())
    endpoint.grant("c4n4ry-A1", "c4n4ry-R1")
    result_of(asking)
    upkeep = Upkeep(store, lambda _: chains)
    for _ in range(2):
        result_of(start(upkeep.round()))
    assert [event["account"] for event in logged if event.get("event") == "credentials.shared"] == ["acme, globex"]
