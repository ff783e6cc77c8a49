"""Ending: what becomes of builds that nobody wants any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import evolve, frozen

from probo_bitbucket.flow.statuses.desire import say_gone, stop
from probo_bitbucket.flow.statuses.display import Display
from probo_bitbucket.model import SHORT_HASH, Build, BuildState, PullRequestChanged, RemovalReason, Repository
from probo_bitbucket.store import Transaction, builds, removals, statuses
from probo_bitbucket.store.builds import StoredBuild
from probo_bitbucket.store.removals import Removal

_NOT_SENT = (BuildState.QUEUED, BuildState.READY)
_SENT = (BuildState.STARTING, BuildState.RUNNING, BuildState.ENDED, BuildState.FAILED)  # the last one perhaps


@frozen
class Why:
    """Why a build ends. *origin* names what asked for that, such as `delivery 17` or `an operator`."""

    reason: RemovalReason
    words: str
    origin: str


@frozen
class Ending:
    """With *teardown* environments are taken down; without, only what is not started yet ends.

    *keep_builds* of the environments of an open pull request stay, the newest that are ready; None: all of them.
    """

    teardown: bool
    keep_builds: int | None
    display: Display
    coordinated: bool = False  # a coordinator takes environments down, of closed pull requests only

    def end(self, tx: Transaction, stored: StoredBuild, why: Why, now: float) -> bool:
        """Have no more of a build. Returns whether there was anything to end.

        One that is being sent just now is taken down once it is there.
        """
        if stored.state in _NOT_SENT:
            by_hand = why.reason is RemovalReason.BY_HAND
            builds.conclude(tx, stored.build.id, BuildState.CANCELLED, now, why.words, by_hand=by_hand)
        elif not (self.teardown and stored.state in _SENT and removals.want(tx, _removal(stored, why), now)):
            return False
        builds.ended(tx, stored.build.id, why.origin)
        self.stop_statuses(tx, stored.build, why.words, now)
        return True

    def end_by_hand(self, tx: Transaction, found: Sequence[StoredBuild], words: str, origin: str, now: float) -> str:
        """Have no more of builds because somebody says so, also where nothing is taken down by itself.

        Returns why any of them stays, or why there was nothing to end; empty if all is done.
        """
        for stored in found:
            removals.forget_failed(tx, stored.build.id)
        found = [stored for stored in found if not removals.is_wanted(tx, stored.build.id)]
        why = Why(RemovalReason.BY_HAND, words, origin)
        ended = evolve(self, teardown=not self.coordinated)._end_all(tx, found, why, now)
        if self.coordinated and any(stored.state in _SENT for stored in found):
            return "the coordinator takes environments down, and only when their pull request is closed"
        return "" if ended else "there is nothing to take down, or it is being taken down already"

    def close(self, tx: Transaction, repository: Repository, number: int, words: str, origin: str, now: float) -> int:
        """Have no more of all builds of a pull request. Returns how many there were."""
        found = builds.of_pull_request(tx, repository, number)
        return self._end_all(tx, found, Why(RemovalReason.CLOSED, words, origin), now)

    def leave_behind(self, tx: Transaction, event: PullRequestChanged, origin: str, now: float) -> None:
        """Start nothing any more of the commits that a pull request has left, whether or not its new one is built."""
        commit = event.pull_request.commit[:SHORT_HASH]
        why = Why(RemovalReason.SUPERSEDED, f"commit {commit} took its place", origin)
        for stored in builds.of_pull_request(tx, event.repository, event.number):
            if stored.state in _NOT_SENT and stored.build.commit[:SHORT_HASH] != commit:
                self.end(tx, stored, why, now)

    def move_on(self, tx: Transaction, newest: Build, words: str, now: float) -> None:
        """Start nothing any more that was asked for before the build *newest* of a pull request.

        What has been started stays until *newest* is ready.
        """
        if newest.pull_request is None:
            return
        builds.release_others(tx, newest)
        if newest.source.full_name == newest.repository.full_name:
            words_of_branch = f"pull request #{newest.pull_request.number} has it built"
            why = Why(RemovalReason.SUPERSEDED, words_of_branch, newest.origin)
            self._end_all(tx, builds.of_branch(tx, newest), why, now)
        for stored in builds.of_pull_request(tx, newest.repository, newest.pull_request.number):
            if stored.build.id != newest.id and stored.state in _NOT_SENT:
                self.end(tx, stored, Why(RemovalReason.SUPERSEDED, words, newest.origin), now)

    def make_room(self, tx: Transaction, ready: StoredBuild, now: float) -> None:
        """Note that the environment of a build is there, and end the older ones of its pull request."""
        builds.ready(tx, ready.build.id, now)
        pull_request = ready.build.pull_request
        if pull_request is None or self.keep_builds is None:
            return
        found = builds.of_pull_request(tx, ready.build.repository, pull_request.number)
        standing = [stored for stored in found if _stands(tx, stored)]
        if len(standing) >= self.keep_builds:
            oldest = standing[self.keep_builds - 1].build
            older = found[[stored.build.id for stored in found].index(oldest.id) + 1 :]
            words = f"a newer environment of pull request #{pull_request.number} is ready"
            self._end_all(tx, older, Why(RemovalReason.SUPERSEDED, words, ready.build.origin), now)

    def gone(self, tx: Transaction, removal: Removal, now: float) -> None:
        """An environment was taken down. What a coordinator has taken down nobody here knows."""
        if not self.coordinated:
            say_gone(tx, removal, now, self.display)

    def _end_all(self, tx: Transaction, found: Iterable[StoredBuild], why: Why, now: float) -> int:
        return sum(self.end(tx, stored, why, now) for stored in found)

    def stop_statuses(self, tx: Transaction, build: Build, words: str, now: float) -> None:
        """What is still in progress would be so for ever. Other builds of the commit may have had other ends."""
        told = statuses.of_build(tx, build.id)
        for status in told:
            if not status.desired.state.final:
                stop(tx, status, f"Stopped: {words}", now, self.display, for_good=False)
        if told:
            builds.ask_about_others(tx, build, now)


def _stands(tx: Transaction, stored: StoredBuild) -> bool:
    """Whether the environment of a build is there to stay: one that is going leaves its place to another."""
    return stored.ready_at is not None and stored.state in _SENT and not removals.is_wanted(tx, stored.build.id)


def _removal(stored: StoredBuild, why: Why) -> Removal:
    build = stored.build
    number = build.pull_request.number if build.pull_request else None
    return Removal(build.id, build.repository.full_name, number, why.reason, why.words, why.origin)
