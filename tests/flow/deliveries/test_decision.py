"""A delivery is decided in the transaction that takes it, and one that cannot be holds up no other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from attrs import define, field
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs

from probo_bitbucket.bitbucket import payloads
from probo_bitbucket.flow.deliveries.decision import Decision, Taken
from probo_bitbucket.flow.deliveries.responder import Responder, Response
from probo_bitbucket.flow.work.leases import STANDSTILL, Leases
from probo_bitbucket.flow.work.precedence import Precedence
from probo_bitbucket.flow.work.schedule import Schedule
from probo_bitbucket.flow.work.worker import Worker
from probo_bitbucket.model import Delivery, DeliveryState, Event
from probo_bitbucket.store import Lease, Transaction, deliveries
from tests.immediate import ImmediateStore, result_of, start

SITE = "https://bitbucket.org"


@define
class Judge:
    """In place of the rules. It trips over the pull requests named in *stones*."""

    stones: Sequence[int] = ()
    asked: list[int | None] = field(factory=list)

    def respond(self, tx: Transaction, event: Event, now: float, origin: str) -> Response:
        self.asked.append(event.number)
        if event.number in self.stones:
            raise ZeroDivisionError
        return Response(DeliveryState.ACCEPTED, f"told of #{event.number}")


@define
class SlowJudge(Judge):
    """Takes longer than may pass between taking work and doing it."""

    clock: Clock = field(kw_only=True)

    def respond(self, tx: Transaction, event: Event, now: float, origin: str) -> Response:
        self.clock.advance(STANDSTILL + 1)
        return super().respond(tx, event, now, origin)


@define
class Told:
    """How often the steps that follow were told to look."""

    builder: int = 0
    others: int = 0

    def build(self) -> None:
        self.builder += 1

    def wake(self) -> None:
        self.others += 1


def body(number: int) -> bytes:
    repository = {"full_name": "acme/site", "name": "site", "uuid": "{a}", "links": {}}
    source = {"branch": {"name": "change"}, "commit": {"hash": "0123456789ab"}, "repository": repository}
    pull_request = {"id": number, "title": "Change", "state": "OPEN", "source": source, "links": {}}
    return json.dumps({"repository": repository, "pullrequest": pull_request}).encode()


def accept(store: ImmediateStore, *numbers: int) -> None:
    for number in numbers:
        delivery = Delivery("pullrequest:created", body(number), 1_000_000.0)
        event = payloads.read(delivery.event_key, delivery.body, SITE)
        store.now(deliveries.record, delivery, event)


def decision(store: ImmediateStore, clock: Clock, judge: Judge, told: Told) -> Decision:
    return Decision(store, clock, SITE, cast(Responder, judge), 0.0, told.build, told.wake)


def claim(step: Decision, clock: Clock) -> Sequence[Taken]:
    taken: Sequence[Taken] = result_of(start(step.claim(Lease("node/1", clock.seconds()), 16, [])))
    return taken


def states(store: ImmediateStore) -> dict[int, Any]:
    def read(tx: Transaction) -> dict[int, Any]:
        rows = tx.exec_driver_sql("SELECT pull_request, state FROM deliveries")
        return {row.pull_request: row.state for row in rows}

    return store.now(read)


def decided(events: Sequence[LogEvent]) -> list[Any]:
    """The deliveries that the log says are decided."""
    return [event["delivery"] for event in events if event.get("event") == "delivery.decided"]


def test_each_decision_is_told_once_and_also_where_nobody_goes_on_with_it(store: ImmediateStore, clock: Clock) -> None:
    """As when the service is stopped while deliveries are taken."""
    step = decision(store, clock, Judge(), Told())
    accept(store, 1, 2)
    with capturedLogs() as events:
        taken = claim(step, clock)
    assert decided(events) == [1, 2]
    with capturedLogs() as events:
        for job in taken:
            result_of(start(step.work(job)))
    assert decided(events) == []


def test_what_is_decided_late_is_decided_and_left_to_nobody(store: ImmediateStore, clock: Clock) -> None:
    """As where the store is slow: the transaction that takes deliveries waits for its turn, and decides them."""
    told = Told()
    step = decision(store, clock, SlowJudge(clock=clock), told)
    accept(store, 1)
    worker = Worker(
        step,  # type: ignore[arg-type] # its own job
        Leases(store, clock, "node"),
        clock,
        Schedule(3600.0, lambda: 0.5),
        Precedence(clock),
    )
    with capturedLogs() as events:
        worker.startService()
    assert (states(store), decided(events), told) == ({1: "accepted"}, [1], Told(builder=1, others=1))
    assert [event for event in events if event.get("event") == "worker.late"] == []


def test_what_is_taken_is_decided_and_the_builder_looks_right_behind(store: ImmediateStore, clock: Clock) -> None:
    judge, told = Judge(), Told()
    step = decision(store, clock, judge, told)
    accept(store, 1, 2)
    taken = claim(step, clock)
    assert states(store) == {1: "accepted", 2: "accepted"}
    assert told == Told(builder=1)
    for job in taken:
        result_of(start(step.work(job)))
    assert judge.asked == [1, 2]  # each of them once
    assert told.others == 2


def test_one_that_cannot_be_decided_holds_up_no_other(store: ImmediateStore, clock: Clock) -> None:
    told = Told()
    step = decision(store, clock, Judge(stones=[1]), told)
    accept(store, 1, 2)
    stone, other = claim(step, clock)
    assert states(store) == {1: "waiting", 2: "waiting"}
    failed = start(step.work(stone))
    failed.addErrback(lambda failure: failure.trap(ZeroDivisionError))
    assert result_of(failed) is ZeroDivisionError
    looked = told.builder
    with capturedLogs() as events:
        result_of(start(step.work(other)))
    assert states(store) == {1: "waiting", 2: "accepted"}
    assert told.builder == looked + 1  # right behind it
    assert decided(events) == [2]
