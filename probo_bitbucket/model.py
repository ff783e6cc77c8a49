"""What every room of the house talks about: repositories, pull requests, deliveries, builds and statuses.

Times are seconds since the epoch, as floats. Texts hold no NUL: parsers at the edge see to it.
"""

from __future__ import annotations

import re
from enum import IntEnum, StrEnum

from attrs import field, frozen

from probo_bitbucket import origins

# What Bitbucket allows in workspace ids and repository slugs. They reach upstream URLs, and the Container Manager
# puts them into a shell line, so nothing else may pass.
_SLUG = re.compile(r"(?!\.+\Z)[A-Za-z0-9_.-]{1,128}")
_HASH = re.compile(r"[0-9a-f]{7,40}")

FULL_HASH = 40
SHORTEST_HASH = 7  # characters of a commit hash that people may name it by
SHORT_HASH = 12  # characters of a commit hash in a pull request's payload
BUILD_ID = 255  # characters of the longest id of a build, made by whomever, that is dealt with


class InvalidName(ValueError):
    """A repository or commit name that must not reach a URL or a shell."""


def check_slug(text: str) -> str:
    """Return *text* if it is a workspace id or repository slug; raise InvalidName otherwise."""
    if not _SLUG.fullmatch(text):
        raise InvalidName(f"{text[:80]!r} is not a workspace or repository slug")
    return text


def check_hash(text: str) -> str:
    """Return *text* if it is a commit hash of 7 to 40 hexadecimal digits; raise InvalidName otherwise."""
    if not _HASH.fullmatch(text):
        raise InvalidName(f"{text[:80]!r} is not a commit hash")
    return text


@frozen
class Repository:
    """A Bitbucket repository. Workspace and slug come from `full_name`; the uuid never changes."""

    workspace: str
    slug: str
    uuid: str = ""

    @classmethod
    def parse(cls, full_name: str, uuid: str = "") -> Repository:
        """Read `workspace/slug`. Raises InvalidName."""
        workspace, slash, slug = full_name.partition("/")
        if not slash:
            raise InvalidName(f"{full_name[:80]!r} is not of the form workspace/repository")
        return cls(check_slug(workspace), check_slug(slug), uuid)

    @property
    def full_name(self) -> str:
        return f"{self.workspace}/{self.slug}"

    @property
    def identity(self) -> str:
        """What tells this repository from all others: the uuid where it is known, or else the name."""
        return self.uuid or self.full_name

    def lane(self, what: int | str) -> str:
        """What goes on in it in one order: that of a pull request, by its number, or of a branch, by its name."""
        return f"{self.identity}#{what}"


class PullRequestState(StrEnum):
    OPEN = "OPEN"
    MERGED = "MERGED"
    DECLINED = "DECLINED"
    SUPERSEDED = "SUPERSEDED"


@frozen
class PullRequest:
    """A pull request of a repository, as Bitbucket last told of it."""

    number: int
    title: str
    description: str
    url: str
    author: str  # display name
    author_id: str  # account uuid, `{…}`; empty where Bitbucket leaves it out
    state: PullRequestState
    branch: str  # the source branch
    commit: str  # hash of the source branch's head, 12 characters in webhooks
    source: Repository  # differs from the repository of the pull request for forks
    draft: bool = False
    updated_at: float = 0.0  # when anything about it last changed, by Bitbucket's clock; 0 where that is not told


@frozen
class PullRequestChanged:
    """A pull request was opened, edited, or got new commits. It is open."""

    repository: Repository
    pull_request: PullRequest

    @property
    def number(self) -> int:
        return self.pull_request.number

    @property
    def from_fork(self) -> bool:
        return self.pull_request.source.full_name != self.repository.full_name


@frozen
class PullRequestClosed:
    """A pull request was merged or declined. Its fork and its branch may be gone."""

    repository: Repository
    number: int
    state: PullRequestState
    branch: str  # the source branch; empty where it is not told
    updated_at: float = 0.0  # as in PullRequest


@frozen
class BranchPushed:
    """A branch was made, or points to another commit."""

    branch: str
    commit: str
    message: str  # of that commit
    messages: tuple[str, ...] = ()  # of all commits that Bitbucket tells of: the five newest at most
    previous: str = ""  # the commit that it pointed to before, "" where it was made


@frozen
class Pushed:
    """A push to a repository. Of its changes only those that leave a branch behind."""

    repository: Repository
    branches: tuple[BranchPushed, ...]
    number: None = None  # it is of no pull request


@frozen
class Commented:
    """Somebody commented on a pull request."""

    repository: Repository
    number: int
    comment_id: int
    text: str
    author_id: str  # account uuid, `{…}`; empty where Bitbucket leaves it out
    pull_request: PullRequest | None  # None where it is not open, or its source is gone


@frozen
class Ignored:
    """A delivery that asks for nothing, and why, in words. One that is *noise* tells nobody anything, either."""

    reason: str
    repository: Repository | None = None
    number: None = None
    noise: bool = False


Event = PullRequestChanged | PullRequestClosed | Pushed | Commented | Ignored


class DeliveryState(StrEnum):
    WAITING = "waiting"  # written down, not decided yet
    ACCEPTED = "accepted"  # led to builds, or to the end of some
    REFUSED = "refused"  # asks for a build that the settings do not allow; its author is told
    IGNORED = "ignored"  # asks for nothing
    FAILED = "failed"  # given up; can be sent again


@frozen
class Delivery:
    """A webhook call as it came in."""

    event_key: str
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")
    received_at: float
    hook_uuid: str = ""
    request_uuid: str = ""
    attempt: int = 1


class BuildKind(StrEnum):
    """The Container Manager's `build.type`."""

    PULL_REQUEST = "pull_request"
    BRANCH = "branch"
    HASH = "hash"


class BuildState(StrEnum):
    QUEUED = "queued"  # wanted; the configuration is not read yet
    READY = "ready"  # configuration read; to be started
    STARTING = "starting"  # sent to the Container Manager at least once; the answer is not known
    RUNNING = "running"  # the Container Manager has it
    ENDED = "ended"  # the Container Manager is done with it
    INVALID = "invalid"  # the author has to mend the configuration
    REFUSED = "refused"  # the Container Manager refused it
    SKIPPED = "skipped"  # its author wants none
    CANCELLED = "cancelled"  # no longer wanted before it was started
    REMOVED = "removed"  # its environment was taken down
    FAILED = "failed"  # given up; can be started again


class RemovalReason(IntEnum):
    """Why an environment is taken down, as the Container Manager and the Reaper count the reasons."""

    SUPERSEDED = 3  # too many of its pull request
    CLOSED = 4
    BY_HAND = 5


@frozen
class Build:
    """A preview environment that was asked for."""

    id: str  # UUID, chosen once and kept for every try
    kind: BuildKind
    repository: Repository  # where the pull request is
    source: Repository  # where the commit is: its files are read and its statuses posted there
    commit: str  # as long as it is known: 12 characters at first, 40 once resolved
    name: str  # title of the pull request, or message of the commit
    created_at: float
    branch: str = ""
    pull_request: PullRequest | None = None
    origin: str = ""  # what asked for it: `delivery 17`

    @property
    def by_hand(self) -> bool:
        """Whether somebody asked for just this commit: their word stands above the author's."""
        return not origins.is_delivery(self.origin)

    @property
    def claim(self) -> str:
        """What may be built only once: (repository, pull request or branch, commit)."""
        if self.kind is BuildKind.HASH:
            return self.id  # who asks for a commit by name wants a new build each time
        target = f"#{self.pull_request.number}" if self.pull_request else self.branch
        return f"{self.repository.identity} {target} {self.commit[:SHORT_HASH]}"


class StatusState(StrEnum):
    """Bitbucket's states of a build status; there are no others."""

    INPROGRESS = "INPROGRESS"
    SUCCESSFUL = "SUCCESSFUL"
    FAILED = "FAILED"
    STOPPED = "STOPPED"

    @property
    def final(self) -> bool:
        return self is not StatusState.INPROGRESS


@frozen
class Status:
    """What Bitbucket shall show for one (commit, key)."""

    repository: Repository
    commit: str
    key: str
    state: StatusState
    name: str
    description: str
    url: str
    refname: str = ""
    home: Repository | None = None  # of a build: where its pull request is, whose account reports it


@frozen
class Comment:
    """What our one comment on a pull request shall say."""

    repository: Repository
    pull_request: int
    text: str  # Markdown


class Command(StrEnum):
    """What people with the right to write can ask for in a comment: `probo rebuild`."""

    REBUILD = "rebuild"  # the same commit once more
    STOP = "stop"  # no more of what there is
    BUILD = "build"  # a commit, which has to be named where it comes from a fork


class Phase(StrEnum):
    """How far a task of the Container Manager is, or how it ended."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def rank(self) -> int:
        """A task's rank only grows; an update of a lower rank was overtaken."""
        return {Phase.PENDING: 0, Phase.RUNNING: 1}.get(self, 2)


@frozen
class Update:
    """One status update of the Container Manager, understood."""

    build_id: str
    context: str
    phase: Phase
    state: str  # as the Container Manager called it
    description: str
    final: bool  # nothing of this context follows in this run
    target_url: str = ""
    task_id: str = ""

    @property
    def of_environment(self) -> bool:
        """Whether it is about the set-up of the environment, not about a step of the configuration."""
        return self.context.rpartition("/")[2] == "env"

    @property
    def environment_ready(self) -> bool:
        return self.of_environment and self.phase is Phase.SUCCEEDED and self.final


@frozen
class ForwardedUpdate:
    """A status update for another provider's handler, as it came in."""

    provider: str
    build_id: str
    context: str
    repository: str  # slug of the project
    path: str  # still percent-encoded, with its query
    content_type: str
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")  # the project's tokens are in it
    received_at: float = 0.0
    trail: str = ""  # marks of the handlers that passed it on, ours among them
