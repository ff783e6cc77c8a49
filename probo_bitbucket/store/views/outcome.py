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
    SKIPPED = "skipped"  # its author wants none
    REMOVED = "removed"  # its environment was taken down
    REPLACED = "replaced"  # by a rebuild of the same commit, which has its statuses now


_BEFORE = (BuildState.QUEUED, BuildState.READY, BuildState.STARTING)
_OVER = {
    BuildState.CANCELLED: Outcome.CANCELLED,
    BuildState.SKIPPED: Outcome.SKIPPED,
    BuildState.REMOVED: Outcome.REMOVED,
}
NOT_BUILT = (BuildState.FAILED, BuildState.REFUSED, BuildState.INVALID)


def outcome(state: BuildState, claim: str | None, shown: Collection[StatusState]) -> Outcome:
    """The outcome of a build in *state* whose statuses are *shown*. A rebuild takes its *claim* from it.

    That a build has ended is known minutes later only. It counts as soon as nothing of it is in progress.
    """
    if state in _BEFORE:
        return Outcome.WAITING
    if state in NOT_BUILT:
        return Outcome.FAILED
    if state in _OVER:
        return _OVER[state]
    if not shown and claim is None:
        return Outcome.REPLACED
    if StatusState.INPROGRESS in shown or not shown:
        return Outcome.RUNNING if state is BuildState.RUNNING else Outcome.STOPPED
    if StatusState.FAILED in shown:
        return Outcome.FAILED
    return Outcome.STOPPED if StatusState.STOPPED in shown else Outcome.SUCCEEDED
