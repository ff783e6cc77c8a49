"""The play: a pull request is opened on the stage and followed until Bitbucket shows how its build went."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.sandbox import scenery
from probo_bitbucket.sandbox.narrator import Event, Narrator, Station
from probo_bitbucket.sandbox.pullrequest import PullRequest
from probo_bitbucket.sandbox.repository import Repository
from probo_bitbucket.sandbox.stage import Stage
from probo_bitbucket.sandbox.statuses import BuildStatus, State


class NotThere(Exception):
    """The build did not become what it should; says how far the pull request came."""


class Play:
    """What is played on *stage*, which must be open.

    *tell* hears of every event, and *show* of every pull request whose build is over.
    """

    def __init__(self, stage: Stage, tell: Callable[[Event], None], show: Callable[[PullRequest], None]) -> None:
        self._stage = stage
        self._tell = tell
        self._show = show
        self._reached: set[Station] = set()
        self._shown: set[str] = set()  # the commits whose build is over
        self._first_build: Deferred[PullRequest] = Deferred()
        Narrator(stage, self._hear)

    def furnish(self) -> Repository:
        """Put the repository on the stage, of which nobody hears yet."""
        return self._stage.cloud.add_repository(scenery.REPOSITORY, scenery.FILES, name=scenery.NAME)

    def begin(self) -> PullRequest:
        """Put the repository on the stage, with a webhook, and open a pull request."""
        repository = self.furnish()
        self._stage.watch(scenery.REPOSITORY, *scenery.OTHER_EVENTS)
        return repository.open_pull_request(scenery.TITLE, scenery.BRANCH, scenery.CHANGE)

    async def first_build(self, seconds: float, clock: IReactorTime) -> None:
        """Wait until the first build is over and Bitbucket shows it so.

        Raises NotThere if that takes longer than *seconds*, or if a status is not SUCCESSFUL then.
        """
        try:
            pull_request = await self._first_build.addTimeout(seconds, clock)
        except TimeoutError:
            raise NotThere(f"Not there after {seconds:g} seconds. {self._how_far()}") from None
        failed = [status.name for status in pull_request.shown() if status.state is not State.SUCCESSFUL]
        if failed:
            raise NotThere(f"The build is over, but not successful: {', '.join(failed)}.")

    def _hear(self, event: Event) -> None:
        self._tell(event)
        if event.station:
            self._reached.add(event.station)
        if event.status:
            self._look_for_ended_builds()

    def _look_for_ended_builds(self) -> None:
        for build in self._stage.container_manager.builds.values():
            commit = build["commit"]["ref"]
            pull_request = self._pull_request(commit)
            if pull_request and commit not in self._shown and self._is_over(build, pull_request.shown()):
                self._shown.add(commit)
                self._show(pull_request)
                if not self._first_build.called:
                    self._first_build.callback(pull_request)

    def _pull_request(self, commit: str) -> PullRequest | None:
        """The one whose head *commit* is."""
        repositories = self._stage.cloud.repositories.values()
        heads = {each.head.hash: each for here in repositories for each in here.pull_requests.values() if each.head}
        return heads.get(commit)

    def _is_over(self, build: dict[str, Any], shown: list[BuildStatus]) -> bool:
        """Whether nothing more will be reported, and Bitbucket shows a final state for all that was."""
        reported = {update["context"] for update in self._stage.container_manager.updates.get(build["id"], [])}
        final = {status.name for status in shown if status.state is not State.INPROGRESS}
        return not build["active"] and final == reported

    def _how_far(self) -> str:
        reached = [station.value for station in Station if station in self._reached]
        missing = [station.value for station in Station if station not in self._reached]
        died = self._stage.container_manager.died
        return " ".join(
            (
                f"The last step was: {reached[-1] if reached else 'none'}.",
                f"What did not come: {missing[0] if missing else 'a final state of every status'}.",
                *((f"The Container Manager died: {died}.",) if died else ()),
            )
        )
