"""Catch-up: asks the Container Manager about builds without news. It says everything once, even while we are down."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket.flow.builds import watch
from probo_bitbucket.flow.builds.ending import Ending
from probo_bitbucket.flow.statuses.derivation import derive
from probo_bitbucket.flow.statuses.desire import Subject, asked_for, stop, take
from probo_bitbucket.flow.statuses.display import Display
from probo_bitbucket.flow.statuses.progress import is_newer
from probo_bitbucket.flow.work import log_fields
from probo_bitbucket.model import BuildState, Phase, Status, Update
from probo_bitbucket.probo.container_manager import BuildReport, ContainerManager, StepReport
from probo_bitbucket.store import Database, Lease, Transaction, builds, removals, statuses, steps, watches
from probo_bitbucket.store.builds import StoredBuild
from probo_bitbucket.store.removals import Fate
from probo_bitbucket.store.statuses import StoredStatus
from probo_bitbucket.store.watches import Watched

_SETUP = ("BitbucketDownloader", "AssetDownloader")
_SILENT = "Nothing was heard of this build for a day"


@define(eq=False)
class CatchUp:
    """The step that asks: about every build that was quiet for long, and once about each after a start.

    A build ends when its report says so, when there is none, or when nothing was heard of it for watch.SILENCE,
    whatever the report says: one whose image cannot be had stays active for ever. *coordinated* is set where a
    coordinator is asked, which promises no report. *wake* tells the reporter that there may be statuses.
    """

    store: Database
    clock: IReactorTime
    container_manager: ContainerManager
    display: Display
    ending: Ending
    coordinated: bool
    wake: Callable[[], None]

    name = "catch-up"
    concurrency = 8
    log = Logger()

    def begin(self, tx: Transaction) -> None:
        """Ask about all builds: something may have been told while nobody listened."""
        watches.look_now(tx, self.clock.seconds())

    async def claim(self, lease: Lease, limit: int, busy: Collection[str]) -> Sequence[Watched]:
        return await self.store.transact(watches.claim_due, lease, limit, busy=busy)

    def repository(self, job: Watched) -> str:
        return job.repository

    async def work(self, job: Watched) -> None:
        report = await self.container_manager.find(job.build_id)
        await self.store.transact(self._apply, job, report)
        self.wake()

    async def postpone(self, job: Watched, due_at: float, error: Exception) -> None:
        stored = await self.store.transact(self._put_off, job, due_at, str(error))
        self.log.info("Not caught up", event="catchup.failed", reason=str(error), **_fields(job, stored))
        self.wake()

    async def give_up(self, job: Watched, error: Exception) -> None:
        """Ask again nevertheless: silence has its own bound."""
        await self.postpone(job, self.clock.seconds() + watch.QUIET, error)

    def _apply(self, tx: Transaction, job: Watched, report: BuildReport | None) -> None:
        if not self._is_ours(tx, job):
            return
        now = self.clock.seconds()
        stored, shown = builds.find(tx, job.build_id), statuses.of_build(tx, job.build_id)
        heard_at = job.heard_at
        if report is not None:
            self._take_report(tx, stored, shown, report, now)
            if statuses.of_build(tx, job.build_id) != shown:
                builds.touch(tx, job.build_id, now)
                heard_at = now
        last_words = self._last_words(report, now - heard_at)
        if last_words:
            self._end(tx, job, stored, last_words, now)
        else:
            pinned = removals.fate(tx, job.build_id) is Fate.PINNED
            watches.rest(tx, job, heard_at=heard_at, due_at=now + watch.quiet(pinned=pinned))

    def _put_off(self, tx: Transaction, job: Watched, due_at: float, error: str) -> StoredBuild | None:
        """Ask again later, or no more. Returns the build, if it is one of ours."""
        ours = self._is_ours(tx, job)
        now, stored = self.clock.seconds(), builds.find(tx, job.build_id)
        if ours and now - job.heard_at >= watch.SILENCE:
            self._end(tx, job, stored, _SILENT, now)
        elif ours:
            watches.postpone(tx, job, due_at=due_at, error=error)
        return stored

    def _is_ours(self, tx: Transaction, job: Watched) -> bool:
        """Whether the build is still to be asked about by us; locked, with its pull request, until the end of *tx*."""
        builds.lock_pull_request(tx, job.build_id)
        builds.lock(tx, job.build_id)
        if not watches.is_held(tx, job):
            return False  # what it told meanwhile may be missing in the report; it has its turn again
        if removals.is_going(tx, job.build_id):
            watches.forget(tx, job)  # it is shown as stopped, and stays so
            return False
        return True

    def _take_report(
        self,
        tx: Transaction,
        stored: StoredBuild | None,
        shown: Sequence[StoredStatus],
        report: BuildReport,
        now: float,
    ) -> None:
        prefix = shown[0].context.partition("/")[0] if shown else self.display.instance_name
        for update in _updates(report, prefix):
            if stored is None:
                self._take_foreign(tx, shown, update, now)
                continue
            self._take(tx, stored, update, now)
            if update.environment_ready:
                self.ending.make_room(tx, stored, now)

    def _last_words(self, report: BuildReport | None, silence: float) -> str:
        """Why nothing is expected any more; empty where something is. *silence* is in seconds."""
        if report is None and not self.coordinated:
            return "The Container Manager does not know this build any more"
        if report is not None and not report.active:
            return "The build ended without telling the result"
        return _SILENT if silence >= watch.SILENCE else ""

    def _end(self, tx: Transaction, job: Watched, stored: StoredBuild | None, last_words: str, now: float) -> None:
        for status in statuses.of_build(tx, job.build_id):
            if not status.desired.state.final:
                stop(tx, status, last_words, now, self.display)
        if stored is not None and stored.state is BuildState.RUNNING:
            builds.conclude(tx, job.build_id, BuildState.ENDED, now)
        watches.forget(tx, job)
        derive(tx, job.build_id, now, self.display)
        self.log.info("The build has ended", event="build.ended", **_fields(job, stored))

    def _take_foreign(self, tx: Transaction, shown: Sequence[StoredStatus], update: Update, now: float) -> None:
        """Make *update* of a build that another handler asked for the desired state, in place of one of its own."""
        for status in shown:
            known = status.desired
            if status.context == update.context and not known.state.final:
                urls = [known.url]
                take(
                    tx,
                    Subject(update.build_id, known.repository, known.commit, known.refname, urls),
                    update,
                    now,
                    self.display,
                )

    def _take(self, tx: Transaction, stored: StoredBuild, update: Update, now: float) -> None:
        """Make *update* the desired state, unless a build of the same commit that was asked for later has told one.

        An end that is shown already stays in the Container Manager's own words: to say it again is worth no request.
        """
        subject = Subject.of(stored.build, self.display.build_url)
        asked = asked_for(subject, update, self.display)
        shown = statuses.find(tx, asked)
        if shown is not None and shown.build_id == stored.build.id and _same_end(shown.desired, asked):
            return
        if shown is None or not is_newer(tx, shown.build_id, stored):
            take(tx, subject, update, now, self.display)
        else:
            steps.tell(tx, stored.build.id, update.context, asked, now)


def _same_end(shown: Status, asked: Status) -> bool:
    return asked.state.final and shown.state is asked.state


def _updates(report: BuildReport, prefix: str) -> Iterator[Update]:
    """What the Container Manager would have told of the steps, and of the set-up before them."""
    steps = [step for step in report.steps if step.plugin not in _SETUP]
    setup = [step for step in report.steps if step.plugin in _SETUP]
    for step in steps:
        phase = step.phase
        if phase.rank < 2 and not report.active:
            phase = Phase.STOPPED
        yield _update(report.id, f"{prefix}/{step.plugin}/{step.name}", phase, _words(step, phase), step.id)
    failed_unseen = report.status == "error" and not steps  # a task that we took no word of is not in the report
    if failed_unseen or any(step.phase is Phase.FAILED for step in setup):
        yield _update(report.id, f"{prefix}/env", Phase.FAILED, "[■] Environment build failed")
    elif steps or (report.status == "success" and not report.active):
        yield _update(report.id, f"{prefix}/env", Phase.SUCCEEDED, "[■] Environment ready")


def _fields(job: Watched, stored: StoredBuild | None) -> dict[str, Any]:
    """What the log tells of a build, which may be another handler's."""
    return log_fields.of_build(stored.build) if stored else {"build": job.build_id, "repository": job.repository}


def _update(build_id: str, context: str, phase: Phase, description: str, task_id: str = "") -> Update:
    return Update(
        build_id=build_id,
        context=context,
        phase=phase,
        state=phase,
        description=description,
        final=phase.rank == 2,
        task_id=task_id,
    )


def _words(step: StepReport, phase: Phase) -> str:
    """The step's description with the icon that belongs to *phase*: its own is that of the time before the result."""
    text = step.description
    if text[:1] == "[" and text[2:4] == "] ":
        text = text[4:]
    return f"[{'■' if phase.rank == 2 else '▶'}] {text}"
