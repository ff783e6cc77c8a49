"""Requests for a build that come from the web app, not from a webhook: the caller waits for the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from probo_bitbucket.credentials import covers
from probo_bitbucket.flow.builder import Builder, NotBuilt
from probo_bitbucket.flow.schedule import FIRST
from probo_bitbucket.flow.worker import STORE_PAUSE
from probo_bitbucket.model import Build, BuildKind, BuildState, Repository, check_hash
from probo_bitbucket.store import LEASE, Database, Effort, Lease, StoreUnavailable, builds
from probo_bitbucket.store.builds import StoredBuild


class NotWanted(Exception):
    """The settings name the repositories that are built, and this is none of them."""


@define
class HashRequests:
    """Starts builds of type `hash`."""

    store: Database
    clock: IReactorTime
    builder: Builder
    repositories: Sequence[str]  # globs
    node: str

    async def start(self, slug: str, uuid: str, sha: str) -> Any:
        """Build commit *sha* of the repository *slug*; return the Container Manager's answer. *uuid* may be empty.

        Raises InvalidName, NotWanted or UpstreamError. What may heal is tried again later all the same.
        """
        now = self.clock.seconds()
        repository = await self._repository(slug, uuid)
        if not covers(self.repositories, repository.full_name):
            raise NotWanted(f"{repository.full_name} is not among the `repositories` of the settings")
        build = Build(str(uuid4()), BuildKind.HASH, repository, repository, check_hash(sha), sha, now)
        try:
            return await self.builder.start(await self.store.transact(builds.request_now, build, Lease(self.node, now)))
        except NotBuilt:
            raise
        except Exception as error:  # whatever it is, also that the caller hung up while the build was written down
            Deferred.fromCoroutine(self._put_back(build, now, str(error)))
            raise

    async def _put_back(self, build: Build, now: float, error: str) -> None:
        """Let the worker have the build. It would stay in this node's hands, because a node renews all its leases.

        A store that is away for a LEASE lets all leases end.
        """
        job = StoredBuild(build, BuildState.QUEUED, "", "", Effort(0, None), self.node)
        for _ in range(round(LEASE / STORE_PAUSE)):
            try:
                await self.builder.postpone(job, now, now + FIRST, error)
            except StoreUnavailable:
                await deferLater(self.clock, STORE_PAUSE)
            else:
                return

    async def _repository(self, slug: str, uuid: str) -> Repository:
        """With its uuid where anybody knows it, so that the build belongs to the same project as all others."""
        repository = Repository.parse(slug, uuid)
        if uuid:
            return repository
        return await self.store.transact(builds.repository_named, repository.full_name) or repository
