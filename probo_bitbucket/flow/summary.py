"""Summary: one status for a whole build, under a key that is the same for every build."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from attrs import evolve, frozen

from probo_bitbucket.bitbucket import statuses as rules
from probo_bitbucket.flow.display import Display
from probo_bitbucket.model import BuildState, Phase, Status, StatusState
from probo_bitbucket.probo import configuration
from probo_bitbucket.store import Transaction, builds, statuses
from probo_bitbucket.store.builds import StoredBuild
from probo_bitbucket.store.statuses import StoredStatus, Wish

MILESTONES = 7  # reports of how many steps have ended, at most
PILE = 2.0  # seconds that a change waits for the next one: the first step begins and ends right after the set-up

_GOING_ON = (BuildState.QUEUED, BuildState.READY, BuildState.STARTING, BuildState.RUNNING)


@frozen
class Progress:
    """How far a build is. *expected* is the number of steps that it will tell of at least, None when it is over.

    What another handler asked for is taken for over with each end: nobody here knows what will follow.
    """

    setup: StoredStatus | None
    steps: Sequence[StoredStatus]
    expected: int | None

    @classmethod
    def of(cls, known: Sequence[StoredStatus], expected: int | None, instance_name: str) -> Progress:
        """Sort the statuses of a build: the set-up, the steps (which are named after their plugins), and others."""
        by_name = {each.context.removeprefix(f"{instance_name}/"): each for each in known}
        steps = [each for name, each in by_name.items() if "/" in name]
        return cls(by_name.get("env"), steps, expected)

    @property
    def state(self) -> StatusState:
        if self.setup and self._is(self.setup, StatusState.FAILED, StatusState.STOPPED):
            return self.setup.desired.state
        if self._setting_up or self.ended < self.total:
            return StatusState.INPROGRESS
        ends = {step.desired.state for step in self.steps}
        worst_first = (StatusState.FAILED, StatusState.STOPPED)
        return next((state for state in worst_first if state in ends), StatusState.SUCCESSFUL)

    @property
    def total(self) -> int:
        return max(len(self.steps), self.expected or 0)

    @property
    def ended(self) -> int:
        return sum(step.desired.state.final for step in self.steps)

    @property
    def milestone(self) -> int:
        """Changes so seldom that a build of many steps is worth no more requests than one of few."""
        if self._setting_up:
            return 0
        stride = max(1, -(-self.total // MILESTONES))
        return 1 + self.ended // stride

    @property
    def description(self) -> str:
        if self.setup and self._is(self.setup, StatusState.FAILED, StatusState.STOPPED):
            return rules.without_icon(self.setup.desired.description)
        if self._setting_up:
            return "Setting up the environment"
        if not self.total:
            return "Environment ready"
        failed = self._names(StatusState.FAILED)
        if self.state is StatusState.FAILED:
            return f"{len(failed)} of {self.total} steps failed: {', '.join(failed)}"
        if self.state is StatusState.STOPPED:
            return f"Stopped: {', '.join(self._names(StatusState.STOPPED))}"
        running = [f"{_name(step)} running" for step in self.steps if _runs(step)]
        count = f"{self.ended} of {self.total} steps"
        return ", ".join([count, *([f"{len(failed)} failed"] if failed else []), *running[:1]])

    @property
    def _setting_up(self) -> bool:
        """Not ready yet. Where the end of the set-up was not told, the first step tells it."""
        if self.setup:
            return not self.setup.desired.state.final
        return not self.steps and self.expected is not None

    def _names(self, state: StatusState) -> list[str]:
        return [_name(step) for step in self.steps if self._is(step, state)]

    @staticmethod
    def _is(stored: StoredStatus, *states: StatusState) -> bool:
        return stored.desired.state in states


def _name(step: StoredStatus) -> str:
    return step.context.split("/", 2)[-1]


def _runs(step: StoredStatus) -> bool:
    return not step.desired.state.final and Phase.RUNNING in step.tasks.values()


def sum_up(tx: Transaction, build_id: str, now: float, display: Display) -> None:
    """Derive the desired summary of a build from what is known of it, if the settings want one."""
    known = [each for each in statuses.of_build(tx, build_id) if not each.is_summary] if display.summary else []
    if not known:
        return
    build = builds.find(tx, build_id)
    progress = Progress.of(known, _expected(build), display.instance_name)
    status = _status(progress, (progress.setup or known[0]).desired, display.instance_name)
    previous = statuses.find(tx, status)
    if previous is None or not _later(builds.find(tx, previous.build_id), build):
        statuses.desire(tx, _wish(build_id, status, progress, previous, now), previous, now)


def _status(progress: Progress, told: Status, name: str) -> Status:
    """The summary, on the commit and with the link of *told*."""
    status = evolve(told, key=rules.key(name), name=name, state=progress.state, description=progress.description)
    return rules.within_limits(status)


def _wish(build_id: str, status: Status, progress: Progress, previous: StoredStatus | None, now: float) -> Wish:
    """An end waits, too: a build that is run again tells that it goes on right after its set-up is ready again."""
    stage = (build_id, progress.milestone, status.state)
    same_stage = previous is not None and stage == (previous.build_id, previous.milestone, previous.desired.state)
    other_end = status.state.final and previous is not None and previous.desired != status
    return Wish(
        build_id=build_id,
        context=status.name,
        status=status,
        tasks={},
        settled=False,
        due_at=now if previous is None else now + PILE,
        worth_reporting=other_end or not same_stage,
        milestone=progress.milestone,
    )


def _later(teller: StoredBuild | None, build: StoredBuild | None) -> bool:
    """Whether the summary is that of a build of the same commit that was asked for later."""
    return teller is not None and build is not None and teller.build.created_at > build.build.created_at


def _expected(stored: StoredBuild | None) -> int | None:
    if stored is None or stored.state not in _GOING_ON:
        return None
    if not stored.document:
        return 0
    document: dict[str, Any] = msgspec.json.decode(stored.document)
    return configuration.steps_that_run(document["build"]["config"])
