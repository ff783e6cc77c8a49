"""Webhooks of repositories and workspaces, as Bitbucket's REST API has them.

https://developer.atlassian.com/cloud/bitbucket/rest/api-group-repositories/#api-repositories-workspace-repo-slug-hooks-get
"""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import quote

import msgspec
from attrs import frozen

from probo_bitbucket.bitbucket.caller import Access, Caller, decode
from probo_bitbucket.errors import NotFound
from probo_bitbucket.model import InvalidName, Repository, check_slug

# The events that a webhook must have, with the names that Bitbucket's page of triggers gives them. `updated` also
# comes with new commits. `commit_status_created` is what tells that a webhook works.
EVENTS = {
    "pullrequest:created": "Pull request: Created",
    "pullrequest:updated": "Pull request: Updated",
    "pullrequest:fulfilled": "Pull request: Merged",
    "pullrequest:rejected": "Pull request: Declined",
    "pullrequest:comment_created": "Pull request: Comment created",
    "repo:push": "Repository: Push",
    "repo:commit_status_created": "Repository: Build status created",
}
DESCRIPTION = "Probo preview environments"


@frozen
class Place:
    """Where a webhook is: a repository, or, without a slug, a workspace with all its repositories."""

    workspace: str
    slug: str = ""

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read `workspace` or `workspace/slug`. Raises InvalidName."""
        if "://" in text:
            raise InvalidName(
                f"{text[:80]!r} is an address; enter workspace/repository or workspace, such as acme/site"
            )
        workspace, slash, slug = text.partition("/")
        return cls(check_slug(workspace), check_slug(slug) if slash else "")

    def __str__(self) -> str:
        return f"{self.workspace}/{self.slug}" if self.slug else self.workspace

    @property
    def representative(self) -> Repository:
        """Tells whose credentials serve the place: of a workspace, those that cover all of it."""
        return Repository(self.workspace, self.slug or "*")

    @property
    def path(self) -> str:
        return f"repositories/{self}/hooks" if self.slug else f"workspaces/{self}/hooks"


@frozen
class Hook:
    """A webhook as Bitbucket shows it: without its secret."""

    uuid: str  # without braces, as in X-Hook-UUID
    url: str
    description: str
    active: bool
    events: frozenset[str]
    secret_set: bool


class _Hook(msgspec.Struct):
    uuid: str
    url: str
    description: str | None = None
    active: bool = True
    events: list[str] = []
    secret_set: bool = False


class Accounts(Protocol):
    """Knows whose credentials a repository is reached with."""

    def of(self, repository: Repository) -> Access: ...


@frozen
class Webhooks:
    """The calls. Every one raises a kind of UpstreamError: ScopeMissing where the account may not see webhooks."""

    caller: Caller
    accounts: Accounts

    async def of(self, place: Place) -> list[Hook]:
        """All webhooks of a place, whoever they are for."""
        access = self.accounts.of(place.representative)
        return [_hook(wire) async for wire in self.caller.pages(access, place.path, _Hook)]

    async def create(self, place: Place, url: str, secret: str) -> Hook:
        return await self._write("POST", place, place.path, url, secret)

    async def update(self, place: Place, uuid: str, url: str, secret: str) -> Hook:
        """Make a webhook what `create` would make. Raises NotFound where it is not there any more."""
        return await self._write("PUT", place, _one(place, uuid), url, secret)

    async def delete(self, place: Place, uuid: str) -> None:
        """Remove a webhook; one that is not there any more is no error."""
        access = self.accounts.of(place.representative)
        try:
            await self.caller.checked(access, "DELETE", _one(place, uuid))
        except NotFound:
            return

    async def _write(self, method: str, place: Place, path: str, url: str, secret: str) -> Hook:
        body: dict[str, Any] = {
            "description": DESCRIPTION,
            "url": url,
            "active": True,
            "secret": secret,
            "events": list(EVENTS),
        }
        access = self.accounts.of(place.representative)
        return _hook(decode(await self.caller.checked(access, method, path, json=body), _Hook))


def _one(place: Place, uuid: str) -> str:
    return f"{place.path}/{quote(f'{{{uuid}}}', safe='')}"


def _hook(wire: _Hook) -> Hook:
    return Hook(
        wire.uuid.strip("{}"), wire.url, wire.description or "", wire.active, frozenset(wire.events), wire.secret_set
    )
