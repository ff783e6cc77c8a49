"""What became of a build, in one word: of how far it is, and of all that its steps reported."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from probo_bitbucket.model import BuildState, StatusState


class Outcome(StrEnum):
    WAITING = "waiting"  # not started yet
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # a step failed, or there will be no build and somebody has to do something
    STOPPED = "stopped"
    CANCELLED = "cancelled"  # no longer wanted


_BEFORE = (BuildState.QUEUED, BuildState.READY, BuildState.STARTING)
NOT_BUILT = (BuildState.FAILED, BuildState.REFUSED, BuildState.INVALID)


def outcome(state: BuildState, shown: Collection[StatusState]) -> Outcome:
    """The outcome of a build in *state* whose statuses are *shown*.

    That a build has ended is known minutes later only. It counts as soon as nothing of it is in progress.
    """
    if state in _BEFORE:
        return Outcome.WAITING
    if state in NOT_BUILT:
        return Outcome.FAILED
    if state in (BuildState.CANCELLED, BuildState.SKIPPED):
        return Outcome.CANCELLED
    if StatusState.INPROGRESS in shown or not shown:
        return Outcome.RUNNING if state is BuildState.RUNNING else Outcome.STOPPED
    if StatusState.FAILED in shown:
        return Outcome.FAILED
    return Outcome.STOPPED if StatusState.STOPPED in shown else Outcome.SUCCEEDED
