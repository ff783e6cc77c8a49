"""Catch-up: asks the Container Manager about builds without news. It says everything once, even while we are down."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket.errors import UpstreamError
from probo_bitbucket.flow import log_fields
from probo_bitbucket.flow.derivation import derive
from probo_bitbucket.flow.desire import Subject, asked_for, stop, take
from probo_bitbucket.flow.display import Display
from probo_bitbucket.flow.ending import Ending
from probo_bitbucket.model import Build, BuildState, Phase, Update
from probo_bitbucket.probo.container_manager import BuildReport, ContainerManager, StepReport
from probo_bitbucket.store import Database, Transaction, builds, removals, statuses
from probo_bitbucket.store.builds import StoredBuild

QUIET = 600.0  # seconds without news after which a build is asked about
STALE = 86_400.0  # seconds after which an active build without a container is taken for dead
AT_ONCE = 50  # builds asked about in one round

_SETUP = ("BitbucketDownloader", "AssetDownloader")


@define
class CatchUp:
    """One round asks about every running build that was quiet for long, and once about each after a start.

    *wake* tells the reporter that there may be statuses.
    """

    store: Database
    clock: IReactorTime
    container_manager: ContainerManager
    display: Display
    ending: Ending
    wake: Callable[[], None]

    log = Logger()
    _started_at: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._started_at = self.clock.seconds()

    async def round(self) -> None:
        """Ask about the builds whose turn it is. What fails has its turn again in the next round."""
        untouched_since = max(self._started_at, self.clock.seconds() - QUIET)
        for stored in await self.store.transact(builds.running, untouched_since, AT_ONCE):
            try:
                report = await self.container_manager.find(stored.build.id)
            except UpstreamError as error:
                self.log.info(
                    "Not caught up", event="catchup.failed", reason=str(error), **log_fields.of_build(stored.build)
                )
                continue  # what is wrong with this one must not hold up the others, which come after it every time
            await self.store.transact(self._apply, stored, report, untouched_since)
            self.wake()

    def _apply(self, tx: Transaction, stored: StoredBuild, report: BuildReport | None, untouched_since: float) -> None:
        now = self.clock.seconds()
        build = stored.build
        builds.lock_pull_request(tx, build.id)
        if not builds.is_quiet(tx, build.id, untouched_since):
            return  # what it told meanwhile may be missing in the report; it has its turn again
        if removals.is_wanted(tx, build.id):
            return  # it is shown as stopped, and stays so
        shown = statuses.of_build(tx, build.id)
        if report is not None:
            prefix = shown[0].context.partition("/")[0] if shown else self.display.instance_name
            for update in _updates(report, prefix):
                self._take(tx, build, update, now)
                if update.environment_ready:
                    self.ending.make_room(tx, stored, now)
        if report is not None and report.active and not self._stale(build, report, now):
            builds.touch(tx, build.id, now)
            return
        for status in statuses.of_build(tx, build.id):
            if not status.desired.state.final:
                stop(tx, status, Phase.STOPPED, _last_words(report), now, self.display)
        builds.conclude(tx, build.id, BuildState.ENDED, now)
        derive(tx, build.id, now, self.display)
        self.log.info("The build has ended", event="build.ended", **log_fields.of_build(build))

    def _take(self, tx: Transaction, build: Build, update: Update, now: float) -> None:
        """Make *update* the desired state, unless a build of the same commit that was asked for later has told one.

        An end that is shown already stays in the Container Manager's own words: to say it again is worth no request.
        """
        subject = Subject.of(build, self.display.build_url)
        asked = asked_for(subject, update, self.display)
        shown = statuses.find(tx, asked)
        if shown is not None and asked.state.final and shown.desired.state is asked.state:
            return
        teller = builds.find(tx, shown.build_id) if shown is not None else None
        if teller is None or teller.build.created_at <= build.created_at:
            take(tx, subject, update, now, self.display)

    def _stale(self, build: Build, report: BuildReport, now: float) -> bool:
        """Builds whose image cannot be had stay active for ever, without a container."""
        return report.container is None and now - build.created_at > STALE


def _last_words(report: BuildReport | None) -> str:
    if report is None:
        return "The Container Manager does not know this build any more"
    return "The build ended without telling the result"


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
    elif steps:
        yield _update(report.id, f"{prefix}/env", Phase.SUCCEEDED, "[■] Environment ready")


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
