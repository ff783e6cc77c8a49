"""By hand: what people have done with the builds of a pull request, by comments."""

from __future__ import annotations

from attrs import evolve, frozen

from probo_bitbucket import origins
from probo_bitbucket.flow.builds.anew import Anew, NotNow
from probo_bitbucket.flow.builds.ending import Ending
from probo_bitbucket.flow.builds.requests import NotWanted
from probo_bitbucket.flow.deliveries import rules
from probo_bitbucket.flow.deliveries.responder import NOT_THERE, Responder, build_of
from probo_bitbucket.model import (
    SHORT_HASH,
    Build,
    Command,
    DeliveryState,
    PullRequest,
    PullRequestChanged,
    Repository,
)
from probo_bitbucket.store import Transaction, builds, deliveries, pull_requests
from probo_bitbucket.store.commands import StoredCommand


@frozen
class ByHand:
    """Every method returns why nothing was done, and nothing where it was: then the statuses show it."""

    responder: Responder
    anew: Anew
    ending: Ending

    def carry_out(self, tx: Transaction, job: StoredCommand, now: float) -> str:
        """Do what a comment asks for, with the commit that the pull request had when it was written.

        What is built of it belongs to the story of the delivery that told of the comment.
        """
        origin = origins.comment(job.comment.comment_id, job.origin)
        answer = self._carry_out(tx, job, now, origin)
        delivery, made = origins.delivery_of(job.origin), builds.asked_for_by(tx, origin)
        if delivery is not None and made is not None:
            deliveries.led_to(tx, delivery, made)
        return answer

    def _carry_out(self, tx: Transaction, job: StoredCommand, now: float, origin: str) -> str:
        command, comment = job.command, job.comment
        repository, pull_request = comment.repository, comment.pull_request
        if command is Command.STOP:
            return self.stop(tx, repository, comment.number, now, job.origin)
        if pull_request is None:
            return "This pull request is not open, or its branch is gone: there is nothing to build."
        if command is Command.REBUILD:
            return self.rebuild(tx, repository, pull_request, now, origin)
        event = PullRequestChanged(repository, pull_request)
        return self.allow(tx, event, rules.commit_in(comment.text), now, origin)

    def allow(self, tx: Transaction, event: PullRequestChanged, named: str, now: float, origin: str) -> str:
        """Have a commit built, though it comes from a fork: then it is the one that was *named*, and no later one."""
        commit = event.pull_request.commit[:SHORT_HASH]
        line = rules.approval_of(commit)
        if not commit.startswith(named[:SHORT_HASH]):
            return f"Not built: the pull request is at another commit now. When you have read that one: `{line}`"
        if event.from_fork and len(named) < SHORT_HASH:  # a commit can be made to begin with fewer digits of another
            return f"Not built: it comes from a fork, so say which commit you have read: `{line}`"
        if pull_requests.find(tx, event.repository, event.number) is None:
            pull_requests.tell_open(tx, event, now)  # no webhook told of it before
        pull_requests.approve(tx, event.repository, event.number, commit)
        _let_be_built_again(tx, build_of(event, now))
        response = self.responder.respond(tx, event, now, origin)
        return "" if response.state is DeliveryState.ACCEPTED else f"Not built: {response.reason}"

    def rebuild(self, tx: Transaction, repository: Repository, told: PullRequest, now: float, origin: str) -> str:
        """Have a commit built once more. What a fork asks for needs its approval first."""
        event = PullRequestChanged(repository, told)
        if against := self.responder.against(tx, event, now, origin):
            return f"Not built: {against.reason}"
        try:
            self.anew.build(tx, evolve(build_of(event, now), origin=origin))
        except (NotNow, NotWanted) as error:
            return f"Not built: {error}"
        return ""

    def stop(self, tx: Transaction, repository: Repository, number: int, now: float, origin: str) -> str:
        """Have no more of what there is."""
        found = builds.of_pull_request(tx, repository, number)
        why = self.ending.end_by_hand(tx, found, "asked for by hand", origin, now)
        return f"Not stopped: {why}." if why else ""


def _let_be_built_again(tx: Transaction, build: Build) -> None:
    """Somebody may want what somebody stopped, and what its author did not want."""
    same = builds.claimant(tx, build)
    if same is not None and same.state in NOT_THERE:
        builds.release(tx, build)
