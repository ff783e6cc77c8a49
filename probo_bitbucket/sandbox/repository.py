"""A simulated repository: its commits, branches, pull requests and build statuses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import count

from attrs import evolve, frozen
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.sandbox.commits import AUTHOR, Account, Commit, File, make_commit, uuid_of
from probo_bitbucket.sandbox.pullrequest import PullRequest
from probo_bitbucket.sandbox.statuses import BuildStatus, State

Announce = Callable[["Repository", str, Mapping[str, object]], None]


class NoSuchCommit(LookupError):
    """The repository has no such commit; a fork's commits are only in the fork."""


@frozen
class Change:
    """One change of a push: what a branch or tag pointed to before and points to now. None: it was not there."""

    name: str
    old: Commit | None
    new: Commit | None
    kind: str = "branch"
    commits: tuple[Commit, ...] = ()


class Repository:
    """A repository. *announce* is called with (repository, event key, subjects) for everything that happens in it."""

    def __init__(
        self,
        full_name: str,
        name: str,
        clock: IReactorTime,
        announce: Announce,
        parent: Repository | None = None,
    ) -> None:
        self.full_name = full_name
        self.name = name  # for display
        self.main_branch = "main"
        self.uuid = uuid_of(full_name)
        self.parent = parent  # what it is a fork of
        self.deleted = False
        self.commits: dict[str, Commit] = dict(parent.commits) if parent else {}
        self.branches: dict[str, str] = dict(parent.branches) if parent else {}
        self.tags: dict[str, str] = {}
        self.pull_requests: dict[int, PullRequest] = {}
        self.permissions = {AUTHOR: "write"}
        self.statuses: dict[tuple[str, str], list[BuildStatus]] = {}  # by full hash and key, oldest first
        self.clock = clock
        self.announce = announce
        self._watchers: list[PullRequest] = []  # pull requests whose source is here
        self._numbers = count(1)
        self._seeds = count()

    @property
    def workspace(self) -> str:
        return self.full_name.partition("/")[0]

    @property
    def slug(self) -> str:
        return self.full_name.partition("/")[2]

    def commit(self, revision: str) -> Commit:
        """Find a commit by its hash, whole or the first 7 digits or more. Raises NoSuchCommit."""
        if revision in self.commits:
            return self.commits[revision]
        if re.fullmatch(r"[0-9a-f]{7,39}", revision):
            found = [commit for digits, commit in self.commits.items() if digits.startswith(revision)]
            if len(found) == 1:
                return found[0]
        raise NoSuchCommit(revision)

    def revision(self, name: str) -> Commit:
        """Find a commit by its hash or by the branch or tag that points to it. Raises NoSuchCommit."""
        return self.commit(self.branches.get(name) or self.tags.get(name) or name)

    def history(self, *starts: Commit) -> list[Commit]:
        """*starts* and everything before them, newest first."""
        seen: dict[str, Commit] = {}
        waiting = list(starts)
        while waiting:
            commit = waiting.pop()
            seen[commit.hash] = commit
            waiting += [self.commits[parent] for parent in commit.parents if parent not in seen]
        return [commit for commit in reversed(self.commits.values()) if commit.hash in seen]

    def add_commit(
        self, parents: tuple[Commit, ...], files: Mapping[str, File | bytes], message: str = "Change files"
    ) -> Commit:
        """A commit that no branch points to yet."""
        seed = f"{self.uuid} {next(self._seeds)}"
        commit = make_commit(seed, message, self.clock.seconds(), files, parents)
        self.commits[commit.hash] = commit
        return commit

    def push(self, branch: str, files: Mapping[str, File | bytes], message: str = "Change files") -> Commit:
        """Put a commit on *branch*, which is made from the main branch where it is not there."""
        head = self.branches.get(branch) or self.branches.get(self.main_branch)
        commit = self.add_commit((self.commits[head],) if head else (), files, message)
        self.point(branch, commit, (commit,))
        return commit

    def point(self, branch: str, commit: Commit, commits: tuple[Commit, ...] = ()) -> None:
        """Let *branch* point to *commit*, and tell of it."""
        old = self.branches.get(branch)
        self.branches[branch] = commit.hash
        self.tell_push(Change(branch, self.commits[old] if old else None, commit, commits=commits))
        for pull_request in self._open_from(branch):
            pull_request.moved()

    def tag(self, name: str, commit: Commit) -> None:
        self.tags[name] = commit.hash
        self.tell_push(Change(name, None, commit, kind="tag"))

    def delete_branch(self, branch: str) -> None:
        self.tell_push(Change(branch, self.commits[self.branches.pop(branch)], None))

    def tell_push(self, *changes: Change) -> None:
        """Announce one push of any number of changes."""
        self.announce(self, "repo:push", {"push": changes})

    def open_pull_request(
        self,
        title: str = "Change the site",
        branch: str = "feature/change",
        files: Mapping[str, File | bytes] | None = None,
        *,
        description: str = "",
        source: Repository | None = None,
        draft: bool = False,
        author: Account = AUTHOR,
    ) -> PullRequest:
        """Push *files* to *branch* of *source* (a fork, else this repository) and ask to merge it here."""
        origin = source or self
        if files is not None or branch not in origin.branches:
            origin.push(branch, files or {}, title)
        pull_request = PullRequest(next(self._numbers), self, origin, branch, title, description, draft, author)
        self.pull_requests[pull_request.number] = pull_request
        origin._watchers.append(pull_request)
        pull_request.tell("created")
        return pull_request

    def _open_from(self, branch: str) -> list[PullRequest]:
        return [watcher for watcher in self._watchers if watcher.open and watcher.branch == branch]

    def post_status(self, commit: Commit, status: BuildStatus) -> None:
        """Show *status* on *commit* in the place of any other with its key."""
        history = self.statuses.setdefault((commit.hash, status.key), [])
        history.append(evolve(status, created_on=history[0].created_on) if history else status)
        event = "repo:commit_status_updated" if len(history) > 1 else "repo:commit_status_created"
        self.announce(self, event, {"commit_status": (commit, history[-1])})

    def shown_statuses(self, commit: str) -> list[BuildStatus]:
        """The last status of every key on *commit*, a hash of any length. Raises NoSuchCommit."""
        full = self.commit(commit).hash
        return [history[-1] for (posted_on, _), history in self.statuses.items() if posted_on == full]

    def shown(self, commit: str) -> dict[str, State]:
        """The state of every key on *commit*, a hash of any length. Raises NoSuchCommit."""
        return {status.key: status.state for status in self.shown_statuses(commit)}
