"""What became of a build, in one word: of how far it is, and of the worst that its steps told."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from probo_bitbucket.model import BuildState, StatusState
from probo_bitbucket.store.schema import builds


class Outcome(StrEnum):
    WAITING = "waiting"  # not started yet
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # a step failed, or there will be no build and somebody has to do something
    STOPPED = "stopped"
    CANCELLED = "cancelled"  # no longer wanted
    SKIPPED = "skipped"  # its author wants none
    REMOVED = "removed"  # its environment was taken down


_BEFORE = (BuildState.QUEUED, BuildState.READY, BuildState.STARTING)
_OVER = {
    BuildState.CANCELLED: Outcome.CANCELLED,
    BuildState.SKIPPED: Outcome.SKIPPED,
    BuildState.REMOVED: Outcome.REMOVED,
}
_NOT_BUILT = (BuildState.FAILED, BuildState.REFUSED, BuildState.INVALID)
_RESULTS = {
    StatusState.FAILED: Outcome.FAILED,
    StatusState.STOPPED: Outcome.STOPPED,
    StatusState.SUCCESSFUL: Outcome.SUCCEEDED,
}


def outcome(state: BuildState, result: StatusState | None) -> Outcome:
    """The outcome of a build in *state* whose steps told *result* at worst; None while they told nothing.

    That a build has ended is known minutes later only. It counts as soon as nothing of it is in progress.
    """
    if state in _BEFORE:
        return Outcome.WAITING
    if state in _NOT_BUILT:
        return Outcome.FAILED
    if state in _OVER:
        return _OVER[state]
    if result in _RESULTS:
        return _RESULTS[result]
    return Outcome.RUNNING if state is BuildState.RUNNING else Outcome.STOPPED


def having(wanted: Outcome) -> sa.ColumnElement[bool]:
    """The condition for the builds of that outcome: the same rule, asked of the database."""
    results = (None, *StatusState)
    fitting = [(state, result) for state in BuildState for result in results if outcome(state, result) is wanted]
    states = {state for state, _ in fitting}
    whole = {state for state in states if all((state, result) in fitting for result in results)}
    return sa.or_(
        builds.c.state.in_(sorted(whole)),
        *(_both(state, result) for state, result in fitting if state not in whole),
    )


def _both(state: BuildState, result: StatusState | None) -> sa.ColumnElement[bool]:
    return sa.and_(builds.c.state == state, builds.c.result.is_(None) if result is None else builds.c.result == result)
