"""The one status of a whole build, as its updates come in."""

from __future__ import annotations

import json

import pytest
from attrs import evolve

from probo_bitbucket.flow.statuses.derivation import derive
from probo_bitbucket.flow.statuses.desire import Subject, stop, take
from probo_bitbucket.flow.statuses.display import Display
from probo_bitbucket.flow.statuses.progress import MILESTONES
from probo_bitbucket.flow.statuses.summary import PILE
from probo_bitbucket.model import Build, BuildKind, BuildState, Phase, Repository, Status, Update
from probo_bitbucket.store import Lease, builds, statuses
from tests.immediate import ImmediateStore

NOW = 1_000_000.0
SUMMARY = Display("Acme", "http://{{buildId}}.example/", "https://bitbucket.org", steps=False, summary=True)
BOTH = evolve(SUMMARY, steps=True)
STEPS = evolve(SUMMARY, steps=True, summary=False)
SITE = Repository("acme", "site")


def a_build(id: str = "b-1", created_at: float = NOW) -> Build:
    return Build(id, BuildKind.HASH, SITE, SITE, "d96c25c4ae50", "Change", created_at, branch="main")


@pytest.fixture
def build(store: ImmediateStore) -> Build:
    return running(store, a_build(), "Compile", "Test", "Drupal install")


def running(store: ImmediateStore, build: Build, *steps: str) -> Build:
    """A build of *steps* that the Container Manager has."""
    leased = store.now(builds.request_now, build, Lease("node", NOW))
    config = {"steps": [{"name": name, "command": "make"} for name in steps]}
    document = json.dumps({"build": {"config": config}, "project": {}})
    store.now(builds.advance, evolve(leased, document=document), BuildState.STARTING, NOW)
    store.now(builds.conclude, build.id, BuildState.RUNNING, NOW)
    return build


def tell(
    store: ImmediateStore, build: Build, context: str, phase: Phase, words: str = "", display: Display = SUMMARY
) -> None:
    icon = "■" if phase.rank == 2 else "▶"
    final = phase.rank == 2
    update = Update(build.id, f"Acme/{context}", phase, phase, f"[{icon}] {words}", final, task_id=context)
    store.now(take, Subject.of(build, display.build_url), update, NOW, display)


def prepared(store: ImmediateStore, build: Build, *steps: str, display: Display = SUMMARY) -> None:
    """The environment is ready, and all steps wait."""
    tell(store, build, "env", Phase.RUNNING, "The hamsters are working", display)
    tell(store, build, "env", Phase.SUCCEEDED, "Environment ready", display)
    for step in steps:
        tell(store, build, f"Shell/{step}", Phase.PENDING, display=display)


def report(store: ImmediateStore, now: float = NOW + PILE) -> list[Status]:
    """Report all that is due, as the reporter does; return it."""
    claimed = store.now(statuses.claim_pending, Lease("node", now), 100)
    for each in claimed:
        store.now(statuses.reported, each, now)
    return [each.desired for each in claimed]


def shown(store: ImmediateStore, now: float = NOW + PILE) -> list[tuple[str, str]]:
    """State and description of the summary, if it is due."""
    return [(status.state, status.description) for status in report(store, now) if status.key == "Acme"]


def test_the_first_word_is_shown_at_once_under_the_name_of_the_instance(store: ImmediateStore, build: Build) -> None:
    tell(store, build, "env", Phase.RUNNING, "The hamsters are working")
    [status] = report(store, NOW)
    assert (status.key, status.name, status.state) == ("Acme", "Acme", "INPROGRESS")
    assert status.description == "Setting up the environment"
    assert (status.commit, status.refname, status.url) == ("d96c25c4ae50", "main", "http://b-1.example/")


def test_it_counts_the_steps_and_names_the_one_that_runs(store: ImmediateStore, build: Build) -> None:
    prepared(store, build, "Compile", "Test", "Drupal install")
    assert shown(store) == [("INPROGRESS", "0 of 3 steps")]
    tell(store, build, "Shell/Compile", Phase.SUCCEEDED)
    tell(store, build, "Shell/Test", Phase.FAILED)
    tell(store, build, "Shell/Drupal install", Phase.RUNNING)
    assert shown(store) == [("INPROGRESS", "2 of 3 steps, 1 failed, Drupal install running")]


@pytest.mark.parametrize(
    ("end", "state", "description"),
    [
        (Phase.SUCCEEDED, "SUCCESSFUL", "3 of 3 steps"),
        (Phase.FAILED, "FAILED", "1 of 3 steps failed: Drupal install"),
        (Phase.STOPPED, "STOPPED", "Stopped: Drupal install"),
    ],
)
def test_it_ends_when_everything_has_ended(
    store: ImmediateStore, build: Build, end: Phase, state: str, description: str
) -> None:
    prepared(store, build, "Compile", "Test", "Drupal install")
    for step in ("Compile", "Test"):
        tell(store, build, f"Shell/{step}", Phase.SUCCEEDED)
    tell(store, build, "Shell/Drupal install", end)
    assert shown(store) == [(state, description)]


def test_a_set_up_that_fails_is_the_end_in_its_own_words(store: ImmediateStore, build: Build) -> None:
    tell(store, build, "env", Phase.FAILED, "Environment build failed: no token")
    assert shown(store) == [("FAILED", "Environment build failed: no token")]


def test_an_environment_that_is_ready_is_no_success_before_its_steps(store: ImmediateStore, build: Build) -> None:
    prepared(store, build)
    assert shown(store) == [("INPROGRESS", "0 of 3 steps")]


def test_steps_that_were_not_told_of_yet_are_waited_for(store: ImmediateStore, build: Build) -> None:
    """The first step can have ended before the Container Manager's word of the last one is here."""
    prepared(store, build, "Compile")
    tell(store, build, "Shell/Compile", Phase.SUCCEEDED)
    assert shown(store) == [("INPROGRESS", "1 of 3 steps")]


def test_a_build_without_steps_ends_with_its_set_up(store: ImmediateStore) -> None:
    build = running(store, a_build())
    tell(store, build, "configuration", Phase.SUCCEEDED, "Please check: there are no steps")
    assert shown(store) == [("INPROGRESS", "Setting up the environment")]
    prepared(store, build)
    assert shown(store) == [("SUCCESSFUL", "Environment ready")]


def test_what_is_over_waits_for_nothing(store: ImmediateStore, build: Build) -> None:
    """A step that never told anything would be waited for as long as the build goes on."""
    prepared(store, build, "Compile")
    tell(store, build, "Shell/Compile", Phase.SUCCEEDED)
    store.now(builds.conclude, build.id, BuildState.ENDED, NOW)
    store.now(derive, build.id, NOW, SUMMARY)
    assert shown(store) == [("SUCCESSFUL", "1 of 1 steps")]


def test_it_stops_with_what_it_sums_up(store: ImmediateStore, build: Build) -> None:
    prepared(store, build, "Compile", "Test", "Drupal install")
    for stored in store.now(statuses.of_build, build.id):
        if not stored.desired.state.final:
            store.now(stop, stored, "Superseded", NOW, SUMMARY)
    assert shown(store) == [("STOPPED", "Stopped: Compile, Drupal install, Test")]


def test_a_build_that_is_run_again_is_not_over_before_its_steps_are(store: ImmediateStore, build: Build) -> None:
    prepared(store, build, "Compile", "Test", "Drupal install")
    for step in ("Compile", "Test", "Drupal install"):
        tell(store, build, f"Shell/{step}", Phase.SUCCEEDED)
    assert shown(store) == [("SUCCESSFUL", "3 of 3 steps")]
    again = Update(build.id, "Acme/env", Phase.RUNNING, "running", "[▶] Reusing existing environment", final=False)
    store.now(take, Subject.of(build), again, NOW, SUMMARY)
    assert shown(store) == [("INPROGRESS", "Setting up the environment")]
    ready = evolve(again, phase=Phase.SUCCEEDED, description="[■] Environment ready", final=True)
    store.now(take, Subject.of(build), ready, NOW, SUMMARY)
    assert shown(store, NOW) == []  # the old ends would make it green
    restarted = Update(build.id, "Acme/Shell/Test", Phase.RUNNING, "running", "[▶]", final=False, task_id="new")
    store.now(take, Subject.of(build), restarted, NOW, SUMMARY)
    assert shown(store) == [("INPROGRESS", "2 of 3 steps, Test running")]


def test_an_older_build_of_the_commit_does_not_take_it_back(store: ImmediateStore, build: Build) -> None:
    newer = running(store, a_build("b-2", NOW + 1), "Compile")
    prepared(store, build, "Other")
    prepared(store, newer, "Compile")
    tell(store, newer, "Shell/Compile", Phase.SUCCEEDED)
    assert shown(store) == [("SUCCESSFUL", "1 of 1 steps")]
    tell(store, build, "Shell/Other", Phase.FAILED)
    assert shown(store) == []


def test_many_steps_are_worth_no_more_requests_than_few(store: ImmediateStore) -> None:
    names = [f"Step {number}" for number in range(20)]
    build = running(store, a_build(), *names)
    prepared(store, build, *names)
    posts = shown(store)
    for name in names:
        tell(store, build, f"Shell/{name}", Phase.RUNNING)
        posts += shown(store)
        tell(store, build, f"Shell/{name}", Phase.SUCCEEDED)
        posts += shown(store)
    assert len(posts) == MILESTONES + 1
    assert posts[-1] == ("SUCCESSFUL", "20 of 20 steps")


def test_steps_are_kept_and_not_posted(store: ImmediateStore, build: Build) -> None:
    prepared(store, build, "Compile")
    assert {status.key for status in report(store)} == {"Acme"}
    kept = {each.desired.key: each.desired.state for each in store.now(statuses.of_build, build.id)}
    assert kept == {"Acme": "INPROGRESS", "Acme/env": "SUCCESSFUL", "Acme/Shell/Compile": "INPROGRESS"}


def test_both_are_posted_where_both_are_wanted(store: ImmediateStore, build: Build) -> None:
    prepared(store, build, "Compile", display=BOTH)
    assert {status.key for status in report(store)} == {"Acme", "Acme/env", "Acme/Shell/Compile"}


def test_a_key_that_bitbucket_has_does_not_stay_in_progress_when_only_summaries_are_wanted(
    store: ImmediateStore, build: Build
) -> None:
    prepared(store, build, "Compile", display=STEPS)
    assert len(report(store)) == 2
    tell(store, build, "Shell/Compile", Phase.SUCCEEDED)
    assert ("Acme/Shell/Compile", "SUCCESSFUL") in {(status.key, str(status.state)) for status in report(store)}


def test_texts_longer_than_bitbucket_takes_are_cut(store: ImmediateStore) -> None:
    names = [f"{'very ' * 40}long name {number}" for number in range(5)]
    build = running(store, a_build(), *names)
    prepared(store, build, *names)
    for name in names:
        tell(store, build, f"Shell/{name}", Phase.FAILED)
    [(state, description)] = shown(store)
    assert (state, len(description)) == ("FAILED", 255)
