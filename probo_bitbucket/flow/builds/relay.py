"""Relay: turns an update of the Container Manager into the desired state of one (repository, commit, key)."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, evolve
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket.flow.builds import watch
from probo_bitbucket.flow.builds.ending import Ending
from probo_bitbucket.flow.statuses.desire import Subject, asked_for, environment_url, take
from probo_bitbucket.flow.statuses.display import Display
from probo_bitbucket.flow.statuses.progress import is_newer
from probo_bitbucket.flow.work import log_fields
from probo_bitbucket.flow.work.patience import in_time
from probo_bitbucket.model import Build, BuildState, InvalidName, Phase, Repository, Status, Update, check_hash
from probo_bitbucket.probo.updates import Reported, UpdateError
from probo_bitbucket.store import Database, Transaction, builds, removals, statuses, steps
from probo_bitbucket.store.builds import StoredBuild
from probo_bitbucket.store.removals import Fate
from probo_bitbucket.store.statuses import StoredStatus


@define(eq=False)
class Relay:
    """Accepts updates. *wake* tells the reporter that there is one, and that an environment may have to go."""

    store: Database
    clock: IReactorTime
    display: Display
    ending: Ending
    wake: Callable[[], None]

    log = Logger()

    async def accept(self, reported: Reported) -> Status:
        """Store an update; return the status that it asks for when it is committed.

        Raises UpdateError or StoreUnavailable.
        """
        now = self.clock.seconds()  # and not when the store takes it: what is due at once is due to who looks meanwhile
        taken = self.store.transact(self._take, reported, now)
        self.wake()  # who looks for statuses comes right behind it, and shares its commit
        status, build = await in_time(taken, self.clock)
        told = {"build": reported.update.build_id, "repository": status.repository.full_name, "commit": status.commit}
        fields = log_fields.of_build(build) if build else told
        self.log.debug(
            "Update accepted",
            event="update.accepted",
            context=reported.update.context,
            key=status.key,
            state=reported.update.state,
            **fields,
        )
        return status

    def _take(self, tx: Transaction, reported: Reported, now: float) -> tuple[Status, Build | None]:
        """The status that is asked for, and the build, if it is one of ours."""
        id = reported.update.build_id
        if reported.update.environment_ready:
            builds.lock_pull_request(tx, id)
        builds.heard(tx, id, now)  # and keep others from ending it until this is taken
        stored = builds.find(tx, id)
        return self._taken(tx, reported, stored, now), stored.build if stored else None

    def _taken(self, tx: Transaction, reported: Reported, stored: StoredBuild | None, now: float) -> Status:
        update = reported.update
        subject = Subject.of(stored.build, self.display.build_url) if stored else self._foreign(reported)
        fate = removals.fate(tx, update.build_id)
        if fate is Fate.GOES:
            return asked_for(subject, update, self.display)  # it is shown as stopped, and stays so
        watch.heard(tx, update.build_id, subject.repository.full_name, now, pinned=fate is Fate.PINNED)
        if stored is None:
            return take(tx, subject, update, now, self.display)
        if stored.state is BuildState.STARTING:  # the answer may be lost, but here is the proof that it runs
            builds.started(tx, stored.build.id, now)
        if update.environment_ready:
            self.ending.make_room(tx, stored, now)
        status = asked_for(subject, update, self.display)
        if _is_told_by_a_newer(tx, statuses.find(tx, status), stored):
            steps.tell(tx, stored.build.id, update.context, status, now)
            return status
        return take(tx, subject, _with_cause(stored, update), now, self.display)

    def _foreign(self, reported: Reported) -> Subject:
        """The subject of a build that another handler asked for, as the Container Manager describes it."""
        try:
            repository = Repository.parse(reported.project_slug)
            commit = check_hash(reported.commit)
        except InvalidName as error:
            raise UpdateError(f"`build.project.slug` or `build.commit.ref`: {error}") from error
        id = reported.update.build_id
        urls = [environment_url(self.display.build_url, id), reported.pull_request_url, reported.commit_url]
        return Subject(id, repository, commit, reported.branch, urls)


def _is_told_by_a_newer(tx: Transaction, shown: StoredStatus | None, stored: StoredBuild) -> bool:
    """Whether a rebuild has told what is shown. Of two pull requests of one commit, each is as good as the other."""
    pull_request = stored.build.pull_request
    if shown is None or pull_request is None or shown.pull_request != pull_request.number:
        return False
    return is_newer(tx, shown.build_id, stored)


def _with_cause(stored: StoredBuild, update: Update) -> Update:
    """Name the cause that only we know: the Container Manager sees no more than a set-up whose download fails."""
    if stored.reason and update.of_environment and update.phase is Phase.FAILED:
        return evolve(update, description=f"{stored.reason} {update.description}")
    return update
