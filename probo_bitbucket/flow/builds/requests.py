"""Requests for a build that come from the web app, not from a webhook: the caller waits for the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from attrs import define
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket import origins
from probo_bitbucket.credentials import covers
from probo_bitbucket.flow.builds.builder import Builder
from probo_bitbucket.flow.work.leases import Leases
from probo_bitbucket.model import Build, BuildKind, Repository, check_hash
from probo_bitbucket.store import Database, builds


class NotWanted(Exception):
    """The settings name the repositories that are built, and this is none of them."""


@define(eq=False)
class HashRequests:
    """Starts builds of type `hash`."""

    store: Database
    clock: IReactorTime
    builder: Builder
    repositories: Sequence[str]  # globs
    leases: Leases

    async def start(self, slug: str, uuid: str, sha: str) -> Any:
        """Build commit *sha* of the repository *slug*; return the Container Manager's answer. *uuid* may be empty.

        Raises InvalidName, NotWanted or UpstreamError. What may heal is tried again later all the same.
        """
        now = self.clock.seconds()
        repository = await self.store.transact(builds.identified, Repository.parse(slug, uuid))
        if not covers(self.repositories, repository.full_name):
            raise NotWanted(f"{repository.full_name} is not among the `repositories` of the settings")
        id, commit = str(uuid4()), check_hash(sha)
        build = Build(id, BuildKind.HASH, repository, repository, commit, sha, now, origin=origins.WEB_APP)
        lease = self.leases.new()
        self.leases.hold(lease)
        try:
            return await self.builder.start(await self.store.transact(builds.request_now, build, lease))
        finally:
            self.leases.let_go(lease)  # where it is not done, the worker has it when the lease ends
