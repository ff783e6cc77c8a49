"""Environments: where they are taken down, at the Container Manager or by a coordinator."""

from __future__ import annotations

from typing import Protocol

from attrs import define
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.errors import Temporary
from probo_bitbucket.probo.container_manager import ContainerManager
from probo_bitbucket.store.pull_requests import KnownPullRequest
from probo_bitbucket.store.removals import Removal

COMING = 600.0  # seconds in which a container is made, or never: its image cannot be had


class Environments(Protocol):
    async def take_down(self, removal: Removal) -> bool:
        """Have the environment of a build no more. Returns False where somebody has pinned it."""

    async def left_by(self, closed: KnownPullRequest) -> list[str]:
        """The ids of the builds that a closed pull request has left behind."""


@define(eq=False)
class OwnEnvironments:
    """Direct mode: one request for each build."""

    container_manager: ContainerManager
    clock: IReactorTime

    async def take_down(self, removal: Removal) -> bool:
        report = await self.container_manager.find(removal.build_id)
        if report is None:
            return True
        if report.pinned:
            return False
        now = self.clock.seconds()
        if report.active and report.container is None and removal.waits_since(now) > now - COMING:
            raise Temporary("its container is still being made")  # to remove what is not there would end nothing
        await self.container_manager.remove(removal.build_id, removal.reason, removal.words, now)
        return True

    async def left_by(self, closed: KnownPullRequest) -> list[str]:
        """Also those that another handler had built. Never by the branch: another pull request may have the same."""
        listed = await self.container_manager.builds()
        return [build.id for build in listed if build.belongs_to(closed.repository, closed.number)]


@define(eq=False)
class CoordinatorEnvironments:
    """Coordinator mode: the coordinator is told of the end of a pull request, and does the rest."""

    coordinator: ContainerManager

    async def take_down(self, removal: Removal) -> bool:  # noqa: ARG002 (it goes with its pull request)
        return True

    async def left_by(self, closed: KnownPullRequest) -> list[str]:
        project = await self.coordinator.project(closed.repository.full_name)
        if project is not None:
            await self.coordinator.pull_request_closed(project["id"], closed.branch)
        return []
