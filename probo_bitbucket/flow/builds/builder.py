"""Builder: reads a build's configuration and has the Container Manager start it, once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, cast

import msgspec
from attrs import define, evolve, frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from probo_bitbucket.bitbucket.api import Bitbucket
from probo_bitbucket.errors import NotFound, Permanent, Spared
from probo_bitbucket.flow.builds import watch
from probo_bitbucket.flow.builds.markers import skip_marker
from probo_bitbucket.flow.credentials.projects import NoProject, Projects
from probo_bitbucket.flow.statuses.announcement import Announcement
from probo_bitbucket.flow.work import log_fields
from probo_bitbucket.flow.work.leases import latest
from probo_bitbucket.flow.work.schedule import told_already
from probo_bitbucket.model import FULL_HASH, Build, BuildKind, BuildState
from probo_bitbucket.probo import configuration, documents
from probo_bitbucket.probo.configuration import SPELLINGS, Configuration, ConfigurationError
from probo_bitbucket.probo.container_manager import ContainerManager, Refused
from probo_bitbucket.store import Database, Lease, Transaction, builds, removals, statuses
from probo_bitbucket.store.builds import StoredBuild

T = TypeVar("T")


_GRAVITY = {BuildState.REFUSED: LogLevel.warn, BuildState.FAILED: LogLevel.error}  # of the end of what was not started


class NotBuilt(Permanent):
    """There will be no build, for a reason that no later try would change. *shown*: on Bitbucket, to its author."""

    def __init__(self, build: Build, state: BuildState, reason: str, *, shown: bool = True) -> None:
        super().__init__(reason)
        self.build = build
        self.state = state
        self.shown = shown and state not in (BuildState.CANCELLED, BuildState.SKIPPED)


@frozen
class Prepared:
    """A build with all that was read for it. *asked_for* is the hash that its commit went by, perhaps a short one."""

    job: StoredBuild
    asked_for: str
    warnings: Sequence[str]


Begin = Callable[[Transaction, float], None]  # notes that a build is sent, at a time


@define(eq=False)
class Builder:
    """The step from a wanted build to one that runs. *wake* tells the reporter that there is a status."""

    store: Database
    clock: IReactorTime
    bitbucket: Bitbucket
    container_manager: ContainerManager
    projects: Projects
    announcement: Announcement
    site_url: str
    in_thread: Callable[..., Deferred[Any]]  # a large configuration takes a second to read
    wake: Callable[[], None]

    name = "builder"
    concurrency = 64
    log = Logger()

    async def claim(self, lease: Lease, limit: int, busy: Collection[str]) -> Sequence[StoredBuild]:
        return await self.store.transact(builds.claim_pending, lease, limit, busy=busy)

    def repository(self, job: StoredBuild) -> str:
        return job.build.repository.full_name

    async def work(self, job: StoredBuild) -> None:
        with suppress(NotBuilt):  # it is written down why
            if job.document or job.effort.failing_since is None:
                await self.start(job)
            else:
                # Started as if it were new: the trouble that it met before must not have it given up on.
                prepared = await self._written_down(job, self._read(job))
                await self.store.transact(self._put_back, prepared)
                self.wake()

    async def start(self, job: StoredBuild) -> Any:
        """Start a build; return the Container Manager's answer, None where an earlier try had started it.

        Raises NotBuilt, or the UpstreamError of a passing trouble.
        """
        return await self._written_down(job, self._prepare_and_start(job))

    async def _prepare_and_start(self, job: StoredBuild) -> Any:
        """What is read for a new build is written down together with its being sent: that is one commit less."""
        if job.document:
            return await self._start(job, partial(self._begin, job))
        prepared = await self._read(job)
        return await self._start(prepared.job, partial(self._begin_new, prepared))

    async def _written_down(self, job: StoredBuild, work: Awaitable[T]) -> T:
        """The result of *work*. Where there will be no build, that is written down."""
        try:
            return await work
        except NotBuilt as error:
            await self._conclude(job, error)
            raise
        except NoProject as error:
            unwanted = NotBuilt(job.build, BuildState.CANCELLED, str(error))
            await self._conclude(job, unwanted)
            raise unwanted from error

    async def _read(self, job: StoredBuild) -> Prepared:
        """Read what the build needs."""
        project = await self.projects.of(job.build)
        try:
            build, config = await _both(self._resolved(job.build), self._configuration(job.build))
        except NotFound as error:
            raise await self._not_there(job.build) from error
        if isinstance(config, ConfigurationError):
            raise NotBuilt(build, BuildState.INVALID, config.advice)
        document = documents.build(build, config.document, project["id"], self.site_url)
        text = msgspec.json.encode({"build": document, "project": project}).decode()
        ready = evolve(job, build=build, document=text, state=BuildState.READY)
        return Prepared(ready, job.build.commit, config.warnings)

    async def _not_there(self, build: Build) -> NotBuilt:
        """What it means that Bitbucket has no such commit: that is gone, or the repository is closed to us."""
        source = build.source.full_name
        if await self.bitbucket.shows(build.source, build.repository):
            return NotBuilt(build, BuildState.CANCELLED, f"Bitbucket has no commit {build.commit} in {source}")
        reason = (
            f"Bitbucket does not show {source} to the account of our credentials: let it read the repository, "
            "or let the setting `repositories` leave that out"
        )
        return NotBuilt(build, BuildState.FAILED, reason, shown=False)

    def _note_read(self, tx: Transaction, prepared: Prepared, now: float) -> None:
        """Show what was read."""
        build = prepared.job.build
        if build.commit != prepared.asked_for:
            statuses.withdraw(tx, build.source, prepared.asked_for)
        if prepared.warnings:
            self.announcement.advised(tx, build, prepared.warnings, now)

    def _put_back(self, tx: Transaction, prepared: Prepared) -> None:
        """Write down what was read, so that no later try has to read it again."""
        now = self.clock.seconds()
        self._note_read(tx, prepared, now)
        builds.advance(tx, prepared.job, BuildState.READY, now, configured=True)
        builds.put_back(tx, prepared.job)

    async def _resolved(self, build: Build) -> Build:
        """The build with the full hash of its commit. One that was asked for by its hash is named by its message."""
        by_hash = build.kind is BuildKind.HASH
        if len(build.commit) == FULL_HASH and not by_hash:
            return build
        commit = await self.bitbucket.commit(build.source, build.commit, build.repository)
        if not build.by_hand and (marker := skip_marker(commit.message)):
            raise NotBuilt(build, BuildState.SKIPPED, f"the message of the commit says {marker}")
        return evolve(build, commit=commit.hash, name=commit.message if by_hash else build.name)

    async def _configuration(self, build: Build) -> Configuration | ConfigurationError:
        """The configuration, or what its author has to mend."""
        try:
            return await self._read_configuration(build)
        except ConfigurationError as error:
            return error

    async def _read_configuration(self, build: Build) -> Configuration:
        """Takes one request where the configuration has its usual name."""
        usual, *others = SPELLINGS
        try:
            return await self._file(build, usual)
        except NotFound:
            names = await self.bitbucket.root(build.source, build.commit, build.repository)
        for name in others:
            if name in names:
                return await self._file(build, name)
        raise configuration.missing(SPELLINGS)

    async def _file(self, build: Build, name: str) -> Configuration:
        try:
            content = await self.bitbucket.file(build.source, build.commit, name, build.repository)
        except Permanent as error:
            if 300 <= error.status < 400:
                raise configuration.kept_elsewhere(name) from error
            raise
        return cast(Configuration, await self.in_thread(configuration.read, content, name))

    async def _start(self, job: StoredBuild, begin: Begin) -> Any:
        """Have the build started. From the second try on the Container Manager is asked first whether it has it."""
        if job.state is BuildState.STARTING and await self.container_manager.find(job.build.id) is not None:
            await self._running(job.build)
            return None
        document: dict[str, Any] = msgspec.json.decode(job.document)
        project = await self.projects.with_service_auth(document["project"], job.build)
        await self._note_start(begin)
        try:
            answer = await self.container_manager.start(document["build"], project)
        except Refused as error:
            raise NotBuilt(job.build, BuildState.REFUSED, str(error)) from error
        except Permanent as error:
            raise NotBuilt(job.build, BuildState.FAILED, _not_started(error)) from error
        await self._running(job.build)
        return answer

    async def _note_start(self, begin: Begin) -> None:
        """Note that the build is sent, and have it for a whole lease from now on. Raises LeaseLost or Spared."""
        now = self.clock.seconds()
        await self.store.transact(begin, now)
        self.wake()
        if self.clock.seconds() > latest(now):
            raise Spared("this node stood still; another one may have the build")

    def _begin_new(self, prepared: Prepared, tx: Transaction, now: float) -> None:
        self._note_read(tx, prepared, now)
        self._begin(prepared.job, tx, now, configured=True)

    def _begin(self, job: StoredBuild, tx: Transaction, now: float, *, configured: bool = False) -> None:
        """From now on it may be there: who wants it no more has to take it down."""
        if removals.is_wanted(tx, job.build.id):
            raise NotBuilt(job.build, BuildState.CANCELLED, "nobody wants it any more")
        if builds.is_superseded(tx, job.build):
            raise NotBuilt(job.build, BuildState.CANCELLED, "a newer build of the pull request is wanted")
        builds.advance(tx, job, BuildState.STARTING, now, configured=configured)

    async def _running(self, build: Build) -> None:
        await self.store.transact(self._note_running, build, self.clock.seconds())
        self.log.info("Build started", event="build.started", **log_fields.of_build(build))

    def _note_running(self, tx: Transaction, build: Build, now: float) -> None:
        builds.started(tx, build.id, now)
        watch.heard(tx, build.id, build.source.full_name, now)

    async def _conclude(self, job: StoredBuild, why: NotBuilt) -> None:
        """Write down and show why there is no build, unless it is not in our hands any more."""
        job = evolve(job, build=why.build)

        def conclude(tx: Transaction) -> bool:
            now = self.clock.seconds()
            ours = builds.conclude_held(tx, job, why.state, now, str(why))
            if ours and why.shown:
                self.announcement.failed(tx, job.build, str(why), now)
            return ours

        if not await self.store.transact(conclude):
            return
        self.log.emit(
            _GRAVITY.get(why.state, LogLevel.info),
            "Build not started",
            event=f"build.{why.state}",
            reason=str(why),
            **log_fields.of_build(job.build),
        )
        self.wake()

    async def postpone(self, job: StoredBuild, due_at: float, error: Exception) -> None:
        self.log.emit(
            LogLevel.debug if told_already(error) and job.trouble == str(error) else LogLevel.warn,
            "Build not started yet",
            event="build.postponed",
            attempt=job.effort.attempts,
            seconds=round(due_at - self.clock.seconds(), 1),
            reason=str(error),
            **log_fields.of_build(job.build),
        )
        now = self.clock.seconds()
        await self.store.transact(builds.postpone, job, due_at=due_at, error=str(error), now=now)

    async def give_up(self, job: StoredBuild, error: Exception) -> None:
        await self._conclude(job, NotBuilt(job.build, BuildState.FAILED, _not_started(error)))


def _not_started(error: Exception) -> str:
    return f"The build could not be started: {error}"


async def _both(first: Any, second: Any) -> tuple[Any, Any]:
    """The results of two coroutines that run side by side; the error of the first counts before the second's."""
    running = [Deferred.fromCoroutine(first), Deferred.fromCoroutine(second)]
    outcomes = await DeferredList(running, consumeErrors=True)
    for succeeded, outcome in outcomes:
        if not succeeded:
            outcome.raiseException()
    return outcomes[0][1], outcomes[1][1]
