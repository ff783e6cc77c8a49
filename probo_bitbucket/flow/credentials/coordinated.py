"""Coordinator mode: the projects are the coordinator's, and each brings the credentials of its repository."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from attrs import define, field

from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.errors import DeadCredentials
from probo_bitbucket.flow.credentials.access import Access
from probo_bitbucket.flow.credentials.accounts import NotOurs
from probo_bitbucket.flow.credentials.chain import TokenChain
from probo_bitbucket.flow.credentials.hand_on import PROJECT
from probo_bitbucket.flow.credentials.projects import NoProject
from probo_bitbucket.flow.credentials.wanting import Wanting
from probo_bitbucket.logs import hide
from probo_bitbucket.model import Build, Repository
from probo_bitbucket.probo.container_manager import ContainerManager
from probo_bitbucket.store import Database, Transaction, credentials
from probo_bitbucket.store.credentials import Chain

MakeChain = Callable[[str, Chain], TokenChain]  # of the name of a holder and its chain


@define(eq=False)
class ProjectAccounts:
    """Accounts whose refresh tokens the coordinator keeps. Projects that share a token share its chain.

    A project that is given new credentials leaves the chain to the others.
    """

    coordinator: ContainerManager
    store: Database
    make_chain: MakeChain
    budget: Budget
    wanting: Wanting
    _chains: dict[str, TokenChain] = field(factory=dict)  # by origin

    advice = "give the coordinator new credentials for the project"

    def of(self, repository: Repository, home: Repository | None = None) -> Access:
        """The access of its project: a fork belongs to that of its *home*."""
        owner = home or repository
        return ProjectAccess(f"project {owner.full_name}", self.budget, lambda: self._of_project(owner))

    async def by_token(self, text: str) -> tuple[Access, str]:
        """The chain that a refresh token belongs to. Raises NotOurs."""
        chain = await self.store.transact(self._owner, text)
        if chain is None:
            raise NotOurs("this refresh token is not ours")
        return chain, ""

    def _owner(self, tx: Transaction, token: str) -> TokenChain | None:
        chain = credentials.owner(tx, token)
        if chain is None:
            return None
        return self._chain(credentials.holder(tx, chain.origin, PROJECT) or "a former project", chain)

    async def admit(self, text: str, repository: Repository) -> None:
        chain, _ = await self.by_token(text)
        if chain is not await self._of_project(repository):
            raise NotOurs(f"this refresh token is not that of {repository.full_name}")

    def troubles(self, tx: Transaction) -> dict[str, str]:
        dead = {name: chain.dead for name, chain in credentials.all_held(tx, PROJECT)}
        return dead | {f"{PROJECT}{full_name}": "there are none" for full_name in self.wanting.names()}

    def chains(self, tx: Transaction) -> Sequence[TokenChain]:
        held = credentials.all_held(tx, PROJECT)
        return list({chain.origin: self._chain(name, chain) for name, chain in held}.values())

    async def _of_project(self, repository: Repository) -> TokenChain:
        project = await self.coordinator.project(repository.full_name)
        if project is None:
            raise NoProject(repository.full_name)
        chain = await self.adopt(project)
        if chain is None:
            reason = f"the coordinator has no credentials for {repository.full_name}"
            self.wanting.miss(repository.full_name, reason)
            raise DeadCredentials(reason)
        self.wanting.found(repository.full_name)
        return chain

    async def adopt(self, project: dict[str, Any]) -> TokenChain | None:
        """The chain of a project's refresh token, which may be asked for from now on; None where it has none."""
        auth = project.get("service_auth")
        token = auth.get("refreshToken") if isinstance(auth, dict) else None
        if not isinstance(token, str) or not token:
            return None
        name = f"{PROJECT}{project['id']}"
        hide(token, of=name)
        return self._chain(name, await self.store.transact(credentials.begin, name, token))

    def _chain(self, name: str, chain: Chain) -> TokenChain:
        if chain.origin not in self._chains:
            self._chains[chain.origin] = self.make_chain(name, chain)
        return self._chains[chain.origin]


@define(eq=False)
class ProjectAccess:
    """The access of one repository, found when it is needed."""

    name: str
    budget: Budget
    find: Callable[[], Awaitable[TokenChain]]
    _chain: TokenChain | None = None

    async def authorization(self) -> str:
        return f"Bearer {await self.access_token()}"

    async def access_token(self) -> str:
        if self._chain is None:
            self._chain = await self.find()
        return await self._chain.access_token()

    async def refused(self, authorization: str) -> bool:
        return self._chain is not None and await self._chain.refused(authorization)

    def accepted(self) -> None:
        if self._chain is not None:
            self._chain.accepted()


@define(eq=False)
class CoordinatorProjects:
    """The coordinator's documents go to it as they came. Their credentials are left out of what is stored."""

    coordinator: ContainerManager
    accounts: ProjectAccounts

    async def of(self, build: Build) -> dict[str, Any]:
        project = await self._current(build)
        return {name: value for name, value in project.items() if name != "service_auth"}

    async def with_service_auth(self, project: dict[str, Any], build: Build) -> dict[str, Any]:
        """The project as the coordinator has it now. Its refresh token is what we shall be asked with."""
        del project  # its credentials may have been renewed since
        current = await self._current(build)
        await self.accounts.adopt(current)
        return current

    async def _current(self, build: Build) -> dict[str, Any]:
        full_name = build.repository.full_name
        project = await self.coordinator.project(full_name)
        if project is None:
            raise NoProject(full_name)
        return project
