"""The shapes of webhook payloads, as far as they are read: what may be absent or null has a default."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Raw, Struct, field


class Repository(Struct):
    full_name: str
    uuid: str | None = None


class Branch(Struct):
    name: str


class Commit(Struct):
    hash: str | None


class Source(Struct):
    """Each part is null once the fork or the branch is deleted."""

    repository: Repository | None
    branch: Branch | None
    commit: Commit | None


class Account(Struct):
    display_name: str | None = None
    nickname: str | None = None
    uuid: str | None = None


class Link(Struct):
    href: str | None = None


class Links(Struct):
    html: Link | None = None


class PullRequest(Struct):
    id: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    state: str
    source: Source
    title: str | None = None
    description: str | None = None
    author: Account | None = None
    links: Links | None = None
    draft: bool | None = None
    updated_on: str | None = None


class Destination(Struct):
    repository: Repository


class Homed(Struct):
    """A pull request as the API tells it: its destination is the repository that it is in."""

    destination: Destination


class PullRequestPayload(Struct):
    repository: Repository
    pullrequest: PullRequest


class ClosedPullRequest(Struct):
    """What has to be there of one that is closed: its source may be gone."""

    id: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    state: str | None = None
    source: ClosedSource | None = None
    updated_on: str | None = None


class ClosedSource(Struct):
    branch: Branch | None = None


class ClosedPayload(Struct):
    repository: Repository
    pullrequest: ClosedPullRequest


class Content(Struct):
    raw: str | None = None


class Comment(Struct):
    id: int
    content: Content | None = None
    user: Account | None = None


class CommentPayload(Struct):
    comment: Comment
    actor: Account | None = None


class Target(Struct):
    hash: str | None = None
    message: str | None = None


class Reference(Struct):
    type: str | None = None
    name: str | None = None
    target: Target | None = None


class Change(Struct):
    old: Reference | None = None
    new: Reference | None = None
    commits: list[Target] | None = None


class Push(Struct):
    changes: list[Change] | None = None


class PushPayload(Struct):
    push: Push = field(default_factory=Push)
    repository: Raw = Raw(b"null")


class OtherPayload(Struct):
    repository: Raw = Raw(b"null")
