"""Responder: carries out what the rules say about an event, in the transaction in which its delivery is decided."""

from __future__ import annotations

from uuid import uuid4

from attrs import evolve, frozen

from probo_bitbucket.flow.builds.anew import ask_for
from probo_bitbucket.flow.builds.ending import Ending
from probo_bitbucket.flow.deliveries import rules
from probo_bitbucket.flow.deliveries.rules import Go, Ignore, Policy, Refuse
from probo_bitbucket.flow.statuses.announcement import Announcement
from probo_bitbucket.model import (
    SHORT_HASH,
    BranchPushed,
    Build,
    BuildKind,
    BuildState,
    Commented,
    DeliveryState,
    Event,
    Ignored,
    PullRequestChanged,
    PullRequestClosed,
    Pushed,
    Repository,
)
from probo_bitbucket.store import Transaction, builds, commands, pull_requests
from probo_bitbucket.store.pull_requests import KnownPullRequest

NOT_THERE = (BuildState.CANCELLED, BuildState.REMOVED, BuildState.SKIPPED)  # of builds that nobody sees anything of


@frozen
class Response:
    """What became of an event, in words, and the builds that it led to."""

    state: DeliveryState
    reason: str
    builds: tuple[Build, ...] = ()
    known: str = ""  # id of the build that was there already

    @property
    def build_id(self) -> str | None:
        """The first build that it led to, or the one that was there already."""
        return self.builds[0].id if self.builds else self.known or None


@frozen
class Responder:
    """*respond* is for any event, whoever told of it: a delivery, or somebody who looked for what was missed."""

    policy: Policy
    ending: Ending
    announcement: Announcement
    commands: bool

    def respond(self, tx: Transaction, event: Event, now: float, origin: str) -> Response:
        """Carry out what *event* asks for. *origin* names who told of it, such as `delivery 17`."""
        match event:
            case PullRequestChanged():
                return self._change(tx, event, now, origin)
            case PullRequestClosed():
                return self._close(tx, event, now, origin)
            case Pushed():
                return self._push(tx, event, now, origin)
            case Commented():
                return self._command(tx, event, now, origin)
            case Ignored():
                return _ignored(event.reason)

    def _change(self, tx: Transaction, event: PullRequestChanged, now: float, origin: str) -> Response:
        return self.against(tx, event, now, origin) or self._build(tx, build_of(event, now), origin)

    def against(self, tx: Transaction, event: PullRequestChanged, now: float, origin: str) -> Response | None:
        """What the rules have against a build of what *event* tells, which is remembered; None for nothing."""
        known = pull_requests.find(tx, event.repository, event.number)
        if late := self.take_note(tx, event, known, now, origin):
            return _ignored(late.reason)
        match rules.on_change(event, known, self.policy):
            case Ignore(reason):
                return _ignored(reason)
            case Refuse(words):
                return self._refuse(tx, build_of(event, now), words)
        return None

    def take_note(
        self, tx: Transaction, event: PullRequestChanged, known: KnownPullRequest | None, now: float, origin: str
    ) -> Ignore | None:
        """Remember what *event* tells, and leave behind what it replaces. Returns why not, where it is outdated."""
        if late := rules.outdated(event, known):
            return late
        latest = max(event.pull_request.updated_at, known.updated_at if known else 0.0)
        told = evolve(event, pull_request=evolve(event.pull_request, updated_at=latest))
        pull_requests.tell_open(tx, told, now, self.policy.of_pull_requests)
        if known is not None and not known.open:
            builds.release_pull_request(tx, event.repository, event.number)  # what it had is gone, or will be
        self.ending.leave_behind(tx, event, origin, now)
        return None

    def _refuse(self, tx: Transaction, build: Build, words: str) -> Response:
        """Show why there will be no build, unless there is one: then somebody has asked for it, and it is shown."""
        same = builds.claimant(tx, build)
        if same is not None and same.state not in NOT_THERE:
            known = _known(same.build)
            return evolve(known, reason=f"{known.reason}, although the rules say: {words}")
        self.announcement.refused(tx, build, words, build.created_at)
        return Response(DeliveryState.REFUSED, words)

    def _build(self, tx: Transaction, build: Build, origin: str) -> Response:
        build = evolve(build, origin=origin)
        id = ask_for(tx, build, self.ending)
        if id != build.id:
            return _known(evolve(build, id=id))
        return Response(DeliveryState.ACCEPTED, f"a build of {build.commit[:SHORT_HASH]}", builds=(build,))

    def _close(self, tx: Transaction, event: PullRequestClosed, now: float, origin: str) -> Response:
        known = pull_requests.find(tx, event.repository, event.number)
        match rules.on_close(event, known):
            case Ignore(reason):
                return _ignored(reason)
        latest = evolve(event, updated_at=max(event.updated_at, known.updated_at if known else 0.0))
        pull_requests.tell_closed(tx, latest, now, origin, look=self.ending.teardown)
        words = f"pull request #{event.number} is {event.state.lower()}"
        count = self.ending.close(tx, event.repository, event.number, words, origin, now)
        return Response(DeliveryState.ACCEPTED, f"{words}; builds ended: {count}")

    def _command(self, tx: Transaction, event: Commented, now: float, origin: str) -> Response:
        """Write down what a comment asks for. Whether its author may ask for it is found out later."""
        if not self.commands:
            return _ignored("commands in comments are off")
        command = rules.command_in(event.text)
        if command is None:
            return _ignored("the comment is no command")
        given = commands.count_since(tx, event.repository.full_name, event.author_id, now - rules.COMMANDS_WINDOW)
        if given >= rules.COMMANDS_LIMIT:
            return _ignored(f"its author gave too many commands: {given} in an hour")
        if not commands.record(tx, command, event, origin, now):
            return _ignored("the command is known already")
        return Response(DeliveryState.ACCEPTED, f"probo {command}")

    def _push(self, tx: Transaction, event: Pushed, now: float, origin: str) -> Response:
        wanted: list[Build] = []
        reasons: list[str] = []
        for change in event.branches:
            response = self._push_branch(tx, event.repository, change, now, origin)
            wanted += response.builds
            reasons.append(f"{change.branch}: {response.reason}")
        state = DeliveryState.ACCEPTED if wanted else DeliveryState.IGNORED
        return Response(state, "; ".join(reasons), tuple(wanted))

    def _push_branch(
        self, tx: Transaction, repository: Repository, change: BranchPushed, now: float, origin: str
    ) -> Response:
        asking = pull_requests.open_from(tx, repository, change.branch)
        building = (known.number for known in asking if self._builds(known))
        match rules.on_push(change, next(building, None), self.policy):
            case Ignore(reason):
                return _ignored(reason)
            case Go():
                build = _build_of_branch(repository, change, now)
                if _is_back(tx, build, change.previous):
                    builds.release(tx, build)
                return self._build(tx, build, origin)

    def _builds(self, known: KnownPullRequest) -> bool:
        return known.pull_request is not None and rules.unwanted_yet(known.pull_request, self.policy) is None


def _ignored(reason: str) -> Response:
    return Response(DeliveryState.IGNORED, reason)


def _known(build: Build) -> Response:
    words = f"commit {build.commit[:SHORT_HASH]} is known already: it is build {build.id}"
    return Response(DeliveryState.IGNORED, words, known=build.id)


def _is_back(tx: Transaction, build: Build, previous: str) -> bool:
    """Whether the branch was left for the commit of its newest build, *previous*, and is back from there.

    A push that is told of once more begins somewhere else: nothing is built again for it.
    """
    newest = builds.newest_of_branch(tx, build)
    return newest is not None and newest.build.commit[:SHORT_HASH] == previous[:SHORT_HASH] != build.commit[:SHORT_HASH]


def build_of(event: PullRequestChanged, now: float) -> Build:
    return Build(
        id=str(uuid4()),
        kind=BuildKind.PULL_REQUEST,
        repository=event.repository,
        source=event.pull_request.source,
        commit=event.pull_request.commit,
        name=event.pull_request.title,
        created_at=now,
        branch=event.pull_request.branch,
        pull_request=event.pull_request,
    )


def _build_of_branch(repository: Repository, change: BranchPushed, now: float) -> Build:
    return Build(
        id=str(uuid4()),
        kind=BuildKind.BRANCH,
        repository=repository,
        source=repository,
        commit=change.commit,
        name=f"Branch {change.branch}",
        created_at=now,
        branch=change.branch,
    )
