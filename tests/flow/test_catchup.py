"""What the Container Manager said while nobody listened."""

from __future__ import annotations

from typing import Any, cast

import pytest
from attrs import define, field
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from probo_bitbucket.flow import catchup
from probo_bitbucket.flow.catchup import QUIET, STALE, CatchUp
from probo_bitbucket.flow.desire import Subject, take
from probo_bitbucket.flow.display import Display
from probo_bitbucket.flow.ending import Ending
from probo_bitbucket.model import Build, BuildKind, BuildState, Phase, RemovalReason, Repository, StatusState, Update
from probo_bitbucket.probo.container_manager import BuildReport, ContainerManager
from probo_bitbucket.store import builds, removals, statuses
from probo_bitbucket.store.removals import Removal
from probo_bitbucket.upstream import Upstream
from tests.immediate import ImmediateStore, run
from tests.wire import Wire

SITE = Repository("acme", "site")
DISPLAY = Display("Acme", "", "https://bitbucket.org")


@define
class Desk:
    """A catch-up that was made at the start of the daemon, and what it works with."""

    store: ImmediateStore
    clock: Clock
    wire: Wire = field(factory=Wire)
    woken: list[None] = field(factory=list)
    catch_up: CatchUp = field(init=False)

    def __attrs_post_init__(self) -> None:
        container_manager = ContainerManager(
            Upstream("the Container Manager", self.wire.client, self.clock), "http://cm"
        )
        self.catch_up = CatchUp(
            self.store,
            self.clock,
            container_manager,
            DISPLAY,
            Ending(True, 1, DISPLAY),
            lambda: self.woken.append(None),
        )

    def running(self, id: str = "b-1") -> Build:
        """A build that the Container Manager has, touched now."""
        now = self.clock.seconds()
        build = Build(id, BuildKind.HASH, SITE, SITE, "d96c25c4ae50", "n", now)
        self.store.now(builds.request, build, now)
        self.store.now(builds.conclude, id, BuildState.RUNNING, now)
        return build

    def told(self, build: Build, context: str, phase: Phase, description: str) -> None:
        update = Update(build.id, context, phase, phase, description, phase.rank == 2, task_id="t-1")
        self.store.now(take, Subject.of(build), update, self.clock.seconds(), DISPLAY)

    def state(self, id: str = "b-1") -> BuildState:
        stored = self.store.now(builds.find, id)
        assert stored is not None
        return stored.state

    def shown(self, id: str = "b-1") -> dict[str, tuple[StatusState, str]]:
        found = self.store.now(statuses.of_build, id)
        return {each.desired.key: (each.desired.state, each.desired.description) for each in found}

    def asked(self) -> list[str]:
        return [asked.url.rpartition("/")[2] for asked in self.wire.asked]


@pytest.fixture
def desk(store: ImmediateStore, clock: Clock) -> Desk:
    return Desk(store, clock)


def step(name: str, code: int | None = None, state: str = "pending", plugin: str = "Shell") -> dict[str, Any]:
    result = {"code": code, "time": None}
    return {"id": "t-1", "name": name, "plugin": plugin, "state": state, "description": "[▶] make", "result": result}


def report(*steps: dict[str, Any], active: bool = False, container: bool = True) -> dict[str, Any]:
    document = {"id": "b-1", "active": active, "status": "success", "steps": list(steps)}
    return {**document, "container": {"state": "running"}} if container else document


def test_a_build_that_ran_when_we_stopped_is_asked_about_once_after_the_start(desk: Desk, clock: Clock) -> None:
    desk.running()
    desk.wire.say(200, report(step("Hello", state="running"), active=True))
    clock.advance(30)
    run(Desk(desk.store, clock, desk.wire).catch_up.round())
    clock.advance(30)
    run(desk.catch_up.round())
    assert desk.asked() == ["b-1"]


def test_a_build_with_news_is_left_in_peace_until_it_is_quiet(desk: Desk, clock: Clock) -> None:
    clock.advance(1)
    desk.running()
    desk.wire.say(200, report(active=True))
    clock.advance(QUIET - 2)
    run(desk.catch_up.round())
    assert desk.asked() == []
    clock.advance(2)
    run(desk.catch_up.round())
    assert desk.asked() == ["b-1"]


def test_builds_that_cannot_be_taken_down_take_nobodys_turn(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catchup, "AT_ONCE", 1)
    stuck = desk.running("stuck")
    desk.clock.advance(1)
    desk.running("b-1")
    desk.clock.advance(QUIET)
    desk.store.now(removals.want, Removal(stuck.id, "acme/site", None, RemovalReason.CLOSED, ""), 0.0)
    desk.wire.say(200, report(active=True))
    run(desk.catch_up.round())
    assert desk.asked() == ["b-1"]


def test_a_build_that_goes_on_gets_its_states_and_goes_on(desk: Desk) -> None:
    desk.running()
    desk.wire.say(200, report(step("Hello", 0), step("Test", state="running"), active=True))
    run(desk.catch_up.round())
    assert desk.shown() == {
        "Acme/env": (StatusState.SUCCESSFUL, "[■] Environment ready"),
        "Acme/Shell/Hello": (StatusState.SUCCESSFUL, "[■] make"),
        "Acme/Shell/Test": (StatusState.INPROGRESS, "[▶] make"),
    }
    assert desk.state() is BuildState.RUNNING
    assert desk.woken == [None]


def test_a_build_that_ended_gets_its_results(desk: Desk, logged: list[LogEvent]) -> None:
    build = desk.running()
    desk.told(build, "Acme/Shell/Hello", Phase.RUNNING, "[▶] make")
    desk.wire.say(200, report(step("Hello", 1), step("Test", state="running")))
    run(desk.catch_up.round())
    assert desk.shown() == {
        "Acme/env": (StatusState.SUCCESSFUL, "[■] Environment ready"),
        "Acme/Shell/Hello": (StatusState.FAILED, "[■] make"),
        "Acme/Shell/Test": (StatusState.STOPPED, "[■] make"),
    }
    assert desk.state() is BuildState.ENDED
    assert [event["build"] for event in logged if event.get("event") == "build.ended"] == ["b-1"]


def test_a_build_whose_download_failed_has_a_failed_environment(desk: Desk) -> None:
    desk.running()
    desk.wire.say(200, report(step("BitbucketDownloader task", 8, plugin="BitbucketDownloader")))
    run(desk.catch_up.round())
    assert desk.shown() == {"Acme/env": (StatusState.FAILED, "[■] Environment build failed")}


def test_a_build_in_its_set_up_has_nothing_to_tell_yet(desk: Desk) -> None:
    desk.running()
    desk.wire.say(200, report(step("BitbucketDownloader task", plugin="BitbucketDownloader"), active=True))
    run(desk.catch_up.round())
    assert desk.shown() == {}
    assert desk.state() is BuildState.RUNNING


def test_what_the_build_does_not_tell_of_is_stopped_at_its_end(desk: Desk) -> None:
    build = desk.running()
    desk.told(build, "Acme/Shell/Gone", Phase.RUNNING, "[▶] make")
    desk.told(build, "Acme/Shell/Done", Phase.SUCCEEDED, "[■] make")
    desk.wire.say(200, report())
    run(desk.catch_up.round())
    assert desk.shown() == {
        "Acme/Shell/Gone": (StatusState.STOPPED, "The build ended without telling the result"),
        "Acme/Shell/Done": (StatusState.SUCCESSFUL, "[■] make"),
    }


def test_a_build_that_is_not_known_any_more_has_ended(desk: Desk) -> None:
    build = desk.running()
    desk.told(build, "Acme/env", Phase.RUNNING, "[▶] The hamsters")
    desk.wire.say(404, {})
    run(desk.catch_up.round())
    words = "The Container Manager does not know this build any more"
    assert desk.shown() == {"Acme/env": (StatusState.STOPPED, words)}
    assert desk.state() is BuildState.ENDED


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b"<html>no such page</html>"), (404, b'{"message": "no Route matched"}'), (404, b""), (404, b"[]")],
)
def test_a_404_of_somebody_on_the_way_ends_no_build(desk: Desk, status: int, body: bytes) -> None:
    build = desk.running()
    desk.told(build, "Acme/env", Phase.RUNNING, "[▶] The hamsters")
    desk.wire.say(status, body)
    run(desk.catch_up.round())
    assert desk.shown() == {"Acme/env": (StatusState.INPROGRESS, "[▶] The hamsters")}
    assert desk.state() is BuildState.RUNNING


def test_the_older_container_manager_says_in_words_that_it_does_not_know_a_build(desk: Desk) -> None:
    desk.running()
    desk.wire.say(404, {"message": "Key not found in database [builds!b-1]"})
    run(desk.catch_up.round())
    assert desk.state() is BuildState.ENDED


def test_contexts_have_the_prefix_that_the_container_manager_used(desk: Desk) -> None:
    build = desk.running()
    desk.told(build, "Other/env", Phase.RUNNING, "[▶] The hamsters")
    desk.wire.say(200, report(step("Hello", 0)))
    run(desk.catch_up.round())
    assert set(desk.shown()) == {"Other/env", "Other/Shell/Hello"}


@pytest.mark.parametrize(("container", "state"), [(True, BuildState.RUNNING), (False, BuildState.ENDED)])
def test_a_build_without_a_container_is_dead_after_a_day(
    desk: Desk, clock: Clock, container: bool, state: BuildState
) -> None:
    build = desk.running()
    desk.told(build, "Acme/env", Phase.RUNNING, "[▶] The hamsters")
    desk.wire.say(200, report(active=True, container=container))
    clock.advance(STALE)
    run(desk.catch_up.round())
    assert desk.state() is BuildState.RUNNING
    clock.advance(QUIET + 1)
    run(desk.catch_up.round())
    assert desk.state() is state


@pytest.mark.parametrize(("status", "body"), [(403, b""), (500, b"{}"), (200, b"<html>"), (200, b"[]")])
def test_an_answer_that_says_nothing_changes_nothing_and_holds_up_no_other_build(
    desk: Desk, clock: Clock, logged: list[LogEvent], status: int, body: bytes
) -> None:
    desk.running("b-1")
    clock.advance(1)
    desk.running("b-2")
    desk.wire.say(status, body)
    desk.wire.say(404, {})
    clock.advance(QUIET)
    run(desk.catch_up.round())
    assert [event["build"] for event in logged if event.get("event") == "catchup.failed"] == ["b-1"]
    assert (desk.state("b-1"), desk.state("b-2")) == (BuildState.RUNNING, BuildState.ENDED)


def test_what_a_later_build_of_the_commit_told_is_not_taken_back(desk: Desk, clock: Clock) -> None:
    desk.running()
    clock.advance(QUIET / 2)
    later = desk.running("b-2")
    desk.told(later, "Acme/Shell/Hello", Phase.SUCCEEDED, "[■] make")
    desk.told(later, "Acme/env", Phase.FAILED, "[■] Environment build failed")
    desk.wire.say(200, report(step("Hello", 1), step("Other", 0)))
    clock.advance(QUIET / 2)
    run(desk.catch_up.round())
    assert desk.asked() == ["b-1"]
    assert {key: state for key, (state, _) in desk.shown("b-2").items()} == {
        "Acme/Shell/Hello": StatusState.SUCCESSFUL,
        "Acme/env": StatusState.FAILED,
    }
    assert desk.shown() == {"Acme/Shell/Other": (StatusState.SUCCESSFUL, "[■] make")}


def test_what_an_earlier_build_of_the_commit_told_is_replaced(desk: Desk, clock: Clock) -> None:
    earlier = desk.running("b-0")
    desk.told(earlier, "Acme/Shell/Hello", Phase.FAILED, "[■] make")
    desk.store.now(builds.conclude, "b-0", BuildState.ENDED, clock.seconds())
    clock.advance(1)
    desk.running()
    desk.wire.say(200, report(step("Hello", 0)))
    clock.advance(QUIET)
    run(desk.catch_up.round())
    assert desk.shown()["Acme/Shell/Hello"] == (StatusState.SUCCESSFUL, "[■] make")


def test_a_step_can_be_called_by_a_number(desk: Desk) -> None:
    """Else the whole report could not be read, and a build whose start was in doubt would be given up on."""
    desk.running()
    desk.wire.say(200, report({**step("", 0), "name": 5, "description": None}, {**step("", 1), "name": True}))
    run(desk.catch_up.round())
    assert {key: state for key, (state, _) in desk.shown().items() if "Shell" in key} == {
        "Acme/Shell/5": StatusState.SUCCESSFUL,
        "Acme/Shell/true": StatusState.FAILED,
    }


def test_an_answer_that_news_overtook_is_not_used(desk: Desk, clock: Clock) -> None:
    build = desk.running()
    desk.told(build, "Acme/Shell/Test", Phase.RUNNING, "[▶] make")
    clock.advance(QUIET + 1)

    class Slow:
        """In place of the Container Manager: it calls us while it answers, and its answer does not know of that yet."""

        async def find(self, id: str) -> BuildReport:
            desk.store.now(builds.touch, id, clock.seconds())
            return BuildReport(id)

    desk.catch_up.container_manager = cast(Any, Slow())
    run(desk.catch_up.round())
    assert desk.shown() == {"Acme/Shell/Test": (StatusState.INPROGRESS, "[▶] make")}
    assert desk.state() is BuildState.RUNNING
