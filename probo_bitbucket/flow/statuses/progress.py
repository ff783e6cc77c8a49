"""Progress: how far a build is, by what is known of its set-up and its steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from attrs import frozen

from probo_bitbucket.model import BuildState, Phase, Status, StatusState
from probo_bitbucket.probo import configuration
from probo_bitbucket.store import Transaction, builds, removals, statuses
from probo_bitbucket.store.builds import StoredBuild
from probo_bitbucket.store.statuses import StoredStatus

MILESTONES = 7  # of the steps, at most

_GOING_ON = (BuildState.QUEUED, BuildState.READY, BuildState.STARTING, BuildState.RUNNING)
_BROKEN_OFF = (StatusState.FAILED, StatusState.STOPPED)


@frozen
class Progress:
    """How far a build is. *expected* is the number of steps that it will tell of at least, None when it is over.

    What another handler asked for is taken for over with each end: nobody here knows what will follow.
    """

    told: Status  # the first word of the build: where it is, and what it links to
    setup: StoredStatus | None
    steps: Sequence[StoredStatus]
    expected: int | None
    gone: str = ""  # why the environment is not there any more; empty while it is, or was not yet

    @property
    def setting_up(self) -> bool:
        """Not ready yet. Where the end of the set-up was not told, the first step tells it."""
        if self.setup:
            return not self.setup.desired.state.final
        return not self.steps and self.expected is not None

    @property
    def broken_off(self) -> Status | None:
        """The last word of a set-up after which no step comes."""
        return self.setup.desired if self.setup and self.setup.desired.state in _BROKEN_OFF else None

    @property
    def total(self) -> int:
        return max(len(self.steps), self.expected or 0)

    @property
    def ended(self) -> int:
        return sum(step.desired.state.final for step in self.steps)

    @property
    def state(self) -> StatusState:
        if self.broken_off:
            return self.broken_off.state
        if self.setting_up or self.ended < self.total:
            return StatusState.INPROGRESS
        ends = {step.desired.state for step in self.steps}
        return next((state for state in _BROKEN_OFF if state in ends), StatusState.SUCCESSFUL)

    @property
    def milestone(self) -> int:
        """Changes so seldom that a build of many steps is worth no more requests than one of few."""
        if self.setting_up:
            return 0
        stride = max(1, -(-self.total // MILESTONES))
        return 1 + self.ended // stride

    def names(self, state: StatusState) -> list[str]:
        """The names of the steps that are in *state*."""
        return [name_of(step) for step in self.steps if step.desired.state is state]


def name_of(step: StoredStatus) -> str:
    """The name that the author gave a step."""
    return step.context.split("/", 2)[-1]


def runs(told: StoredStatus) -> bool:
    return not told.desired.state.final and Phase.RUNNING in told.tasks.values()


def progress_of(
    tx: Transaction, build_id: str, build: StoredBuild | None, instance_name: str, gone: str = ""
) -> Progress | None:
    """How far a build is: *build*, where it is one of ours. None where nothing was told of it."""
    by_name = {
        each.context.removeprefix(f"{instance_name}/"): each
        for each in statuses.of_build(tx, build_id)
        if not each.is_summary
    }
    if not by_name:
        return None
    setup = by_name.get("env")
    steps = [each for name, each in by_name.items() if "/" in name]  # their names begin with their plugins
    return Progress((setup or next(iter(by_name.values()))).desired, setup, steps, _expected(build), gone)


def is_newer(tx: Transaction, other_id: str, build: StoredBuild | None) -> bool:
    """Whether the build *other_id* was asked for later than *build* and is still wanted, so that its word counts."""
    other = builds.find(tx, other_id)
    if other is None or build is None or removals.is_going(tx, other_id):
        return False
    return other.build.created_at > build.build.created_at


def _expected(stored: StoredBuild | None) -> int | None:
    if stored is None or stored.state not in _GOING_ON:
        return None
    if not stored.document:
        return 0
    document: dict[str, Any] = msgspec.json.decode(stored.document)
    return configuration.steps_that_run(document["build"]["config"])
