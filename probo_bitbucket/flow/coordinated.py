"""Coordinator mode: the projects are the coordinator's, and each brings the credentials of its repository."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.errors import DeadCredentials, Permanent, UpstreamError
from probo_bitbucket.flow.access import Access
from probo_bitbucket.flow.accounts import NotOurs
from probo_bitbucket.flow.chain import TokenChain
from probo_bitbucket.model import Build, Repository
from probo_bitbucket.probo.container_manager import ContainerManager
from probo_bitbucket.store import Database, Transaction, credentials
from probo_bitbucket.store.credentials import Chain

HAND_ON_TRIES = 60

MakeChain = Callable[[str, str], TokenChain]  # of a name and a refresh token


@define
class CoordinatorProjects:
    """The coordinator's documents go to it as they came."""

    coordinator: ContainerManager

    async def of(self, build: Build) -> dict[str, Any] | None:
        return await self.coordinator.project(build.repository.full_name)

    async def with_service_auth(self, project: dict[str, Any], build: Build) -> dict[str, Any]:
        """The project with its credentials as the coordinator has them now: they may have been renewed since."""
        current = await self.coordinator.project(build.repository.full_name)
        return project if current is None else current


@define
class ProjectAccounts:
    """Accounts whose refresh tokens the coordinator keeps. Projects that share a token share its chain."""

    coordinator: ContainerManager
    store: Database
    make_chain: MakeChain
    budget: Budget
    _chains: dict[str, TokenChain] = field(factory=dict)

    def of(self, repository: Repository) -> Access:
        return ProjectAccess(f"project {repository.full_name}", self.budget, lambda: self._of_project(repository))

    async def by_token(self, text: str) -> tuple[Access, str]:
        """The chain that a refresh token belongs to. Raises NotOurs."""
        owner = await self.store.transact(credentials.owner, text)
        if owner is None:
            raise NotOurs("this refresh token is not ours")
        return self._chain(owner, text), ""

    def troubles(self, tx: Transaction) -> dict[str, str]:
        return {chain.name: chain.trouble(tx) for chain in self._chains.values()}

    async def _of_project(self, repository: Repository) -> TokenChain:
        project = await self.coordinator.project(repository.full_name) or {}
        auth = project.get("service_auth")
        token = auth.get("refreshToken") if isinstance(auth, dict) else None
        if not isinstance(token, str) or not token:
            raise DeadCredentials(f"the coordinator has no credentials for {repository.full_name}")
        owner = await self.store.transact(credentials.owner, token)
        if owner is not None:
            return self._chain(owner, token)
        chain = self._chain(f"project {project.get('id')}", token)
        chain.begin_anew(token)  # an operator gave it to the coordinator
        return chain

    def _chain(self, name: str, token: str) -> TokenChain:
        chain = self._chains.get(name)
        if chain is None:
            chain = self._chains[name] = self.make_chain(name, token)
        return chain


@define
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
        """Nothing to note, as in the chain."""


@define
class HandOn:
    """Tells the coordinator of renewed tokens, so that every project that shares the chain has the newest.

    Does not hold up who asked for the token; tries again until the coordinator has it or refuses it.
    """

    coordinator: ContainerManager
    clock: IReactorTime
    _newest: dict[str, Chain] = field(factory=dict)
    _held: dict[str, str] = field(factory=dict, repr=False)  # the refresh tokens that the coordinator has

    log = Logger()

    def __call__(self, previous: Chain, newest: Chain) -> None:
        told = self._newest.get(newest.name)
        if told is None or told.refresh_token != previous.refresh_token:
            self._held[newest.name] = previous.refresh_token
        self._newest[newest.name] = newest
        Deferred.fromCoroutine(self._tell(newest))

    async def _tell(self, newest: Chain) -> None:
        for attempt in range(HAND_ON_TRIES):
            if self._newest[newest.name] is not newest:
                return  # a later pair is on its way, and must not be followed by this one
            try:
                await self.coordinator.store_tokens(
                    project_id=newest.name.removeprefix("project "),
                    token=newest.access_token,
                    refresh_token=newest.refresh_token,
                    previous=self._held[newest.name],  # not the last one, where that never arrived
                    created_at=newest.refreshed_at,
                    expires_in=newest.expires_at - newest.refreshed_at,
                )
            except UpstreamError as error:
                self.log.warn(
                    "The coordinator did not take the renewed tokens",
                    event="credentials.not_handed_on",
                    account=newest.name,
                    attempt=attempt + 1,
                    reason=str(error),
                )
                if isinstance(error, Permanent):
                    return
                await deferLater(self.clock, min(60.0, 2.0**attempt))
            else:
                self._held[newest.name] = newest.refresh_token
                return
