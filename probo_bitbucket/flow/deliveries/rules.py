"""Rules: what follows from an event, from what is known of its pull request, and from the settings.

docs/events.md has them as a table. Nothing here reads or writes anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from attrs import frozen

from probo_bitbucket.config import Forks, Pushes
from probo_bitbucket.flow.builds.markers import BUILD_MARKER, asks_for_build, skip_marker
from probo_bitbucket.model import (
    SHORT_HASH,
    BranchPushed,
    Command,
    PullRequest,
    PullRequestChanged,
    PullRequestClosed,
    PullRequestState,
)
from probo_bitbucket.store.pull_requests import KnownPullRequest

COMMANDS_LIMIT = 10  # that one person can give in a repository …
COMMANDS_WINDOW = 3600.0  # … in so many seconds
_BLANK = r"[^\S\r\n]"  # no-break spaces, too: what is pasted from a page has them
_COMMAND = re.compile(
    r"^(?!\t)" + _BLANK + r"{0,3}probo" + _BLANK + r"+(rebuild|stop|build)"  # four blanks begin code
    r"(?:(?<=\sbuild)"
    + _BLANK
    + r"+([0-9a-f]{7,40}))?"  # only `build` takes a commit
    + _BLANK
    + r"*\.?[^\S\n]*$",
    re.IGNORECASE | re.MULTILINE,
)
_FENCED = re.compile(r"^ {0,3}(```|~~~).*?(?:^ {0,3}\1|\Z)", re.DOTALL | re.MULTILINE)


@frozen
class Policy:
    """What the settings say about what is built."""

    drafts: bool
    forks: Forks
    pushes: Pushes
    branches: Sequence[str]  # globs

    @property
    def of_pull_requests(self) -> str:
        """What of it counts for pull requests: with another one, they may be decided otherwise."""
        return f"drafts: {self.drafts}, forks: {self.forks}"


@frozen
class Go:
    """Let it happen."""


@frozen
class Ignore:
    """Nothing happens."""

    reason: str


@frozen
class Refuse:
    """It is not allowed, and its author shall read why."""

    words: str


def command_in(text: str) -> Command | None:
    """The command of a comment: it stands alone on a line, and not in code. Of several the first counts."""
    found = _find_command(text)
    return Command(found[1].lower()) if found else None


def commit_in(text: str) -> str:
    """The hash of the commit that the command of a comment names, 7 to 40 digits; empty where it names none."""
    found = _find_command(text)
    return (found[2] or "").lower() if found else ""


def _find_command(text: str) -> re.Match[str] | None:
    return _COMMAND.search(_FENCED.sub("", text))


def approval_of(commit: str) -> str:
    """The line of a comment that allows a commit of a fork. It names the commit: another may be pushed meanwhile."""
    return f"probo build {commit[:SHORT_HASH]}"


def outdated(event: PullRequestChanged, known: KnownPullRequest | None) -> Ignore | None:
    """Whether *event* is older than what is known. Bitbucket promises no order, and sends again what failed."""
    updated_at = event.pull_request.updated_at
    if known is None or updated_at > known.updated_at:
        return None
    if not known.open:
        return Ignore(f"pull request #{event.number} is {known.state.lower()} already")
    if 0 < updated_at < known.updated_at:
        return Ignore(f"a later event told of pull request #{event.number} before")
    return None


def on_change(event: PullRequestChanged, known: KnownPullRequest | None, policy: Policy) -> Go | Ignore | Refuse:
    """What follows from news of an open pull request that is not outdated."""
    if unwanted := unwanted_yet(event.pull_request, policy):
        return unwanted
    if event.from_fork and policy.forks is not Forks.ALWAYS:
        return _on_fork(event, known, policy)
    return Go()


def unwanted_yet(pull_request: PullRequest, policy: Policy) -> Ignore | None:
    """Why its author wants nothing of a pull request built for now; None where they do."""
    if marker := skip_marker(pull_request.title):
        return Ignore(f"the title says {marker}")
    if pull_request.draft and not policy.drafts:
        return Ignore("it is a draft, and `drafts: false` waits until it is ready")
    return None


def _on_fork(event: PullRequestChanged, known: KnownPullRequest | None, policy: Policy) -> Go | Refuse:
    if policy.forks is Forks.NEVER:
        return Refuse("Pull requests from forks are not built here: see `forks` in the settings of probo-bitbucket")
    commit = event.pull_request.commit
    if known is not None and known.approved == commit[:SHORT_HASH]:
        return Go()
    line = approval_of(commit)
    return Refuse(f"Not built yet, because it comes from a fork: a member can comment `{line}` to allow this commit")


def on_close(event: PullRequestClosed, known: KnownPullRequest | None) -> Go | Ignore:
    """What follows from the end of a pull request."""
    if known is not None and not known.open:
        return Ignore(f"pull request #{event.number} is {known.state.lower()} already")
    reopened = known is not None and 0 < event.updated_at < known.updated_at
    if reopened and event.state is PullRequestState.DECLINED:  # nothing opens the others again
        return Ignore(f"a later event told of pull request #{event.number} as open")
    return Go()


def on_push(change: BranchPushed, pull_request: int | None, policy: Policy) -> Go | Ignore:
    """What follows from a push. *pull_request* is the number of an open one that has the branch built."""
    if policy.pushes is Pushes.NEVER:
        return Ignore("`pushes: never`")
    if marker := skip_marker(change.message):
        return Ignore(f"the message says {marker}")
    if not any(fnmatchcase(change.branch, glob) for glob in policy.branches):
        return Ignore("it is not among the `branches` of the settings")
    if policy.pushes is Pushes.MARKER and not asks_for_build((change.message, *change.messages)):
        return Ignore(f"no commit message says {BUILD_MARKER}")
    if pull_request is not None:
        return Ignore(f"pull request #{pull_request} has it built")
    return Go()
