"""What pages and API show costs as much as is shown, however long the history, and lists go on where they ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from attrs import evolve

from probo_bitbucket import origins
from probo_bitbucket.model import (
    Build,
    BuildKind,
    BuildState,
    Delivery,
    DeliveryState,
    PullRequestClosed,
    PullRequestState,
    RemovalReason,
    Repository,
    StatusState,
)
from probo_bitbucket.store import Engine, failures, removals, schema
from probo_bitbucket.store import pull_requests as told
from probo_bitbucket.store.columns import dump
from probo_bitbucket.store.deliveries import record
from probo_bitbucket.store.removals import Removal
from probo_bitbucket.store.views import builds, deliveries, pull_requests, queue, repositories
from probo_bitbucket.store.views.filters import Filter
from probo_bitbucket.store.views.outcome import Outcome, outcome
from probo_bitbucket.store.views.paging import BadCursor
from tests.store.plans import plans_of

MANY = 3000
SITE = Repository("acme", "site", "{site}")


def fill(tx: sa.Connection, count: int = MANY) -> None:
    """As many deliveries and builds, of 100 pull requests."""
    build = dump(Build("b", BuildKind.BRANCH, SITE, SITE, "a" * 40, "Change the README", 0.0, "main"))
    undone = {"pending": False, "due_at": 0.0}
    made = [
        {**undone, "id": f"b-{n:05}", "state": BuildState.ENDED, "created_at": float(n // 2), "changed_at": float(n)}
        | {"repository": "acme/site", "source": "acme/site", "pull_request": n % 100, "commit": f"{n:040x}"}
        | {"build": build, "claim": str(n), "lane": f"{SITE.identity}#{n % 100}"}
        for n in range(count)
    ]
    came = [
        {**undone, "received_at": float(n), "event_key": "pullrequest:updated", "hook_uuid": "", "request_uuid": ""}
        | {"attempt": 1, "repository": "acme/site", "pull_request": n % 100, "lane": f"acme/site#{n % 100}"}
        | {"body": b"{}", "state": DeliveryState.ACCEPTED, "reason": "", "build_id": f"b-{n:05}"}
        for n in range(count)
    ]
    tx.execute(sa.insert(schema.builds), made)
    tx.execute(sa.insert(schema.deliveries), came)


TABLES = ("deliveries", "builds", "statuses", "removals", "pull_requests", "forwarded")
SHOWN: dict[str, Callable[[sa.Connection], Any]] = {
    "deliveries": lambda tx: deliveries.page(tx, Filter(), "2000"),
    "failed deliveries": lambda tx: deliveries.page(tx, Filter(failed=True)),
    "deliveries of a repository": lambda tx: deliveries.page(tx, Filter(repository="acme/site")),
    "deliveries of a pull request": lambda tx: deliveries.page(tx, Filter(repository="acme/site", pull_request=7)),
    "deliveries of a build": lambda tx: deliveries.page(tx, Filter(build="b-00007")),
    "deliveries of a commit": lambda tx: deliveries.page(tx, Filter(commit=f"{MANY - 1:040x}")),
    "builds": lambda tx: builds.page(tx, Filter(), "700.0_b-01400"),
    "failed builds": lambda tx: builds.page(tx, Filter(failed=True)),
    "builds of a pull request": lambda tx: builds.page(tx, Filter(repository="acme/site", pull_request=7)),
    "builds of a commit": lambda tx: builds.page(tx, Filter(commit=f"{MANY - 1:040x}")),
    "pull requests": lambda tx: pull_requests.page(tx, Filter()),
    "a pull request": lambda tx: pull_requests.story(tx, "acme/site", 7),
    "repositories": repositories.page,
    "pulse": queue.pulse,
    "failures": lambda tx: failures.given_up(tx, 8),
}


def filled(line: str) -> bool:
    """PostgreSQL reads tables that are empty as they are."""
    return line.endswith((" deliveries", " builds"))


WHOLE = {f"{how} {table}" for how in ("SCAN", "Seq Scan on") for table in TABLES}


@pytest.mark.parametrize("name", SHOWN)
def test_no_list_reads_a_whole_table(engine: Engine, name: str) -> None:
    with engine.begin() as tx:
        fill(tx)
        plans = plans_of(engine, tx, SHOWN[name])
    lines = {line.strip(" ->").partition("  (")[0] for plan in plans for line in plan.splitlines()}
    assert {line for line in lines if line in WHOLE and (filled(line) or engine.dialect == "sqlite")} == set()
    if not name.startswith("failed") and not name.endswith("commit"):  # of which there are few, to be sorted
        assert not [line for line in lines if "TEMP B-TREE FOR ORDER" in line]


@pytest.mark.parametrize(
    "wanted", [Filter(), Filter(state=DeliveryState.IGNORED), Filter(repository="acme/site")], ids=str
)
def test_what_lists_leave_out_is_not_read(engine: Engine, wanted: Filter) -> None:
    with engine.begin() as tx:
        fill(tx, 100)
        noise = {"event_key": "repo:commit_status_created", "state": DeliveryState.IGNORED, "noise": True}
        row = {"received_at": 0.0, "hook_uuid": "", "request_uuid": "", "attempt": 1, "repository": "acme/site"}
        row |= {"pending": False, "lane": "acme/site#None", "body": b"{}", "reason": "", **noise}
        tx.execute(sa.insert(schema.deliveries), [row] * MANY)
        shown = deliveries.page(tx, wanted).items
        assert not [each for each in shown if each.event_key != "pullrequest:updated"]
        assert len(deliveries.page(tx, evolve(wanted, noise=True)).items) == 50
        plan = plans_of(engine, tx, lambda tx: deliveries.page(tx, wanted))[0]
    assert "deliveries_telling" in plan


@pytest.mark.parametrize(
    "show",
    [SHOWN["deliveries of a build"], SHOWN["deliveries of a commit"], lambda tx: builds.story_of(tx, "b-00007")],
    ids=["of a build", "of a commit", "of a story"],
)
def test_the_deliveries_that_led_to_a_build_are_found_among_all(
    engine: Engine, show: Callable[[sa.Connection], Any]
) -> None:
    with engine.begin() as tx:
        fill(tx)
        led_nowhere = schema.deliveries.c.id % 10 != 0
        tx.execute(sa.update(schema.deliveries).where(led_nowhere).values(build_id=None))
        plans = plans_of(engine, tx, show)
    assert any("deliveries_of_build" in plan for plan in plans)


def test_of_deliveries_those_failed_that_were_given_up_and_those_whose_build_failed(tx: sa.Connection) -> None:
    fill(tx, 6)
    tx.execute(sa.update(schema.builds).where(schema.builds.c.id == "b-00001").values(state=BuildState.FAILED))
    tx.execute(sa.update(schema.builds).where(schema.builds.c.id == "b-00003").values(result=StatusState.FAILED))
    given_up = {"state": DeliveryState.FAILED, "build_id": None}
    tx.execute(sa.update(schema.deliveries).where(schema.deliveries.c.received_at == 4.0).values(given_up))
    shown = deliveries.page(tx, Filter(failed=True)).items
    assert [each.received_at for each in shown] == [4.0, 3.0, 1.0]


def test_a_delivery_of_a_pull_request_that_was_only_told_of_as_closed_has_no_title(tx: sa.Connection) -> None:
    closed = PullRequestClosed(SITE, 7, PullRequestState.MERGED, "feature")
    told.tell_closed(tx, closed, 1.0, "delivery 2", look=True)
    id = record(tx, Delivery("pullrequest:fulfilled", b"{}", 1.0), closed)
    assert [each.title for each in deliveries.page(tx, Filter()).items] == [""]
    assert deliveries.page(tx, Filter(words="fulfilled")).items
    assert deliveries.story(tx, id) is not None


def test_pages_of_a_list_have_every_row_once(tx: sa.Connection) -> None:
    fill(tx, 260)
    seen: list[str] = []
    after = ""
    while True:
        page = builds.page(tx, Filter(), after)
        seen += [build.id for build in page.items]
        if not (after := page.after):
            break
    assert seen == [f"b-{n:05}" for n in reversed(range(260))]
    first = pull_requests.page(tx, Filter())
    second = pull_requests.page(tx, Filter(), first.after)
    assert {build.pull_request for build in (*first.items, *second.items)} == set(range(100))
    assert (len(first.items), len(second.items), second.after) == (50, 50, "")


@pytest.mark.parametrize("after", ["x", "1", "nan", "1.0x_b", "_"])
def test_a_place_that_is_none_is_refused(tx: sa.Connection, after: str) -> None:
    if after != "1":
        with pytest.raises(BadCursor):
            deliveries.page(tx, Filter(), after)
    if after in ("x", "1.0x_b", "_"):
        with pytest.raises(BadCursor):
            builds.page(tx, Filter(), after)


def test_words_are_what_they_are(tx: sa.Connection) -> None:
    fill(tx, 3)
    assert len(builds.page(tx, Filter(words="readme CHANGE")).items) == 3
    assert builds.page(tx, Filter(words="%")).items == []
    assert builds.page(tx, Filter(words="read_e")).items == []


def test_the_pulse_feels_what_happens(tx: sa.Connection) -> None:
    before = queue.pulse(tx)
    assert queue.pulse(tx) == before
    fill(tx, 1)
    after = queue.pulse(tx)
    assert after != before
    tx.execute(sa.update(schema.builds).values(pending=True, attempts=1, due_at=5.0))
    assert queue.pulse(tx) != after


def test_a_filter_finds_the_builds_that_show_its_outcome(tx: sa.Connection) -> None:
    fill(tx, 400)
    ways = [(state, result) for state in BuildState for result in (None, *StatusState)]
    for number, (state, result) in enumerate(ways):
        row = sa.update(schema.builds).where(schema.builds.c.id == f"b-{number:05}")
        tx.execute(row.values(state=state, result=result))
    tx.execute(sa.delete(schema.builds).where(schema.builds.c.id >= f"b-{len(ways):05}"))
    for wanted in Outcome:
        found = builds.page(tx, Filter(state=wanted)).items
        assert {build.outcome for build in found} == {wanted}
        assert len(found) == sum(outcome(state, result) is wanted for state, result in ways)
    failed = builds.page(tx, Filter(failed=True)).items
    assert BuildState.ENDED in {build.state for build in failed}  # a step failed
    assert {build.outcome for build in failed} == {Outcome.FAILED}


@pytest.mark.parametrize("found", [False, True])
def test_a_delivery_tells_of_the_builds_that_are_not_known_also_where_it_was_found(engine: Engine, found: bool) -> None:
    origin = origins.delivery(17, found=found)
    removal = Removal("started-elsewhere", "acme/site", 7, RemovalReason.CLOSED, "pull request #7 is merged", origin)
    with engine.begin() as tx:
        removals.want(tx, removal, 5.0)
        (stranger,) = builds.strangers_ended_by(tx, 17)
        assert (stranger.id, stranger.removal.words) == ("started-elsewhere", "pull request #7 is merged")
        assert builds.strangers_ended_by(tx, 18) == []
