"""Bitbucket Cloud's REST API 2.0, as far as it is needed here."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from attrs import frozen

from probo_bitbucket.bitbucket.caller import PAGE, Access, Caller, Page, decode
from probo_bitbucket.errors import NotFound
from probo_bitbucket.model import Comment, Repository, Status, check_hash
from probo_bitbucket.upstream import Answer, Upstream

T = TypeVar("T")

PULL_REQUESTS_PAGE = 50  # pull requests; the most that Bitbucket gives at once of these
_OPEN_FIELDS = ",".join(
    (
        "next",
        *(f"values.{name}" for name in ("id", "state", "title", "description", "draft", "updated_on")),
        *(f"values.author.{name}" for name in ("display_name", "nickname", "uuid")),
        "values.links.html.href",
        *(f"values.destination.repository.{name}" for name in ("full_name", "uuid")),
        *(
            f"values.source.{name}"
            for name in ("repository.full_name", "repository.uuid", "branch.name", "commit.hash")
        ),
    )
)


class Accounts(Protocol):
    """Knows whose credentials a repository is reached with."""

    def of(self, repository: Repository, home: Repository | None = None) -> Access:
        """For a fork, *home* is where its pull request is: nobody gave us credentials for the forks of strangers."""


class _Commit(msgspec.Struct):
    hash: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{40}\Z")]
    message: str = ""


class _Entry(msgspec.Struct):
    path: str
    type: str = ""


class _Account(msgspec.Struct):
    display_name: str = ""
    nickname: str = ""
    uuid: str = ""


class _Link(msgspec.Struct):
    href: str = ""


class _Links(msgspec.Struct):
    html: _Link = msgspec.field(default_factory=_Link)


class _Named(msgspec.Struct):
    name: str


class _Repository(msgspec.Struct):
    mainbranch: _Named | None = None


class _Branch(msgspec.Struct):
    target: _Commit


class _Content(msgspec.Struct):
    raw: str = ""


class _Comment(msgspec.Struct):
    id: int
    content: _Content = msgspec.field(default_factory=_Content)
    deleted: bool = False


class _Numbered(msgspec.Struct):
    id: int


class _Permission(msgspec.Struct):
    permission: str
    user: _Account


class _PullRequest(msgspec.Struct):
    id: int
    state: str
    title: str = ""
    author: _Account | None = None
    links: _Links = msgspec.field(default_factory=_Links)


@frozen
class Commit:
    """A commit: its full hash and its message."""

    hash: str
    message: str


@frozen
class PullRequestSummary:
    """What the Reaper asks of a pull request."""

    number: int
    state: str
    title: str
    url: str
    author: str
    author_id: str


class Bitbucket:
    """The calls. Every one raises a kind of UpstreamError when it does not succeed."""

    def __init__(self, upstream: Upstream, base_url: str, accounts: Accounts) -> None:
        self._caller = Caller(upstream, base_url)
        self._accounts = accounts

    async def file(self, repository: Repository, commit: str, path: str, home: Repository | None = None) -> bytes:
        """The content of a file. Permanent with status 301 for one that Git LFS keeps elsewhere."""
        return (await self._get(repository, f"src/{check_hash(commit)}/{quote(path)}", home)).body

    async def root(self, repository: Repository, commit: str, home: Repository | None = None) -> list[str]:
        """The names of the files in the root folder at a commit."""
        entries = self._pages(repository, f"src/{check_hash(commit)}/", _Entry, home)
        return [entry.path async for entry in entries if entry.type != "commit_directory"]

    async def commit(self, repository: Repository, hash: str, home: Repository | None = None) -> Commit:
        """Raises NotFound, in words for the one who named it."""
        with _missing(f"commit {hash} in {repository.full_name}"):
            found = decode(await self._get(repository, f"commit/{check_hash(hash)}", home), _Commit)
        return Commit(found.hash, found.message)

    async def shows(self, repository: Repository, home: Repository | None = None) -> bool:
        """Whether Bitbucket has the repository and shows it to us. It tells nobody which of the two it is not."""
        try:
            await self._get(repository, home=home)
        except NotFound:
            return False
        return True

    async def head(self, repository: Repository) -> tuple[str, Commit]:
        """The name of the default branch, and its newest commit. Raises NotFound where nothing was pushed yet."""
        main = decode(await self._get(repository), _Repository).mainbranch
        if main is None:
            raise NotFound(f"{repository.full_name} has no default branch: nothing was pushed to it yet", 404)
        found = decode(await self._get(repository, f"refs/branches/{quote(main.name)}"), _Branch).target
        return main.name, Commit(found.hash, found.message)

    async def pull_request(self, repository: Repository, number: int) -> PullRequestSummary:
        found = decode(await self._get(repository, f"pullrequests/{number}"), _PullRequest)
        author = found.author or _Account()
        return PullRequestSummary(
            found.id,
            found.state,
            found.title,
            found.links.html.href,
            author.display_name or author.nickname,
            author.uuid,
        )

    async def open_pull_requests(self, repository: Repository) -> dict[int, bytes]:
        """What Bitbucket tells of each open pull request: as much as a webhook's body needs."""
        query = urlencode({"state": "OPEN", "pagelen": PULL_REQUESTS_PAGE, "fields": _OPEN_FIELDS}, safe=",")
        path = _below(repository, f"pullrequests?{query}")
        listed = self._caller.pages(self._accounts.of(repository), path, msgspec.Raw, urgent=False)
        documents = [bytes(document) async for document in listed]
        return {msgspec.json.decode(document, type=_Numbered).id: document for document in documents}

    async def pull_request_document(self, repository: Repository, number: int) -> bytes:
        """The same of one pull request, whatever its state. Raises NotFound as `commit` does."""
        path = _below(repository, f"pullrequests/{number}")
        with _missing(f"pull request #{number} in {repository.full_name}"):
            return (await self._caller.checked(self._accounts.of(repository), "GET", path, urgent=False)).body

    async def may_write(self, repository: Repository, user: str) -> bool:
        """Whether the account *user*, `{…}`, can write to a repository, by its own right or that of a group.

        Only who administers the repository is told.
        """
        query = urlencode({"q": f'user.uuid="{user}"', "fields": "next,values.permission,values.user.uuid"})
        path = f"workspaces/{repository.workspace}/permissions/repositories/{repository.slug}?{query}"
        granted = self._caller.pages(self._accounts.of(repository), path, _Permission, urgent=False)
        return any([each.permission in ("write", "admin") async for each in granted if each.user.uuid == user])

    async def branches(self, repository: Repository) -> list[dict[str, Any]]:
        """All branches, as Bitbucket describes them."""
        return [branch async for branch in self._pages(repository, "refs/branches", dict[str, Any])]

    async def commits(self, repository: Repository, revision: str = "") -> list[dict[str, Any]]:
        """The newest commits of *revision* (a branch name or hash), or of all branches: one page, newest first."""
        query = {"pagelen": str(PAGE), **({"include": revision} if revision else {})}
        answer = await self._get(repository, f"commits?{urlencode(query)}")
        return decode(answer, Page[dict[str, Any]]).values

    async def post_status(self, status: Status, *, only_words: bool = False, not_after: float = math.inf) -> None:
        """Make Bitbucket show *status*. A key that the commit has already is overwritten.

        Where Bitbucket has the state already, and *only_words* are others, that can wait. Raises Temporary where it
        would be sent after the time *not_after*.
        """
        body = {
            "state": status.state,
            "key": status.key,
            "name": status.name,
            "description": status.description,
            "url": status.url,
            **({"refname": status.refname} if status.refname else {}),
        }
        path = f"commit/{check_hash(status.commit)}/statuses/build"
        urgent = status.state.final and not only_words
        answer = await self._call(
            "POST", status.repository, path, home=status.home, urgent=urgent, json=body, not_after=not_after
        )
        answer.json()  # a page that a proxy shows with status 200 is no sign that Bitbucket has it

    async def comments_with(self, comment: Comment, marker: str) -> list[int]:
        """The ids of the comments on the pull request of *comment* that end with *marker*, the newest first."""
        path = _below(comment.repository, f"pullrequests/{comment.pull_request}/comments")
        written = self._caller.pages(self._accounts.of(comment.repository), path, _Comment, urgent=False)
        return [each.id async for each in written if not each.deleted and each.content.raw.endswith(marker)][::-1]

    async def add_comment(self, comment: Comment, *, not_after: float = math.inf) -> int:
        """Write a comment, *not_after* a time (Temporary). Returns its id."""
        return decode(await self._write("POST", comment, "", not_after), _Comment).id

    async def edit_comment(self, comment: Comment, number: int, *, not_after: float = math.inf) -> None:
        """Give the comment with the id *number* another text. NotFound when it was deleted; Temporary *not_after*."""
        decode(await self._write("PUT", comment, f"/{number}", not_after), _Comment)

    async def _write(self, method: str, comment: Comment, which: str, not_after: float) -> Answer:
        path = f"pullrequests/{comment.pull_request}/comments{which}"
        body = {"content": {"raw": comment.text}}
        return await self._call(method, comment.repository, path, urgent=False, json=body, not_after=not_after)

    async def _get(self, repository: Repository, path: str = "", home: Repository | None = None) -> Answer:
        return await self._call("GET", repository, path, home=home)

    def _pages(
        self, repository: Repository, path: str, kind: type[T], home: Repository | None = None
    ) -> AsyncIterator[T]:
        return self._caller.pages(self._accounts.of(repository, home), _below(repository, path), kind)

    async def _call(
        self,
        method: str,
        repository: Repository,
        path: str,
        *,
        home: Repository | None = None,
        urgent: bool = True,
        json: Any = None,
        not_after: float = math.inf,
    ) -> Answer:
        access, place = self._accounts.of(repository, home), _below(repository, path)
        return await self._caller.checked(access, method, place, urgent=urgent, json=json, not_after=not_after)


@contextmanager
def _missing(what: str) -> Iterator[None]:
    """Bitbucket says no more than 404, also of what it does not show to us."""
    try:
        yield
    except NotFound as error:
        raise NotFound(f"Bitbucket has no {what}, or does not show it to us", error.status) from error


def _below(repository: Repository, path: str) -> str:
    return f"repositories/{repository.full_name}{path and '/'}{path}"
