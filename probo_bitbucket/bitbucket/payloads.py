"""Webhook payloads: what Bitbucket's event keys and bodies mean to us."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta, Raw, Struct

from probo_bitbucket.bitbucket import links
from probo_bitbucket.bodies import BodyError, clean, decode
from probo_bitbucket.model import (
    Event,
    Ignored,
    InvalidName,
    PullRequest,
    PullRequestChanged,
    PullRequestState,
    Repository,
    check_hash,
)

# Characters that are kept of each text.
_TITLE = 1_000
_DESCRIPTION = 32_000
_URL = 2_000
_NAME = 255


class PayloadError(BodyError):
    """A webhook call that lacks what its event key must have; the message names the path."""


class _Repository(Struct):
    full_name: str
    uuid: str | None = None


class _Branch(Struct):
    name: str


class _Commit(Struct):
    hash: str | None


class _Source(Struct):
    """Each part is null once the fork or the branch is deleted."""

    repository: _Repository | None
    branch: _Branch | None
    commit: _Commit | None


class _Account(Struct):
    display_name: str | None = None
    nickname: str | None = None
    uuid: str | None = None


class _Link(Struct):
    href: str | None = None


class _Links(Struct):
    html: _Link | None = None


class _PullRequest(Struct):
    id: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    state: str
    source: _Source
    title: str | None = None
    description: str | None = None
    author: _Account | None = None
    links: _Links | None = None
    draft: bool | None = None


class _PullRequestPayload(Struct):
    repository: _Repository
    pullrequest: _PullRequest


class _OtherPayload(Struct):
    repository: Raw = Raw(b"null")


def read(event_key: str, body: bytes, site_url: str = links.SITE_URL) -> Event:
    """Read the webhook call with the `X-Event-Key` *event_key*. Raises PayloadError."""
    if not event_key:
        raise PayloadError("the header `X-Event-Key` is missing")
    reader = _READERS.get(event_key)
    if reader is None:
        return _ignore(event_key, body)
    return reader(body, site_url)


def _read_pull_request(body: bytes, site_url: str) -> Event:
    payload = decode(body, _PullRequestPayload, PayloadError)
    repository = _repository(payload.repository, "repository")
    wire = payload.pullrequest
    if wire.state != PullRequestState.OPEN:
        return Ignored(f"pull request #{wire.id} is not open: its state is {clean(wire.state, 40)}", repository)
    source = wire.source
    if source.repository is None:
        return Ignored(f"pull request #{wire.id} has no source repository: the fork was deleted", repository)
    if source.branch is None:
        return Ignored(f"pull request #{wire.id} has no source branch: it was deleted", repository)
    if source.commit is None or source.commit.hash is None:
        return Ignored(f"pull request #{wire.id} has no source commit: its branch was deleted", repository)
    pull_request = _pull_request(
        wire,
        source=_repository(source.repository, "pullrequest.source.repository"),
        branch=_branch(source.branch),
        commit=_commit(source.commit.hash),
        url=_html_url(wire.links) or links.pull_request(repository, wire.id, site_url),
    )
    return PullRequestChanged(repository, pull_request)


def _pull_request(wire: _PullRequest, *, source: Repository, branch: str, commit: str, url: str) -> PullRequest:
    author = wire.author or _Account()
    return PullRequest(
        number=wire.id,
        title=clean(wire.title, _TITLE),
        description=clean(wire.description, _DESCRIPTION),
        url=url,
        author=clean(author.display_name or author.nickname, _NAME),
        author_id=clean(author.uuid, _NAME),
        state=PullRequestState(wire.state),
        branch=branch,
        commit=commit,
        source=source,
        draft=bool(wire.draft),
    )


def _repository(wire: _Repository, path: str) -> Repository:
    try:
        return Repository.parse(wire.full_name, clean(wire.uuid, _NAME))
    except InvalidName as wrong:
        raise PayloadError(f"`{path}.full_name`: {wrong}") from wrong


def _branch(wire: _Branch) -> str:
    name = clean(wire.name, _NAME)
    if not name:
        raise PayloadError("`pullrequest.source.branch.name` is empty")
    return name


def _commit(commit_hash: str) -> str:
    try:
        return check_hash(commit_hash)
    except InvalidName as wrong:
        raise PayloadError(f"`pullrequest.source.commit.hash`: {wrong}") from wrong


def _html_url(wire: _Links | None) -> str:
    """Return the address of the page that *wire* names, empty where that is none."""
    href = wire.html.href if wire and wire.html else None
    return href if href and len(href) <= _URL and links.is_web_address(href) else ""


def _ignore(event_key: str, body: bytes) -> Ignored:
    payload = decode(body, _OtherPayload, PayloadError)
    reason = _REASONS.get(event_key, f"nothing is done on the event {clean(event_key, 80)!r}")
    try:
        repository = _repository(decode(bytes(payload.repository), _Repository, PayloadError), "repository")
    except PayloadError:  # an event that is ignored need not name one
        return Ignored(reason)
    return Ignored(reason, repository)


# https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/
_READERS: dict[str, Callable[[bytes, str], Event]] = {
    "pullrequest:created": _read_pull_request,
    "pullrequest:updated": _read_pull_request,
    "pullrequest:push": _read_pull_request,
}

_REASONS = {
    "pullrequest:approved": "an approval brings no new commit",
    "pullrequest:unapproved": "a withdrawn approval brings no new commit",
    "pullrequest:changes_request_created": "a request for changes brings no new commit",
    "pullrequest:changes_request_removed": "a withdrawn request for changes brings no new commit",
    "pullrequest:comment_created": "a comment on a pull request brings no new commit",
    "pullrequest:comment_updated": "an edited comment brings no new commit",
    "pullrequest:comment_deleted": "a deleted comment brings no new commit",
    "pullrequest:comment_resolved": "a resolved comment brings no new commit",
    "pullrequest:comment_reopened": "a reopened comment brings no new commit",
    "pullrequest:fulfilled": "the pull request was merged: there is nothing left to build",
    "pullrequest:rejected": "the pull request was declined: there is nothing left to build",
    "repo:push": "a push alone is not built: its pull request has an event of its own",
    "repo:commit_comment_created": "a comment on a commit brings no new commit",
    "repo:commit_status_created": "a build status brings no new commit",
    "repo:commit_status_updated": "a build status brings no new commit",
    "repo:fork": "a fork is not built before it has a pull request",
    "repo:updated": "changed settings of a repository bring no new commit",
}

EVENT_KEYS = frozenset({*_READERS, *_REASONS})  # that Bitbucket is known to send
