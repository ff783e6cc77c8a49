"""The store against a model of it, in any order of operations of three nodes, on both engines."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from attrs import define, evolve, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from twisted.python.failure import Failure

from probo_bitbucket.model import (
    Build,
    BuildKind,
    BuildState,
    Delivery,
    DeliveryState,
    ForwardedUpdate,
    Ignored,
    PullRequest,
    PullRequestChanged,
    PullRequestState,
    Repository,
    Status,
    StatusState,
)
from probo_bitbucket.store import (
    LEASE,
    Engine,
    Lease,
    builds,
    credentials,
    deliveries,
    forwarded,
    nodes,
    schema,
    statuses,
)
from probo_bitbucket.store.builds import StoredBuild
from probo_bitbucket.store.credentials import Chain
from probo_bitbucket.store.deliveries import WaitingDelivery
from probo_bitbucket.store.forwarded import StoredUpdate
from probo_bitbucket.store.statuses import StoredStatus, Wish

NODES = st.sampled_from(["north", "south", "east"])
NUMBERS = st.integers(1, 2)
COMMITS = st.sampled_from(["a" * 12, "b" * 12])
LIMITS = st.integers(1, 3)
WAITS = st.sampled_from([0.0, 11.0, LEASE])  # seconds: to when a postponed row is due, or a lease has ended
KEYS = st.sampled_from(["one", "two"])
SKEWS = st.sampled_from([0.0, 0.0, -3.0, 3.0])  # seconds that the clock of the node is ahead that asks for a build
SITE = Repository("acme", "site", "{site}")


@define(eq=False)
class Work:
    """What the model knows of a row that is something to do."""

    lane: str
    order: tuple[Any, ...]
    pending: bool = True
    due_at: float = 0.0
    node: str = ""
    until: float = 0.0
    version: int = 0  # of a status: the desired one
    reported: int = 0  # of a status: the one that Bitbucket has
    failed: bool = False

    def free(self, now: float) -> bool:
        return self.pending and self.due_at <= now and self.until <= now

    def lease(self, node: str, now: float) -> None:
        self.node, self.until = node, now + LEASE

    def let_go(self) -> None:
        self.node, self.until = "", 0.0

    def done(self) -> None:
        self.pending = False
        self.let_go()

    def postpone(self, due_at: float) -> None:
        if self.pending:
            self.due_at = due_at
            self.let_go()


@define
class Tokens:
    """What the model knows of a chain."""

    origin: str
    newest: str
    node: str = ""
    until: float = 0.0
    spent: set[str] = field(factory=set)


class Machine(RuleBasedStateMachine):
    """Does the same to the store and to the model, and compares what comes out."""

    engine: ClassVar[Engine]
    table: ClassVar[sa.Table]
    prune: ClassVar[Callable[..., int]]

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.rows: dict[Any, Work] = {}
        self.in_hand: list[Any] = []  # what a node once claimed, and perhaps lost since
        with self.engine.begin() as tx:
            for table in schema.metadata.sorted_tables:
                tx.execute(sa.delete(table))

    def do(self, operation: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        (result,) = self.engine.run([lambda tx: operation(tx, *arguments, **named)])
        if isinstance(result, Failure):
            result.raiseException()
        return result

    def stored(self) -> dict[Any, Any]:
        key = self.table.c["key" if self.table is schema.statuses else "id"]
        with self.engine.begin() as tx:
            return {row._mapping[key]: row for row in tx.execute(sa.select(self.table))}

    @rule(seconds=st.sampled_from([1.0, LEASE / 2, LEASE, 100.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds

    @rule(node=NODES)
    def a_node_renews(self, node: str) -> None:
        self.do(nodes.renew, [node], self.now)
        for row in self.rows.values():
            if row.node == node and row.until > self.now:
                row.until = self.now + LEASE

    @rule(node=NODES)
    def a_node_stops(self, node: str) -> None:
        self.do(nodes.release, node)
        for row in self.rows.values():
            if row.node == node:
                row.let_go()

    @rule(data=st.data(), outcome=st.sampled_from(["done", "postponed", "given up", "cancelled"]))
    def a_node_is_done(self, data: st.DataObject, outcome: str) -> None:
        """Perhaps long after its lease ended."""
        if self.in_hand:
            self.end(self.in_hand.pop(data.draw(st.integers(0, len(self.in_hand) - 1))), outcome)

    def end(self, job: Any, outcome: str) -> None:
        raise NotImplementedError

    @rule(limit=st.integers(1, 2))
    def old_rows_are_pruned(self, limit: int) -> None:
        gone = self.do(type(self).prune, self.now - 200, limit)
        pruned = set(self.rows) - set(self.stored())
        assert len(pruned) == gone <= limit
        for key in pruned:
            assert not self.rows.pop(key).pending

    @invariant()
    def the_rows_are_as_the_model_says(self) -> None:
        stored = {key: (row.pending, row.leased_by, row.leased_until) for key, row in self.stored().items()}
        assert stored == {key: (row.pending, row.node, row.until) for key, row in self.rows.items()}


class Deliveries(Machine):
    table = schema.deliveries
    prune = deliveries.prune

    @initialize()
    def some_wait(self) -> None:
        for number in (1, 1, 2):
            self.a_delivery_comes_in(number, ignored=False)

    @rule(number=NUMBERS, ignored=st.booleans())
    def a_delivery_comes_in(self, number: int, ignored: bool) -> None:
        event = Ignored("a comment", SITE) if ignored else PullRequestChanged(SITE, pull_request(number, "a" * 12))
        id = self.do(deliveries.record, Delivery("pullrequest:created", b"{}", self.now), event)
        assert id not in self.rows
        self.rows[id] = Work(str(number), (id,), pending=not ignored)

    @rule(node=NODES, limit=LIMITS, waited=WAITS)
    def deliveries_are_claimed(self, node: str, limit: int, waited: float) -> None:
        self.now += waited
        jobs = self.do(deliveries.claim_waiting, Lease(node, self.now), limit)
        rows = self.rows.values()
        expected = sorted(row.order[0] for row in rows if row.free(self.now) and _is_first(row, rows))
        assert [job.id for job in jobs] == expected[:limit]
        for job in jobs:
            self.rows[job.id].lease(node, self.now)
            self.in_hand.append(job)

    def end(self, job: WaitingDelivery, outcome: str) -> None:
        row = self.rows.get(job.id)
        if outcome == "postponed":
            self.do(deliveries.postpone, job, due_at=self.now + 10, error="down", now=self.now)
            if row:
                row.postpone(self.now + 10)
        else:
            self.do(deliveries.decide, job.id, DeliveryState.ACCEPTED, "", self.now)
            if row and row.pending:
                row.done()


class Builds(Machine):
    table = schema.builds
    prune = builds.prune

    def __init__(self) -> None:
        super().__init__()
        self.claims: dict[str, str] = {}
        self.asked = 0

    @initialize()
    def some_are_wanted(self) -> None:
        for number, commit in ((1, "a" * 12), (1, "b" * 12), (2, "a" * 12)):
            self.a_build_is_asked_for(number, commit, 0.0)

    @rule(number=NUMBERS, commit=COMMITS, ahead=SKEWS)
    def a_build_is_asked_for(self, number: int, commit: str, ahead: float) -> None:
        self.asked += 1
        build = wanted(f"{9 - self.asked % 10}-{self.asked}", number, commit, self.now + ahead)
        self.claims = {claim: id for claim, id in self.claims.items() if id in self.rows}
        id = self.do(builds.request, build, self.now)
        assert id == self.claims.setdefault(build.claim, build.id)
        if id == build.id:
            order = (self.stored()[id].created_at, id)
            assert all(row.order < order for row in self.rows.values() if row.lane == str(number))
            self.rows[id] = Work(str(number), order)

    @rule(node=NODES, limit=LIMITS, waited=WAITS)
    def builds_are_claimed(self, node: str, limit: int, waited: float) -> None:
        self.now += waited
        jobs = self.do(builds.claim_pending, Lease(node, self.now), limit)
        rows = self.rows.values()
        free = [row for row in rows if row.free(self.now) and _is_first(row, rows)]
        expected = [row.order[1] for row in sorted(free, key=lambda row: row.order)]
        assert [job.build.id for job in jobs] == expected[:limit]
        for job in jobs:
            self.rows[job.build.id].lease(node, self.now)
            self.in_hand.append(job)

    def end(self, job: StoredBuild, outcome: str) -> None:
        row = self.rows.get(job.build.id)
        if outcome == "postponed":
            self.do(builds.postpone, job, due_at=self.now + 10, error="down", now=self.now)
            if row and row.node == job.leased_by:
                row.postpone(self.now + 10)
            return
        state = {"done": BuildState.RUNNING, "given up": BuildState.FAILED}.get(outcome, BuildState.CANCELLED)
        self.do(builds.conclude, job.build.id, state, self.now)
        if row:
            row.done()
        if state is BuildState.CANCELLED and self.claims.get(job.build.claim) == job.build.id:
            del self.claims[job.build.claim]  # may be asked for again


class Statuses(Machine):
    table = schema.statuses
    prune = statuses.prune

    @initialize()
    def some_are_desired(self) -> None:
        self.a_status_is_desired("one", StatusState.INPROGRESS, 0.0)
        self.a_status_is_desired("two", StatusState.SUCCESSFUL, 0.0)

    @rule(key=KEYS, state=st.sampled_from(StatusState), later=st.sampled_from([0.0, 0.0, 5.0]))
    def a_status_is_desired(self, key: str, state: StatusState, later: float) -> None:
        row = self.rows.setdefault(key, Work(key, ()))
        status = Status(SITE, "a" * 40, key, state, "Probo", f"version {row.version + 1}", "https://example.org/")
        wish = Wish("build", key, status, {}, settled=False, due_at=self.now + later)

        def desire(tx: sa.Connection) -> StoredStatus | None:
            previous = statuses.find(tx, status)
            statuses.desire(tx, wish, previous, self.now)
            return previous

        previous = self.do(desire)
        row.version += 1
        row.pending, row.failed = True, False
        row.order = (0 if state.final else 1,)
        first_final = previous is not None and state.final and not previous.desired.state.final
        if previous is None or previous.effort.failing_since is None or first_final:
            row.due_at = wish.due_at

    @rule(node=NODES, limit=LIMITS, waited=WAITS, busy=st.sampled_from([False, False, False, True]))
    def statuses_are_claimed(self, node: str, limit: int, waited: float, busy: bool) -> None:
        self.now += waited
        passed_over = [SITE.full_name] if busy else []
        jobs = self.do(statuses.claim_pending, Lease(node, self.now), limit, busy=passed_over)
        free = {} if busy else {key: row for key, row in self.rows.items() if row.free(self.now)}
        ranks = [self.rows[job.desired.key].order for job in jobs]
        assert len(jobs) == min(limit, len(free))
        assert ranks == sorted(row.order for row in free.values())[:limit], "final states go first"
        for job in jobs:
            row = free[job.desired.key]
            assert job.desired.description == f"version {row.version}"
            row.lease(node, self.now)
            self.in_hand.append(job)

    def end(self, job: StoredStatus, outcome: str) -> None:
        row = self.rows.get(job.desired.key, Work("", (), pending=False))
        newer = row.version > job.version
        if newer and not row.pending and not row.failed and outcome in ("postponed", "given up"):
            row.pending, row.due_at = True, 0.0  # the late try may have reached Bitbucket after the newer one
        if outcome == "postponed":
            self.do(statuses.postpone, job, due_at=self.now + 10, error="down", now=self.now)
            row.postpone(row.due_at if newer else self.now + 10)
        elif outcome == "done":
            self.do(statuses.reported, job, self.now)
            row.done()
            row.reported, row.pending, row.failed = job.version, newer, False
        else:
            self.do(statuses.give_up, job, "refused", self.now)
            if row.pending:
                row.done()
                row.pending, row.failed = newer, not newer

    @rule(data=st.data())
    def a_failed_status_is_sent_again(self, data: st.DataObject) -> None:
        failed = sorted(key for key, row in self.rows.items() if row.failed)
        if failed:
            key = data.draw(st.sampled_from(failed))
            stored = self.do(statuses.find, Status(SITE, "a" * 40, key, StatusState.FAILED, "", "", ""))
            self.do(statuses.send_again, stored, self.now)
            row = self.rows[key]
            row.pending, row.failed, row.due_at = True, False, 0.0

    @invariant()
    def a_status_is_pending_exactly_while_bitbucket_has_another(self) -> None:
        for key, row in self.stored().items():
            model = self.rows[key]
            assert (row.version, row.failed) == (model.version, model.failed)
            assert row.pending or row.failed or row.reported == row.desired
            assert (f"version {model.version}" in row.reported) == (model.version == model.reported)


class Forwarded(Machine):
    table = schema.forwarded
    prune = forwarded.prune

    @initialize()
    def some_came_in(self) -> None:
        for context in ("one", "one", "two"):
            self.an_update_comes_in("github", context)

    @rule(provider=st.sampled_from(["github", "gitlab"]), context=KEYS)
    def an_update_comes_in(self, provider: str, context: str) -> None:
        known = set(self.stored())
        update = ForwardedUpdate(provider, "build", context, "hub/site", "/update", "application/json", b"{}", self.now)
        self.do(forwarded.record, update)
        (id,) = set(self.stored()) - known
        self.rows[id] = Work(f"{provider} {context}", (id,))

    @rule(node=NODES, limit=LIMITS, waited=WAITS, busy=st.sampled_from(["", "", "github"]))
    def updates_are_claimed(self, node: str, limit: int, waited: float, busy: str) -> None:
        self.now += waited
        jobs = self.do(forwarded.claim_pending, Lease(node, self.now), limit, busy=[busy])
        candidates = {
            id: row
            for id, row in self.rows.items()
            if row.free(self.now) and _is_first(row, self.rows.values()) and row.lane.split()[0] != busy
        }
        assert [job.id for job in jobs] == sorted(candidates)[:limit]
        for job in jobs:
            self.rows[job.id].lease(node, self.now)
            self.in_hand.append(job)

    def end(self, job: StoredUpdate, outcome: str) -> None:
        row = self.rows.get(job.id, Work("", (), pending=False))
        if outcome == "postponed":
            self.do(forwarded.postpone, job, due_at=self.now + 10, error="down", now=self.now)
            row.postpone(self.now + 10)
        elif outcome == "done":
            self.do(forwarded.passed_on, job)
            row.done()
            for id, other in self.rows.items():
                if other.lane == row.lane and id <= job.id:
                    other.failed = False
        else:
            self.do(forwarded.give_up, job, "refused")
            if row.pending:
                row.done()
                row.failed = True

    @rule()
    def what_failed_is_sent_again(self) -> None:
        self.do(forwarded.send_again, "build")
        for row in self.rows.values():
            if row.failed:
                row.pending, row.failed, row.due_at = True, False, 0.0

    @invariant()
    def only_what_is_still_to_be_passed_on_has_its_body(self) -> None:
        for id, row in self.stored().items():
            assert row.failed == self.rows[id].failed
            assert bool(row.body) == (row.pending or row.failed)


class Credentials(Machine):
    table = schema.builds  # there are none
    prune = builds.prune

    def __init__(self) -> None:
        super().__init__()
        self.chain: Tokens | None = None
        self.in_hand_chain: Chain | None = None
        self.given = 0
        self.configured: set[str] = set()

    @rule(again=st.booleans())
    def the_settings_are_read(self, again: bool) -> None:
        """With a token that the chain had at some time, or with a new one."""
        known = sorted(self.chain.spent | {self.chain.newest}) if self.chain else []
        token = known[0] if again and known else self._new_token()
        self.configured = {token} | ({self.chain.origin} if self.chain and token in known else set())
        chain = self.do(credentials.begin, "acme", token)
        if self.chain is None or token not in known:
            self.chain = Tokens(origin=token, newest=token, spent=set())
        assert chain.refresh_token == self.chain.newest

    @rule(node=NODES)
    def a_node_wants_to_refresh(self, node: str) -> None:
        origin = credentials.digest(self.chain.origin if self.chain else "")
        chain = self.do(credentials.lock, origin, Lease(node, self.now))
        held = self.chain is not None and self.chain.until > self.now and self.chain.node != node
        assert (chain is None) == (self.chain is None or held)
        if self.chain and chain:
            self.chain.node, self.chain.until = node, self.now + credentials.LOCK
            self.in_hand_chain = chain

    @rule()
    def a_refresh_succeeds(self) -> None:
        if self.in_hand_chain is None or self.chain is None:
            return
        token = self._new_token()
        newest = evolve(self.in_hand_chain, refresh_token=token, refreshed_at=self.now)
        stored = self.do(credentials.succeed, self.in_hand_chain, newest)
        if self.in_hand_chain.origin == credentials.digest(self.chain.origin):
            assert stored == (self.in_hand_chain.refresh_token == self.chain.newest)
            self.chain.spent.add(self.chain.newest if stored else token)
            if stored:
                self.chain.newest, self.chain.node, self.chain.until = token, "", 0.0
        self.in_hand_chain = None

    def _new_token(self) -> str:
        self.given += 1
        return f"c4n4ry-{self.given}"

    @rule(node=NODES)
    def a_node_stops(self, node: str) -> None:
        self.do(nodes.release, node)
        if self.chain and self.chain.node == node:
            self.chain.node, self.chain.until = "", 0.0

    @rule()
    def old_tokens_are_forgotten(self) -> None:
        """All but the newest, the first, and what the settings have."""
        self.do(credentials.prune, self.now + 1, 100)
        if self.chain:
            self.chain.spent &= self.configured

    @invariant()
    def every_token_of_the_chain_is_known(self) -> None:
        for token in {self.chain.newest, *self.chain.spent} if self.chain else ():
            assert self.do(credentials.holders, token) == ["acme"]


def _is_first(row: Work, rows: Collection[Work]) -> bool:
    """Whether nothing of the same lane is to be done before *row*."""
    return all(other.order >= row.order for other in rows if other.pending and other.lane == row.lane)


def pull_request(number: int, commit: str) -> PullRequest:
    return PullRequest(number, "Title", "", "", "Ada", "{ada}", PullRequestState.OPEN, "feature", commit, SITE)


def wanted(id: str, number: int, commit: str, now: float) -> Build:
    kind = BuildKind.PULL_REQUEST
    return Build(id, kind, SITE, SITE, commit, "Title", now, "feature", pull_request(number, commit))


@pytest.mark.parametrize("kind", [Deliveries, Builds, Statuses, Forwarded, Credentials])
def test_the_store_does_what_its_model_does(engine: Engine, kind: type[Machine]) -> None:
    machine = type(kind.__name__, (kind,), {"engine": engine})
    hard = settings(max_examples=100, stateful_step_count=30, deadline=None, derandomize=True, database=None)
    run_state_machine_as_test(machine, settings=hard)
