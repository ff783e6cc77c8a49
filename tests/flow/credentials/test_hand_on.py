"""Renewed tokens are handed on to the coordinator, whatever comes between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from attrs import define, evolve
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from probo_bitbucket.flow.credentials.hand_on import HandingOn
from probo_bitbucket.flow.work.leases import Leases
from probo_bitbucket.flow.work.precedence import Precedence
from probo_bitbucket.flow.work.schedule import Schedule
from probo_bitbucket.flow.work.worker import Worker
from probo_bitbucket.probo.container_manager import ContainerManager
from probo_bitbucket.store import Transaction, credentials, hand_ons
from probo_bitbucket.upstream import Upstream
from tests.flow.credentials.chains import HOUR
from tests.immediate import ImmediateStore
from tests.wire import Wire

NAME = "project p-1"


@define
class Desk:
    """A project's chain, and a coordinator that is to be told of its tokens."""

    store: ImmediateStore
    clock: Clock
    wire: Wire
    worker: Worker

    def renew(self, number: int) -> None:
        """Have the pair of that number: c4n4ry-A1 and c4n4ry-R1, c4n4ry-A2 and c4n4ry-R2 …"""

        def succeed(tx: Transaction) -> None:
            chain, now = credentials.begin(tx, NAME, "c4n4ry-R0"), self.clock.seconds()
            pair = evolve(chain, access_token=f"c4n4ry-A{number}", refresh_token=f"c4n4ry-R{number}", refreshed_at=now)
            newest = evolve(pair, expires_at=now + 2 * HOUR)
            assert credentials.succeed(tx, chain, newest)
            hand_ons.note(tx, chain, newest)

        self.store.now(succeed)

    def told(self) -> list[tuple[str, str]]:
        """What the coordinator was told so far: the refresh token that it has, and the newest."""
        sent = [asked.headers for asked in self.wire.asked]
        return [(headers["previousrefreshtoken"][0], headers["refreshtoken"][0]) for headers in sent]

    def wait(self) -> None:
        """Let an hour go by, for all tries that come by themselves."""
        self.clock.pump([1.0] * int(HOUR))


@pytest.fixture
def desk(store: ImmediateStore, clock: Clock) -> Iterator[Desk]:
    wire = Wire()
    coordinator = ContainerManager(
        Upstream("the coordinator", wire.client, clock), "http://coordinator", "c4n4ry-secret"
    )
    step: Any = HandingOn(store, coordinator)
    worker = Worker(step, Leases(store, clock, "node"), clock, Schedule(24 * HOUR, lambda: 0.5), Precedence(clock))
    worker.startService()
    yield Desk(store, clock, wire, worker)
    worker.stopService()


def test_the_pair_is_told_in_headers(desk: Desk) -> None:
    desk.wire.say(200)
    desk.renew(1)
    desk.wait()
    [asked] = desk.wire.asked
    sent = {name: values[0] for name, values in asked.headers.items()}
    assert (asked.method, asked.url) == ("POST", "http://coordinator/projects/tokens")
    assert (sent["projectid"], sent["providertype"]) == ("p-1", "bitbucket")
    assert (sent["token"], sent["refreshtoken"], sent["previousrefreshtoken"]) == (
        "c4n4ry-A1",
        "c4n4ry-R1",
        "c4n4ry-R0",
    )
    assert (sent["tokencreatedat"], sent["tokenexpiresin"]) == ("1000000", "7200")


def test_a_coordinator_that_is_down_is_told_until_it_has_the_pair(desk: Desk, logged: list[LogEvent]) -> None:
    for status in (500, 503, 200):
        desk.wire.say(status)
    desk.renew(1)
    desk.wait()
    assert desk.told() == [("c4n4ry-R0", "c4n4ry-R1")] * 3
    events = [event["event"] for event in logged if event.get("account") == NAME]
    assert events == ["credentials.hand_on_postponed"] * 2 + ["credentials.handed_on"]


def test_a_coordinator_that_refuses_a_pair_is_not_told_again_but_of_the_next(
    desk: Desk, logged: list[LogEvent]
) -> None:
    desk.wire.say(400)
    desk.wire.say(200)
    desk.renew(1)
    desk.wait()
    [event] = [event for event in logged if event.get("event") == "credentials.not_handed_on"]
    assert event["account"] == NAME
    desk.renew(2)
    desk.wait()
    assert desk.told() == [("c4n4ry-R0", "c4n4ry-R1"), ("c4n4ry-R0", "c4n4ry-R2")]


def test_a_pair_that_follows_one_that_never_arrived_names_the_token_that_the_coordinator_has(desk: Desk) -> None:
    """It would not find the other projects of the chain by a token that it was never told."""
    for status in (503, 200):
        desk.wire.say(status)
    desk.renew(1)
    desk.clock.advance(1)
    desk.renew(2)
    desk.wait()
    desk.renew(3)
    desk.wait()
    assert desk.told() == [("c4n4ry-R0", "c4n4ry-R1"), ("c4n4ry-R0", "c4n4ry-R2"), ("c4n4ry-R2", "c4n4ry-R3")]


def test_a_pair_that_came_while_the_one_before_was_told_is_told_as_well(desk: Desk) -> None:
    desk.wire.say(200)
    desk.renew(1)
    [telling] = desk.store.now(hand_ons.claim_pending, desk.worker.leases.new(), 10, holders=NAME)
    desk.renew(2)
    desk.store.now(hand_ons.taken, telling)
    desk.wait()
    assert desk.told() == [("c4n4ry-R1", "c4n4ry-R2")]


def test_what_an_operator_gave_the_coordinator_is_not_overwritten(desk: Desk) -> None:
    desk.wire.say(200)
    desk.renew(1)
    desk.store.now(credentials.begin, NAME, "c4n4ry-N0")
    desk.wait()
    assert desk.told() == []


def test_those_who_still_share_a_chain_are_told_when_another_project_has_left_it(desk: Desk) -> None:
    desk.wire.say(200)
    desk.renew(1)
    desk.store.now(credentials.begin, "project p-2", "c4n4ry-R0")
    desk.store.now(credentials.begin, NAME, "c4n4ry-N0")
    desk.wait()
    assert desk.told() == [("c4n4ry-R0", "c4n4ry-R1")]
    assert desk.wire.asked[0].headers["projectid"] == ["p-2"]
