"""Lookup: answers what the Container Manager, the Reaper and the web app ask of Bitbucket through us."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from probo_bitbucket.bitbucket.api import Bitbucket, PullRequestSummary
from probo_bitbucket.errors import DeadCredentials, Temporary
from probo_bitbucket.flow.credentials.access import Access
from probo_bitbucket.flow.credentials.accounts import Accounts
from probo_bitbucket.flow.statuses.announcement import Announcement
from probo_bitbucket.flow.work import log_fields
from probo_bitbucket.model import Build, Repository
from probo_bitbucket.store import Database, Transaction, builds

PATIENCE = 60.0  # seconds that the Container Manager may wait for a token; it has no timeout of its own
PAUSE = 2.0  # seconds between two tries


@define(eq=False)
class Lookup:
    """*wake* tells the reporter that there is a status."""

    store: Database
    clock: IReactorTime
    accounts: Accounts
    bitbucket: Bitbucket
    announcement: Announcement
    wake: Callable[[], None]

    log = Logger()

    async def access_token(self, refresh_token: str) -> str:
        """A token for whom a handle or refresh token of ours stands. Raises NotOurs, DeadCredentials or Temporary."""
        access, build_id = await self.accounts.by_token(refresh_token)
        try:
            return await self._patiently(access)
        except Temporary as error:
            await self._failed(access, build_id, str(error))
            raise

    async def _failed(self, access: Access, build_id: str, reason: str) -> None:
        """Tell the author and the operator; the operator also where the store takes nothing."""
        build: Build | None = None
        try:
            build = await self.store.transact(self._explain, build_id, f"No access token for the download: {reason}.")
        finally:
            fields = log_fields.of_build(build) if build else {"build": build_id or None}
            self.log.error(
                "No access token for the Container Manager",
                event="lookup.failed",
                account=access.name,
                reason=reason,
                **fields,
            )
        self.wake()

    async def _patiently(self, access: Access) -> str:
        deadline = self.clock.seconds() + PATIENCE
        while True:
            try:
                return await access.access_token()
            except DeadCredentials:
                raise
            except Temporary:
                if self.clock.seconds() + PAUSE > deadline:
                    raise
            await deferLater(self.clock, PAUSE)

    def _explain(self, tx: Transaction, build_id: str, reason: str) -> Build | None:
        """Tell the author what the Container Manager cannot know: all it sees is a download that fails.

        Returns the build that it was for, if it is known.
        """
        stored = builds.find(tx, build_id)
        if stored is None:
            return None
        builds.explain(tx, build_id, reason)
        self.announcement.failed(tx, stored.build, reason, self.clock.seconds())
        return stored.build

    async def pull_request(self, repository: Repository, number: int, token: str) -> PullRequestSummary:
        """What the Reaper asks. *repository* may be a fork: that is what a build's project names."""
        home = await self.store.transact(builds.home_of_pull_request, repository.full_name, number) or repository
        await self._check(token, home)
        return await self.bitbucket.pull_request(home, number)

    async def branches(self, repository: Repository, token: str) -> list[dict[str, Any]]:
        await self._check(token, repository)
        return await self.bitbucket.branches(repository)

    async def commits(self, repository: Repository, revision: str, token: str) -> list[dict[str, Any]]:
        await self._check(token, repository)
        return await self.bitbucket.commits(repository, revision)

    async def _check(self, token: str, repository: Repository) -> None:
        """A token that is given must be of the account that is used, which depends on the repository alone."""
        if token:
            await self.accounts.admit(token, repository)
