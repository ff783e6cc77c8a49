"""A simulated pull request: what can be done to it, and the events that this sets off."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from itertools import count
from typing import TYPE_CHECKING

from attrs import define

from probo_bitbucket.sandbox.commits import AUTHOR, Account, Commit, File
from probo_bitbucket.sandbox.statuses import BuildStatus

if TYPE_CHECKING:
    from probo_bitbucket.sandbox.repository import Repository


class PullRequestState(StrEnum):
    OPEN = "OPEN"
    MERGED = "MERGED"
    DECLINED = "DECLINED"
    SUPERSEDED = "SUPERSEDED"


class BranchGone(LookupError):
    """A branch of the pull request, or its repository, was deleted."""


@define(eq=False)
class Comment:
    """A comment on a pull request."""

    number: int
    text: str
    author: Account
    created_on: float
    updated_on: float
    deleted: bool = False


class PullRequest:
    """A pull request of *repository* that asks for a *branch* of *source*."""

    _comment_numbers = count(1)

    def __init__(
        self,
        number: int,
        repository: Repository,
        source: Repository,
        branch: str,
        title: str,
        description: str,
        draft: bool,
        author: Account,
    ) -> None:
        self.number = number
        self.repository = repository
        self.branch = branch
        self.title = title
        self.description = description
        self.draft = draft
        self.author = author
        self.state = PullRequestState.OPEN
        self.destination_branch = repository.main_branch
        main = self.destination
        self._base = {commit.hash for commit in repository.history(main)} if main else set()
        self.merge_commit: Commit | None = None
        self.comments: dict[int, Comment] = {}
        self.created_on = self.updated_on = repository.clock.seconds()
        self._source = source
        self._last_head: Commit | None = None  # once it is closed

    @property
    def path(self) -> str:
        """Of its page, below the site's URL."""
        return f"/{self.repository.full_name}/pull-requests/{self.number}"

    @property
    def open(self) -> bool:
        return self.state is PullRequestState.OPEN

    @property
    def source(self) -> Repository | None:
        """The repository of the branch; None once it is deleted."""
        return None if self._source.deleted else self._source

    @property
    def head(self) -> Commit | None:
        """The commit that it asks for; None once the branch or its repository is deleted."""
        if self.source is None:
            return None
        if self._last_head is not None:
            return self._last_head
        head = self.source.branches.get(self.branch)
        return self.source.commits[head] if head else None

    @property
    def commit(self) -> str:
        """The full hash of the head. Raises BranchGone."""
        if self.head is None:
            raise BranchGone(f"pull request {self.number} has no source commit any more")
        return self.head.hash

    def commits(self) -> list[Commit]:
        """The commits that the destination did not have when this was opened, newest first."""
        if self.head is None:
            return []
        return [commit for commit in self._source.history(self.head) if commit.hash not in self._base]

    @property
    def destination(self) -> Commit | None:
        """The commit it would be merged into; None once that branch is deleted."""
        head = self.repository.branches.get(self.destination_branch)
        return self.repository.commits[head] if head else None

    def push(self, files: Mapping[str, File | bytes] | None = None, message: str = "Change it again") -> Commit:
        """Push another commit to the source branch."""
        return self._source.push(self.branch, files or {}, message)

    def moved(self) -> None:
        """The source branch points to another commit."""
        self.tell("updated")
        self.tell("push")

    def edit(self, title: str | None = None, description: str | None = None, draft: bool | None = None) -> None:
        """Change what is given. The event does not say what changed."""
        self.title = self.title if title is None else title
        self.description = self.description if description is None else description
        self.draft = self.draft if draft is None else draft
        self.tell("updated")

    def merge(self, *, close_source_branch: bool = False) -> Commit:
        """Merge it. Raises BranchGone."""
        head, destination = self.head, self.destination
        if head is None or destination is None:
            raise BranchGone(f"a branch of pull request {self.number} is gone")
        self._close(PullRequestState.MERGED)
        own = self.commits()
        self.repository.commits.update({commit.hash: commit for commit in reversed(own)})
        message = f"Merged in {self.branch} (pull request #{self.number})\n\n{self.title}"
        self.merge_commit = self.repository.add_commit((destination, head), dict(head.files), message)
        self.repository.point(self.destination_branch, self.merge_commit, (self.merge_commit, *own))
        self.tell("fulfilled")
        if close_source_branch:
            self._source.delete_branch(self.branch)
        return self.merge_commit

    def decline(self) -> None:
        self._close(PullRequestState.DECLINED)
        self.tell("rejected")

    def _close(self, state: PullRequestState) -> None:
        self._last_head = self.head
        self.state = state

    def comment(self, text: str, author: Account = AUTHOR) -> Comment:
        now = self.repository.clock.seconds()
        comment = Comment(next(self._comment_numbers), text, author, now, now)
        self.comments[comment.number] = comment
        self.tell("comment_created", comment=comment)
        return comment

    def edit_comment(self, comment: Comment, text: str) -> None:
        comment.text = text
        comment.updated_on = self.repository.clock.seconds()
        self.tell("comment_updated", comment=comment)

    def delete_comment(self, comment: Comment) -> None:
        comment.deleted = True
        self.tell("comment_deleted", comment=comment)

    def tell(self, what: str, **subjects: object) -> None:
        """Announce `pullrequest:<what>`."""
        self.updated_on = self.repository.clock.seconds()
        self.repository.announce(self.repository, f"pullrequest:{what}", {"pullrequest": self, **subjects})

    def shown(self) -> list[BuildStatus]:
        """The statuses that its page shows: those of the head that name the source branch."""
        if self.head is None:
            return []
        statuses = self._source.shown_statuses(self.commit)
        return [status for status in statuses if status.refname == self.branch]
