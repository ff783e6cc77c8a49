"""The desired state of a status, in whatever order a run's updates come."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from probo_bitbucket.errors import BudgetSpent
from probo_bitbucket.flow.statuses import desire
from probo_bitbucket.flow.statuses.desire import PILE, Subject, stop, take
from probo_bitbucket.flow.statuses.display import Display
from probo_bitbucket.flow.work.schedule import effort_after
from probo_bitbucket.model import (
    Build,
    BuildKind,
    Phase,
    PullRequest,
    PullRequestState,
    Repository,
    Status,
    StatusState,
    Update,
)
from probo_bitbucket.store import Effort, Lease, statuses
from probo_bitbucket.store.statuses import StoredStatus
from tests.immediate import ImmediateStore

NOW = 1_000_000.0
DISPLAY = Display("Acme", "", "https://bitbucket.org")
SUBJECT = Subject("b-1", Repository("acme", "site"), "d96c25c4ae50", "main", ["http://b-1.example/"])


def update(
    context: str, phase: Phase, description: str, *, task: str = "", final: bool = False, build: str = "b-1"
) -> Update:
    return Update(build, f"Acme/{context}", phase, phase, description, final, task_id=task)


def env(phase: Phase, description: str, *, task: str = "") -> Update:
    return update("env", phase, description, task=task, final=description.startswith("[■]"))


def hello(phase: Phase, icon: str = "▶", words: str = "echo hi", *, task: str = "t-1") -> Update:
    return update("Shell/Hello", phase, f"[{icon}] {words}", task=task, final=icon == "■")


def tell(store: ImmediateStore, *updates: Update, now: float = NOW) -> StoredStatus:
    """Take *updates*; return what is stored under the key of the last one."""
    for each in updates:
        status = store.now(take, SUBJECT, each, now, DISPLAY)
    found = store.now(statuses.find, status)
    assert found is not None
    return found


def report(store: ImmediateStore, now: float = NOW + 3600) -> list[Status]:
    """Report all that waits, as the reporter does; return it."""
    claimed = store.now(statuses.claim_pending, Lease("node", now), 100)
    for each in claimed:
        store.now(statuses.reported, each, 0.0)
    return [each.desired for each in claimed]


def run_of_build(number: int, steps: list[Phase], setup: Phase) -> tuple[list[list[Update]], dict[str, StatusState]]:
    """What the Container Manager sends in one run, and what its keys show in the end.

    It waits for the answer to an update without a task. So each list begins with such an update (but for the first
    run of all, which has one more), and all that follows in it or in later lists is sent after it was answered.
    """
    downloader = f"download-{number}"
    opening = "[▶] The hamsters are working hard" if number == 0 else "[▶] Reusing existing environment"
    download = [
        env(Phase.RUNNING, "[▶] BitbucketDownloader", task=downloader),
        env(setup, "[▶] BitbucketDownloader", task=downloader),
    ]
    groups = [[env(Phase.RUNNING, opening)], [env(Phase.SUCCEEDED, "[▶] Environment built"), *download]]
    if setup is Phase.FAILED:
        return [*groups, [env(Phase.FAILED, "[■] Environment build failed")]], {"Acme/env": StatusState.FAILED}
    told = [env(Phase.SUCCEEDED, "[■] Environment ready")]
    shown = {"Acme/env": StatusState.SUCCESSFUL}
    for index, end in enumerate(steps):
        context, task = f"Shell/Step {index}", f"t-{number}-{index}"
        told.append(update(context, Phase.PENDING, "[⌛] make", task=task))
        told.append(update(context, Phase.RUNNING, "[▶] make", task=task))
        told.append(update(context, end, "[■] make", task=task, final=True))
        shown[f"Acme/{context}"] = StatusState.FAILED if end is Phase.FAILED else StatusState.SUCCESSFUL
    return [*groups, told], shown


@st.composite
def arrivals(draw: st.DrawFn, number: int) -> tuple[list[Update], dict[str, StatusState]]:
    """The updates of a run in an order in which they can arrive, and the end that they must come to."""
    ends = st.sampled_from([Phase.SUCCEEDED, Phase.FAILED])
    groups, shown = run_of_build(number, draw(st.lists(ends, max_size=3)), draw(ends))
    arrived: list[Update] = []
    on_their_way: list[Update] = []
    for waited_for, *sent in groups:
        while len(on_their_way) > 0 and draw(st.booleans()):
            arrived.append(on_their_way.pop(draw(st.integers(0, len(on_their_way) - 1))))
        arrived.append(waited_for)
        on_their_way += sent
    return arrived + draw(st.permutations(on_their_way)), shown


@settings(deadline=None)
@given(arrivals(0), arrivals(1), st.data())
def test_whatever_overtakes_what_bitbucket_shows_the_end_of_each_run(
    first: tuple[list[Update], dict[str, StatusState]],
    second: tuple[list[Update], dict[str, StatusState]],
    data: st.DataObject,
) -> None:
    store = ImmediateStore()
    bitbucket: dict[str, StatusState] = {}
    expected: dict[str, StatusState] = {}
    for updates, end in (first, second):
        for each in updates:
            tell(store, each)
            if data.draw(st.booleans(), label="the reporter comes along"):
                bitbucket |= {status.key: status.state for status in report(store)}
        bitbucket |= {status.key: status.state for status in report(store)}
        expected |= end
        assert bitbucket == expected
    store.close()


@pytest.fixture
def told(store: ImmediateStore) -> StoredStatus:
    """A step that runs, as Bitbucket was told."""
    tell(store, hello(Phase.RUNNING))
    report(store)
    return tell(store, hello(Phase.RUNNING))


def test_the_first_state_of_a_key_is_due_at_once(store: ImmediateStore) -> None:
    tell(store, hello(Phase.PENDING, "⌛"))
    [status] = report(store, NOW)
    assert (status.state, status.description) == (StatusState.INPROGRESS, "[⌛] echo hi")


def test_a_change_of_nothing_but_the_icon_is_kept_and_not_reported(store: ImmediateStore) -> None:
    tell(store, hello(Phase.PENDING, "⌛"))
    report(store)
    assert tell(store, hello(Phase.RUNNING)).desired.description == "[▶] echo hi"
    assert report(store) == []


def test_the_same_again_is_not_reported(store: ImmediateStore, told: StoredStatus) -> None:
    assert report(store) == []


def test_other_words_are_reported_after_the_pile(store: ImmediateStore, told: StoredStatus) -> None:
    tell(store, hello(Phase.RUNNING, words="step 2"))
    assert report(store, NOW + PILE / 2) == []
    assert [status.description for status in report(store, NOW + PILE)] == ["[▶] step 2"]


def test_an_end_is_reported_at_once_even_with_the_same_words(store: ImmediateStore, told: StoredStatus) -> None:
    tell(store, hello(Phase.SUCCEEDED, "■"))
    assert [status.state for status in report(store, NOW)] == [StatusState.SUCCESSFUL]


def test_an_update_that_was_overtaken_changes_nothing_and_is_answered_all_the_same(store: ImmediateStore) -> None:
    end = tell(store, hello(Phase.SUCCEEDED, "■"))
    answer = store.now(take, SUBJECT, hello(Phase.RUNNING), NOW + 1, DISPLAY)
    assert answer.state is StatusState.INPROGRESS
    assert store.now(statuses.find, end.desired) == end


def test_a_status_that_was_not_taken_is_reported_again_with_the_next_update(
    store: ImmediateStore, told: StoredStatus
) -> None:
    tell(store, hello(Phase.RUNNING, words="step 2"))
    [refused] = store.now(statuses.claim_pending, Lease("node", NOW + PILE), 1)
    store.now(statuses.give_up, refused, "Bitbucket answered 400", NOW)
    assert report(store) == []
    tell(store, hello(Phase.RUNNING, words="step 2"))
    assert [status.description for status in report(store)] == ["[▶] step 2"]


def test_another_build_of_the_commit_takes_the_key_over(store: ImmediateStore) -> None:
    tell(store, hello(Phase.SUCCEEDED, "■"))
    other = evolve(hello(Phase.RUNNING, task="t-2"), build_id="b-2")
    store.now(take, evolve(SUBJECT, build_id="b-2"), other, NOW, DISPLAY)
    found = store.now(statuses.of_build, "b-2")
    assert [each.desired.state for each in found] == [StatusState.INPROGRESS]


def test_an_older_build_of_the_commit_does_not_take_the_key_back(store: ImmediateStore) -> None:
    tell(store, hello(Phase.SUCCEEDED, "■"))
    other = evolve(hello(Phase.SUCCEEDED, "■", task="t-2"), build_id="b-2", final=True)
    store.now(take, evolve(SUBJECT, build_id="b-2"), other, NOW, DISPLAY)
    store.now(take, SUBJECT, hello(Phase.PENDING), NOW, DISPLAY)
    [found] = store.now(statuses.of_build, "b-2")
    assert found.desired.state is StatusState.SUCCESSFUL


def test_no_more_tasks_are_remembered_than_can_matter(store: ImmediateStore) -> None:
    updates = [hello(Phase.RUNNING, task=f"t-{number}") for number in range(desire.TASKS + 5)]
    tasks = tell(store, *updates).tasks
    assert len(tasks) == desire.TASKS
    assert f"t-{desire.TASKS + 4}" in tasks


def test_a_status_is_stopped_for_good(store: ImmediateStore, told: StoredStatus) -> None:
    store.now(stop, told, "The build ended without telling the result", NOW, DISPLAY)
    [status] = report(store, NOW)
    assert (status.state, status.description) == (StatusState.STOPPED, "The build ended without telling the result")
    assert tell(store, hello(Phase.RUNNING)).desired.state is StatusState.STOPPED


@pytest.fixture
def build() -> Build:
    return Build(
        id="b-1",
        kind=BuildKind.BRANCH,
        repository=Repository("acme", "site"),
        source=Repository("fork", "site"),
        commit="d96c25c4ae50",
        name="Change the README",
        created_at=NOW,
        branch="main",
    )


def test_a_status_belongs_where_the_commit_is(build: Build) -> None:
    assert Subject.of(build).repository == Repository("fork", "site")
    assert Subject.of(build).refname == "main"


def test_a_status_links_to_the_environment_or_else_to_the_pull_request(build: Build) -> None:
    page = "https://bitbucket.org/acme/site/pull-requests/7"
    pull_request = PullRequest(
        7, "Change", "", page, "Ada", "", PullRequestState.OPEN, "main", "d96c25c4ae50", build.source
    )
    of_pull_request = evolve(build, kind=BuildKind.PULL_REQUEST, pull_request=pull_request)
    assert Subject.of(build, "http://{{buildId}}.example/").urls == ["http://b-1.example/"]
    assert Subject.of(of_pull_request).urls == ["", page]


def test_a_final_state_does_not_wait_for_what_the_state_before_it_waits_for(store: ImmediateStore) -> None:
    """The budget refuses states in progress long before it refuses the end."""
    tell(store, hello(Phase.RUNNING))
    [claimed] = store.now(statuses.claim_pending, Lease("node", NOW), 1)
    failed = evolve(claimed, effort=claimed.effort.failed(NOW))
    store.now(statuses.postpone, failed, due_at=NOW + 600, error="1000 requests an hour are spent", now=NOW)
    tell(store, hello(Phase.RUNNING, words="echo ho"))
    assert report(store, NOW + 1) == []
    tell(store, hello(Phase.SUCCEEDED, "■"), now=NOW + 2)
    assert [status.state for status in report(store, NOW + 2)] == [StatusState.SUCCESSFUL]


def test_how_long_the_states_before_it_waited_does_not_have_a_final_state_given_up_on(store: ImmediateStore) -> None:
    tell(store, hello(Phase.RUNNING))
    [claimed] = store.now(statuses.claim_pending, Lease("node", NOW), 1)
    failed = evolve(claimed, effort=claimed.effort.failed(NOW - 100_000))
    store.now(statuses.postpone, failed, due_at=NOW + 600, error="down", now=NOW)
    tell(store, hello(Phase.SUCCEEDED, "■"), now=NOW + 2)
    [claimed] = store.now(statuses.claim_pending, Lease("node", NOW + 2), 1)
    assert claimed.effort == Effort(0, None)


def test_what_waits_for_the_budget_goes_on_waiting_as_long_with_a_newer_state(store: ImmediateStore) -> None:
    tell(store, hello(Phase.RUNNING))
    [claimed] = store.now(statuses.claim_pending, Lease("node", NOW), 1)
    waiting = evolve(claimed, effort=effort_after(claimed.effort, BudgetSpent("spent"), NOW))
    store.now(statuses.postpone, waiting, due_at=NOW + 600, error="spent", now=NOW)
    for words in ("echo ho", "echo hi"):
        tell(store, hello(Phase.RUNNING, words=words))
        assert report(store, NOW + 1) == []


def test_the_set_up_of_a_later_build_of_the_commit_is_shown_after_that_of_the_first_one_ended(
    store: ImmediateStore,
) -> None:
    tell(store, env(Phase.SUCCEEDED, "[■] Environment ready"))
    again = update("env", Phase.RUNNING, "[▶] BitbucketDownloader", task="download of b-2", build="b-2")
    assert tell(store, again).desired.state is StatusState.INPROGRESS
