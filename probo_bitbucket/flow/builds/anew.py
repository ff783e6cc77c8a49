"""Anew: has the same built once more, whoever asks for it: a comment, the dashboard or the command line."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from probo_bitbucket.credentials import covers
from probo_bitbucket.flow.builds.ending import Ending
from probo_bitbucket.flow.builds.requests import NotWanted
from probo_bitbucket.model import SHORT_HASH, Build, BuildState
from probo_bitbucket.store import Transaction, builds, pull_requests, statuses
from probo_bitbucket.store.builds import StoredBuild

_TO_BE_STARTED = (BuildState.QUEUED, BuildState.READY, BuildState.STARTING)


class NotNow(Exception):
    """It cannot be done as things are."""


def ask_for(tx: Transaction, build: Build, ending: Ending) -> str:
    """Ask for a build, in the place of what waits of its pull request. Returns the id of the one that is there then."""
    now, commit = build.created_at, build.commit[:SHORT_HASH]
    id = builds.request(tx, build, now)
    if id == build.id:
        statuses.withdraw(tx, build.source, commit)
        ending.move_on(tx, build, f"commit {commit} took its place", now)
    return id


@frozen
class Anew:
    """Whether the rules allow the build is for the caller to know."""

    repositories: Sequence[str]  # globs
    ending: Ending

    def build(self, tx: Transaction, build: Build) -> None:
        """Have *build* made, also if the same was made before. Raises NotNow or NotWanted, having done nothing."""
        check_covered(self.repositories, build.repository.full_name)
        check_started(builds.claimant(tx, build))
        _check_current(tx, build)
        builds.release(tx, build)
        ask_for(tx, build, self.ending)


def check_covered(repositories: Sequence[str], full_name: str) -> None:
    """Raises NotWanted where the settings do not name the repository."""
    if not covers(repositories, full_name):
        raise NotWanted(f"{full_name} is not among the `repositories` of the settings")


def check_started(same: StoredBuild | None) -> None:
    """Raises NotNow where the same is going to be built anyway."""
    if same is not None and same.state in _TO_BE_STARTED:
        raise NotNow("the build is still to be started")


def _check_current(tx: Transaction, build: Build) -> None:
    """Raises NotNow where a new build would stay for ever, or have that of a newer commit taken down."""
    if build.pull_request is None:
        return
    known = pull_requests.find(tx, build.repository, build.pull_request.number)
    if known is not None and not known.open:
        raise NotNow(f"pull request #{known.number} is {known.state.lower()}: nothing of it is built any more")
    newest = known.pull_request.commit[:SHORT_HASH] if known and known.pull_request else ""
    if newest and newest != build.commit[:SHORT_HASH]:
        raise NotNow(f"the pull request has gone on to commit {newest}: rebuild the build of that")
