"""Projects: what the Container Manager calls a repository, made up by us or, in coordinator mode, asked for."""

from __future__ import annotations

from typing import Any, Protocol

from attrs import define, field

from probo_bitbucket.errors import Permanent
from probo_bitbucket.flow.credentials.access import Access
from probo_bitbucket.flow.credentials.accounts import OwnAccounts
from probo_bitbucket.flow.credentials.chain import TokenChain
from probo_bitbucket.model import Build
from probo_bitbucket.probo import documents
from probo_bitbucket.store import Database, projects


class NoProject(Permanent):
    """The coordinator has no project for a repository."""

    def __init__(self, full_name: str) -> None:
        super().__init__(f"the coordinator has no project for {full_name}", 404)


class Projects(Protocol):
    async def of(self, build: Build) -> dict[str, Any]:
        """The project document of a build, without credentials. Raises NoProject."""

    async def with_service_auth(self, project: dict[str, Any], build: Build) -> dict[str, Any]:
        """The project with what the Container Manager sends back to us when it wants a token. Raises NoProject."""


@define(eq=False)
class OwnProjects:
    """Direct mode: every repository is a project. With *hand_out_tokens* the real tokens leave the house."""

    store: Database
    accounts: OwnAccounts
    hand_out_tokens: bool
    _ids: dict[str, str] = field(factory=dict, init=False)  # by identity: repositories keep them for good

    async def of(self, build: Build) -> dict[str, Any]:
        identity = build.repository.identity
        if identity not in self._ids:
            self._ids[identity] = await self.store.transact(projects.project_id, build.repository)
        return documents.project(build.repository, build.source, self._ids[identity])

    async def with_service_auth(self, project: dict[str, Any], build: Build) -> dict[str, Any]:
        access = self.accounts.of(build.repository)
        return {**project, "service_auth": documents.service_auth(*await self._pair(access, build))}

    async def _pair(self, access: Access, build: Build) -> tuple[str, str]:
        handle = await self.accounts.handle(build)
        if self.hand_out_tokens and isinstance(access, TokenChain):
            chain = await access.newest()
            return chain.access_token, chain.refresh_token or handle  # client credentials come without one
        return handle, handle
