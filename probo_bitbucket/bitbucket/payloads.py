"""Webhook payloads: what Bitbucket's event keys and bodies mean to us."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

import msgspec
from msgspec import Raw

from probo_bitbucket.bitbucket import links, shapes
from probo_bitbucket.bodies import BodyError, clean, decode
from probo_bitbucket.model import (
    BranchPushed,
    Commented,
    Event,
    Ignored,
    InvalidName,
    PullRequest,
    PullRequestChanged,
    PullRequestClosed,
    PullRequestState,
    Pushed,
    Repository,
    check_hash,
)

# Characters that are kept of each text.
_TITLE = 1_000
_DESCRIPTION = 32_000
_URL = 2_000
_NAME = 255
_MESSAGE = 10_000
_COMMENT = 10_000

_CLOSED = frozenset(PullRequestState) - {PullRequestState.OPEN}


FOUND = "reconciliation"  # the event key of a delivery that we make of what Bitbucket's API tells
PROBE = "probo-bitbucket:probe"  # that of one which we send to ourselves


News = PullRequestChanged | PullRequestClosed | Ignored  # of a pull request


class PayloadError(BodyError):
    """A webhook call that lacks what its event key must have; the message names the path."""


def read(event_key: str, body: bytes, site_url: str = links.SITE_URL) -> Event:
    """Read the webhook call with the `X-Event-Key` *event_key*. Raises PayloadError."""
    if not event_key:
        raise PayloadError("the header `X-Event-Key` is missing")
    reader = _READERS.get(event_key)
    if reader is None:
        return _ignore(event_key, body)
    return reader(body, site_url)


def found(repository: Repository, document: bytes) -> bytes:
    """The body of a delivery that tells of a pull request what the API's *document* of it does."""
    home = msgspec.json.encode({"full_name": repository.full_name, "uuid": repository.uuid})
    return b'{"repository":%s,"pullrequest":%s}' % (home, document)


def home(document: bytes) -> Repository:
    """The repository that a pull request is in, by the API's *document* of it. Raises PayloadError."""
    destination = decode(document, shapes.Homed, PayloadError).destination
    return _repository(destination.repository, "destination.repository")


def read_document(document: bytes, site_url: str) -> News:
    """Read what the API's *document* of a pull request tells. Raises PayloadError."""
    return _read_pull_request(found(home(document), document), site_url)


def _read_pull_request(body: bytes, site_url: str) -> News:
    payload = decode(body, shapes.PullRequestPayload, PayloadError)
    wire = payload.pullrequest
    if wire.state in _CLOSED:
        return _read_closed(body, site_url, PullRequestState(wire.state))
    repository = _repository(payload.repository, "repository")
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


def _pull_request(wire: shapes.PullRequest, *, source: Repository, branch: str, commit: str, url: str) -> PullRequest:
    author = wire.author or shapes.Account()
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
        updated_at=_time(wire.updated_on),
    )


def _read_closed(body: bytes, _site_url: str, state: PullRequestState) -> PullRequestClosed:
    """Take the event's word for *state*: the body of one that was just merged may call it OPEN still."""
    payload = decode(body, shapes.ClosedPayload, PayloadError)
    wire = payload.pullrequest
    branch = wire.source.branch if wire.source else None
    return PullRequestClosed(
        repository=_repository(payload.repository, "repository"),
        number=wire.id,
        state=PullRequestState.SUPERSEDED if wire.state == PullRequestState.SUPERSEDED else state,
        branch=clean(branch.name, _NAME) if branch else "",
        updated_at=_time(wire.updated_on),
    )


def _read_comment(body: bytes, site_url: str) -> Event:
    """A comment is worth reading on any pull request, whatever is left of its source."""
    comment = decode(body, shapes.CommentPayload, PayloadError)
    payload = decode(body, shapes.ClosedPayload, PayloadError)
    author = comment.comment.user or comment.actor or shapes.Account()
    event = _read_pull_request(body, site_url) if payload.pullrequest.state == PullRequestState.OPEN else None
    return Commented(
        repository=_repository(payload.repository, "repository"),
        number=payload.pullrequest.id,
        comment_id=comment.comment.id,
        text=clean(comment.comment.content.raw, _COMMENT) if comment.comment.content else "",
        author_id=clean(author.uuid, _NAME),
        pull_request=event.pull_request if isinstance(event, PullRequestChanged) else None,
    )


def _read_push(body: bytes, _site_url: str) -> Event:
    payload = decode(body, shapes.PushPayload, PayloadError)
    repository = _named_repository(payload.repository)
    if repository is None:
        return Ignored("the push does not say to which repository")
    changes = payload.push.changes or []
    branches = tuple(found for change in changes if (found := _branch_pushed(change)) is not None)
    if branches:
        return Pushed(repository, branches)
    return Ignored("the push changes nothing" if not changes else "the push leaves no branch behind", repository)


def _branch_pushed(change: shapes.Change) -> BranchPushed | None:
    """The branch that a change made or moved; None for a deletion, a tag, and what says too little."""
    new = change.new
    if new is None or new.type != "branch" or not new.name or new.target is None or not new.target.hash:
        return None
    return BranchPushed(
        branch=clean(new.name, _NAME),
        commit=_commit(new.target.hash, "push.changes[].new.target.hash"),
        message=clean(new.target.message, _MESSAGE),
        messages=tuple(clean(commit.message, _MESSAGE) for commit in change.commits or []),
        previous=_previous(change.old),
    )


def _previous(old: shapes.Reference | None) -> str:
    return old.target.hash or "" if old and old.target else ""


def _time(text: str | None) -> float:
    """Seconds since the epoch, 0 where *text* is no time with a zone."""
    try:
        moment = datetime.fromisoformat(text or "")
        return moment.timestamp() if moment.tzinfo else 0.0
    except (ValueError, OverflowError):
        return 0.0


def _repository(wire: shapes.Repository, path: str) -> Repository:
    try:
        return Repository.parse(wire.full_name, clean(wire.uuid, _NAME))
    except InvalidName as wrong:
        raise PayloadError(f"`{path}.full_name`: {wrong}") from wrong


def _branch(wire: shapes.Branch) -> str:
    name = clean(wire.name, _NAME)
    if not name:
        raise PayloadError("`pullrequest.source.branch.name` is empty")
    return name


def _commit(commit_hash: str, path: str = "pullrequest.source.commit.hash") -> str:
    try:
        return check_hash(commit_hash)
    except InvalidName as wrong:
        raise PayloadError(f"`{path}`: {wrong}") from wrong


def _html_url(wire: shapes.Links | None) -> str:
    """Return the address of the page that *wire* names, empty where that is none."""
    href = wire.html.href if wire and wire.html else None
    return href if href and len(href) <= _URL and links.is_web_address(href) else ""


def _ignore(event_key: str, body: bytes) -> Ignored:
    payload = decode(body, shapes.OtherPayload, PayloadError)
    reason = _REASONS.get(event_key, f"nothing is done on the event {clean(event_key, 80)!r}")
    return Ignored(reason, _named_repository(payload.repository), noise=event_key in _NOISE)


def _named_repository(wire: Raw) -> Repository | None:
    """The repository that *wire* names, if it does: an event that is ignored need not."""
    try:
        return _repository(decode(bytes(wire), shapes.Repository, PayloadError), "repository")
    except PayloadError:
        return None


# https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/
_READERS: dict[str, Callable[[bytes, str], Event]] = {
    "pullrequest:created": _read_pull_request,
    "pullrequest:updated": _read_pull_request,
    "pullrequest:push": _read_pull_request,
    FOUND: _read_pull_request,
    "pullrequest:fulfilled": partial(_read_closed, state=PullRequestState.MERGED),
    "pullrequest:rejected": partial(_read_closed, state=PullRequestState.DECLINED),
    "pullrequest:comment_created": _read_comment,
    "repo:push": _read_push,
}

_REASONS = {
    "pullrequest:approved": "an approval brings no new commit",
    "pullrequest:unapproved": "a withdrawn approval brings no new commit",
    "pullrequest:changes_request_created": "a request for changes brings no new commit",
    "pullrequest:changes_request_removed": "a withdrawn request for changes brings no new commit",
    "pullrequest:comment_updated": "an edited comment brings no new commit",
    "pullrequest:comment_deleted": "a deleted comment brings no new commit",
    "pullrequest:comment_resolved": "a resolved comment brings no new commit",
    "pullrequest:comment_reopened": "a reopened comment brings no new commit",
    "repo:commit_comment_created": "a comment on a commit brings no new commit",
    "repo:commit_status_created": "a build status brings no new commit",
    "repo:commit_status_updated": "a build status brings no new commit",
    "repo:fork": "a fork is not built before it has a pull request",
    PROBE: "it was sent from here to see whether the public URL leads here",
    "repo:updated": "changed settings of a repository bring no new commit",
}

# One for each status that we post, one for each that others do, and those of our own that only have to arrive.
_NOISE = frozenset({"repo:commit_status_created", "repo:commit_status_updated", PROBE})

EVENT_KEYS = frozenset({*_READERS, *_REASONS})  # that are known to come in
