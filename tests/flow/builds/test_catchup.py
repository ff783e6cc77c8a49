"""What the Container Manager said while nobody listened."""

from __future__ import annotations

from typing import Any, cast

import pytest
from attrs import define, evolve, field
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from probo_bitbucket.errors import Permanent, UpstreamError
from probo_bitbucket.flow.builds import watch
from probo_bitbucket.flow.builds.catchup import CatchUp
from probo_bitbucket.flow.builds.ending import Ending
from probo_bitbucket.flow.builds.watch import QUIET, QUIET_IF_PINNED, SILENCE
from probo_bitbucket.flow.statuses.desire import Subject, take
from probo_bitbucket.flow.statuses.display import Display
from probo_bitbucket.model import Build, BuildKind, BuildState, Phase, RemovalReason, Repository, StatusState, Update
from probo_bitbucket.probo.container_manager import BuildReport, ContainerManager
from probo_bitbucket.store import Lease, builds, removals, statuses
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
            False,
            lambda: self.woken.append(None),
        )

    def running(self, id: str = "b-1") -> Build:
        """A build that the Container Manager has, touched now."""
        now = self.clock.seconds()
        build = Build(id, BuildKind.HASH, SITE, SITE, "d96c25c4ae50", "n", now, origin="delivery 3")
        self.store.now(builds.request, build, now)
        self.store.now(builds.conclude, id, BuildState.RUNNING, now)
        self.store.now(watch.heard, id, "acme/site", now)
        return build

    def round(self, after: float = QUIET) -> None:
        """Ask about what is due *after* some seconds, as a worker does."""
        self.clock.advance(after)
        now = self.clock.seconds()
        for job in run(self.catch_up.claim(Lease("node/0", now), 50, [])):
            try:
                run(self.catch_up.work(job))
            except Permanent as error:
                run(self.catch_up.give_up(job, error))
            except UpstreamError as error:
                run(self.catch_up.postpone(job, now + 2.0, error))

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


def test_a_build_that_ran_when_we_stopped_is_asked_about_once_after_the_start(desk: Desk) -> None:
    desk.running()
    desk.wire.say(200, report(step("Hello", state="running"), active=True))
    desk.round(after=30)
    assert desk.asked() == []
    desk.store.now(desk.catch_up.begin)
    desk.round(after=0)
    desk.round(after=30)
    assert desk.asked() == ["b-1"]


def test_a_build_with_news_is_left_in_peace_until_it_is_quiet(desk: Desk) -> None:
    build = desk.running()
    desk.wire.say(200, report(active=True))
    desk.clock.advance(QUIET - 1)
    desk.store.now(watch.heard, build.id, "acme/site", desk.clock.seconds())
    desk.round(after=QUIET - 1)
    assert desk.asked() == []
    desk.round(after=1)
    assert desk.asked() == ["b-1"]


def test_a_pinned_build_is_asked_about_sooner_for_what_it_told_before_that_was_known(desk: Desk) -> None:
    build = desk.running()
    removal = Removal(build.id, "acme/site", 7, RemovalReason.CLOSED, "pull request #7 is merged")
    desk.store.now(removals.want, removal, 0.0)
    desk.store.now(removals.postpone, evolve(removal, pinned=True), due_at=9e9, error="it is pinned", now=0.0)
    desk.store.now(watch.heard, build.id, "acme/site", desk.clock.seconds(), pinned=True)
    desk.wire.say(200, report(active=True))
    desk.wire.say(200, report(step("Hello", state="running"), active=True))
    desk.round(after=QUIET_IF_PINNED)
    assert desk.shown() == {}
    desk.round(after=QUIET_IF_PINNED)
    assert desk.asked() == ["b-1", "b-1"]
    assert desk.shown()["Acme/env"] == (StatusState.SUCCESSFUL, "[■] Environment ready")


def test_two_nodes_ask_once(desk: Desk) -> None:
    desk.running()
    desk.clock.advance(QUIET)
    lease = Lease("other/0", desk.clock.seconds())
    [job] = run(desk.catch_up.claim(lease, 50, []))
    desk.round(after=0)
    assert desk.asked() == []
    assert job.build_id == "b-1"


def test_builds_that_cannot_be_read_let_the_others_have_their_turn(desk: Desk, clock: Clock) -> None:
    for number in range(60):
        desk.running(f"odd-{number}")
    desk.wire.say(200, b"<html>")
    desk.round()
    clock.advance(1)
    desk.running("b-1")
    desk.round()
    desk.round(after=0)
    assert "b-1" in desk.asked()


def test_nothing_is_asked_of_a_build_that_is_to_be_taken_down(desk: Desk) -> None:
    desk.running()
    desk.store.now(removals.want, Removal("b-1", "acme/site", None, RemovalReason.CLOSED, ""), 0.0)
    desk.wire.say(404, {})
    desk.round()
    assert desk.state() is BuildState.RUNNING
    desk.round()
    assert desk.asked() == ["b-1"]


def test_a_build_that_goes_on_gets_its_states_and_goes_on(desk: Desk) -> None:
    desk.running()
    desk.wire.say(200, report(step("Hello", 0), step("Test", state="running"), active=True))
    desk.round()
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
    desk.round()
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
    desk.round()
    assert desk.shown() == {"Acme/env": (StatusState.FAILED, "[■] Environment build failed")}


def test_a_build_in_its_set_up_has_nothing_to_tell_yet(desk: Desk) -> None:
    desk.running()
    desk.wire.say(200, report(step("BitbucketDownloader task", plugin="BitbucketDownloader"), active=True))
    desk.round()
    assert desk.shown() == {}
    assert desk.state() is BuildState.RUNNING


def test_what_the_build_does_not_tell_of_is_stopped_at_its_end(desk: Desk) -> None:
    build = desk.running()
    desk.told(build, "Acme/Shell/Gone", Phase.RUNNING, "[▶] make")
    desk.told(build, "Acme/Shell/Done", Phase.SUCCEEDED, "[■] make")
    desk.wire.say(200, report())
    desk.round()
    assert desk.shown() == {
        "Acme/env": (StatusState.SUCCESSFUL, "[■] Environment ready"),
        "Acme/Shell/Gone": (StatusState.STOPPED, "The build ended without telling the result"),
        "Acme/Shell/Done": (StatusState.SUCCESSFUL, "[■] make"),
    }


def test_a_build_that_is_not_known_any_more_has_ended(desk: Desk) -> None:
    build = desk.running()
    desk.told(build, "Acme/env", Phase.RUNNING, "[▶] The hamsters")
    desk.wire.say(404, {})
    desk.round()
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
    desk.round()
    assert desk.shown() == {"Acme/env": (StatusState.INPROGRESS, "[▶] The hamsters")}
    assert desk.state() is BuildState.RUNNING


def test_the_older_container_manager_says_in_words_that_it_does_not_know_a_build(desk: Desk) -> None:
    desk.running()
    desk.wire.say(404, {"message": "Key not found in database [builds!b-1]"})
    desk.round()
    assert desk.state() is BuildState.ENDED


def test_contexts_have_the_prefix_that_the_container_manager_used(desk: Desk) -> None:
    build = desk.running()
    desk.told(build, "Other/env", Phase.RUNNING, "[▶] The hamsters")
    desk.wire.say(200, report(step("Hello", 0)))
    desk.round()
    assert set(desk.shown()) == {"Other/env", "Other/Shell/Hello"}


SILENT = (StatusState.STOPPED, "Nothing was heard of this build for a day")


@pytest.mark.parametrize("container", [True, False])
def test_a_build_whose_report_stays_the_same_is_dead_after_a_day(desk: Desk, container: bool) -> None:
    build = desk.running()
    desk.told(build, "Acme/env", Phase.RUNNING, "[▶] The hamsters")
    desk.wire.say(200, report(active=True, container=container))
    desk.round(after=SILENCE - QUIET)
    assert desk.state() is BuildState.RUNNING
    desk.round()
    assert desk.state() is BuildState.ENDED
    assert desk.shown() == {"Acme/env": SILENT}
    assert desk.store.now(builds.prune, desk.clock.seconds() + 1, 10) == 1


def test_a_report_that_tells_something_new_is_news(desk: Desk) -> None:
    desk.running()
    desk.wire.say(200, report(step("Hello", state="running"), active=True))
    desk.wire.say(200, report(step("Hello", 0), active=True))
    desk.round()
    desk.round(after=SILENCE - QUIET)
    desk.round(after=SILENCE - QUIET)
    assert desk.state() is BuildState.RUNNING
    desk.round()
    assert desk.state() is BuildState.ENDED


@pytest.mark.parametrize(("status", "body"), [(403, b""), (503, b""), (200, b"<html>")])
def test_a_build_that_cannot_be_asked_about_is_dead_after_a_day(desk: Desk, status: int, body: bytes) -> None:
    build = desk.running()
    desk.told(build, "Acme/env", Phase.RUNNING, "[▶] The hamsters")
    desk.wire.say(status, body)
    desk.round(after=SILENCE - 1)
    assert desk.state() is BuildState.RUNNING
    desk.round()
    assert desk.shown() == {"Acme/env": SILENT}


@pytest.mark.parametrize(("status", "body"), [(404, b""), (403, b""), (200, b"<html>")])
def test_a_coordinator_may_not_know_a_build_that_goes_on(desk: Desk, status: int, body: bytes) -> None:
    desk.catch_up.coordinated = True
    desk.catch_up.container_manager = ContainerManager(
        Upstream("the coordinator", desk.wire.client, desk.clock), "http://coordinator", "c4n4ry-t0ken"
    )
    build = desk.running()
    desk.told(build, "Acme/env", Phase.RUNNING, "[▶] The hamsters")
    desk.wire.say(status, body)
    desk.round(after=SILENCE - QUIET)
    assert desk.state() is BuildState.RUNNING
    desk.round()
    assert desk.state() is BuildState.ENDED
    assert desk.shown() == {"Acme/env": SILENT}


def foreign(desk: Desk, state: Phase = Phase.RUNNING) -> None:
    """A build that another handler asked for before the move."""
    subject = Subject("b-1", SITE, "d96c25c4ae50", "main", ["https://b-1.example"])
    update = Update("b-1", "Acme/Shell/Hello", state, state, "[▶] make", state.rank == 2, task_id="t-1")
    desk.store.now(take, subject, update, desk.clock.seconds(), DISPLAY)
    desk.store.now(watch.heard, "b-1", "acme/site", desk.clock.seconds())


def test_a_build_that_another_handler_asked_for_gets_its_results(desk: Desk) -> None:
    foreign(desk)
    desk.wire.say(200, report(step("Hello", 1)))
    desk.round()
    assert desk.shown() == {"Acme/Shell/Hello": (StatusState.FAILED, "[■] make")}


def test_a_build_that_another_handler_asked_for_ends_when_it_is_gone(desk: Desk, logged: list[LogEvent]) -> None:
    foreign(desk)
    desk.wire.say(404, {})
    desk.round()
    words = "The Container Manager does not know this build any more"
    assert desk.shown() == {"Acme/Shell/Hello": (StatusState.STOPPED, words)}
    assert [event["build"] for event in logged if event.get("event") == "build.ended"] == ["b-1"]
    desk.round()
    assert desk.asked() == ["b-1"]


def test_a_build_without_steps_ends_as_its_report_says(desk: Desk) -> None:
    build = desk.running()
    desk.told(build, "Acme/env", Phase.RUNNING, "[▶] The hamsters")
    desk.wire.say(200, report())
    desk.round()
    assert desk.shown() == {"Acme/env": (StatusState.SUCCESSFUL, "[■] Environment ready")}


@pytest.mark.parametrize(("status", "body"), [(403, b""), (500, b"{}"), (200, b"<html>"), (200, b"[]")])
def test_an_answer_that_says_nothing_changes_nothing_and_holds_up_no_other_build(
    desk: Desk, clock: Clock, logged: list[LogEvent], status: int, body: bytes
) -> None:
    desk.running("b-1")
    clock.advance(1)
    desk.running("b-2")
    desk.wire.say(status, body)
    desk.wire.say(404, {})
    desk.round()
    told = [event for event in logged if event.get("event") == "catchup.failed"]
    assert [(event["build"], event["delivery"]) for event in told] == [("b-1", 3)]
    assert (desk.state("b-1"), desk.state("b-2")) == (BuildState.RUNNING, BuildState.ENDED)


def test_what_a_later_build_of_the_commit_told_is_not_taken_back(desk: Desk, clock: Clock) -> None:
    desk.running()
    clock.advance(QUIET / 2)
    later = desk.running("b-2")
    desk.told(later, "Acme/Shell/Hello", Phase.SUCCEEDED, "[■] make")
    desk.told(later, "Acme/env", Phase.FAILED, "[■] Environment build failed")
    desk.wire.say(200, report(step("Hello", 1), step("Other", 0)))
    desk.round(after=QUIET / 2)
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
    desk.round()
    assert desk.shown()["Acme/Shell/Hello"] == (StatusState.SUCCESSFUL, "[■] make")


def test_a_step_can_be_called_by_a_number(desk: Desk) -> None:
    """Else the whole report could not be read, and a build whose start was in doubt would be given up on."""
    desk.running()
    desk.wire.say(200, report({**step("", 0), "name": 5, "description": None}, {**step("", 1), "name": True}))
    desk.round()
    assert {key: state for key, (state, _) in desk.shown().items() if "Shell" in key} == {
        "Acme/Shell/5": StatusState.SUCCESSFUL,
        "Acme/Shell/true": StatusState.FAILED,
    }


def test_an_answer_that_news_overtook_is_not_used(desk: Desk, clock: Clock) -> None:
    build = desk.running()
    desk.told(build, "Acme/Shell/Test", Phase.RUNNING, "[▶] make")

    class Slow:
        """In place of the Container Manager: it calls us while it answers, and its answer does not know of that yet."""

        async def find(self, id: str) -> BuildReport:
            desk.store.now(watch.heard, id, "acme/site", clock.seconds())
            return BuildReport(id)

    desk.catch_up.container_manager = cast(Any, Slow())
    desk.round()
    assert desk.shown() == {"Acme/Shell/Test": (StatusState.INPROGRESS, "[▶] make")}
    assert desk.state() is BuildState.RUNNING
