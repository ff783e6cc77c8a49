"""Summary: one status for a whole build, under a key that is the same for every build."""

from __future__ import annotations

from attrs import evolve

from probo_bitbucket.bitbucket import statuses as rules
from probo_bitbucket.flow.statuses.progress import Progress, is_newer, name_of, runs
from probo_bitbucket.model import Status, StatusState
from probo_bitbucket.store import Transaction, statuses
from probo_bitbucket.store.builds import StoredBuild
from probo_bitbucket.store.statuses import StoredStatus, Wish

PILE = 2.0  # seconds that a change waits for the next one: the first step begins and ends right after the set-up


def sum_up(
    tx: Transaction,
    build_id: str,
    build: StoredBuild | None,
    progress: Progress,
    now: float,
    instance_name: str,
    not_before: float,
) -> None:
    """Make the summary of a build what Bitbucket shall show, unless its commit has that of a later build.

    It is reported PILE seconds later, and *not_before* a time; the first one at once.
    """
    told = evolve(progress.told, key=rules.key(instance_name), name=instance_name)
    status = rules.within_limits(evolve(told, state=progress.state, description=describe(progress)))
    previous = statuses.find(tx, status)
    if previous is None or not is_newer(tx, previous.build_id, build):
        due_at = now if previous is None else max(now + PILE, not_before)
        statuses.desire(tx, _wish(build_id, status, progress, previous, due_at), previous, now)


def describe(progress: Progress) -> str:
    """How far the build is, in words, and whether its environment is gone since."""
    return f"{_how_far(progress)}; environment gone: {progress.gone}" if progress.gone else _how_far(progress)


def _how_far(progress: Progress) -> str:
    if progress.broken_off:
        return rules.without_icon(progress.broken_off.description)
    if progress.setting_up:
        return "Setting up the environment"
    if not progress.total:
        return "Environment ready"
    failed = progress.names(StatusState.FAILED)
    if progress.state is StatusState.FAILED:
        return f"{len(failed)} of {progress.total} steps failed: {', '.join(failed)}"
    if progress.state is StatusState.STOPPED:
        return f"Stopped: {', '.join(progress.names(StatusState.STOPPED))}"
    running = [f"{name_of(step)} running" for step in progress.steps if runs(step)]
    count = f"{progress.ended} of {progress.total} steps"
    return ", ".join([count, *([f"{len(failed)} failed"] if failed else []), *running[:1]])


def _wish(build_id: str, status: Status, progress: Progress, previous: StoredStatus | None, due_at: float) -> Wish:
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
        due_at=due_at,
        worth_reporting=other_end or not same_stage,
        milestone=progress.milestone,
    )
