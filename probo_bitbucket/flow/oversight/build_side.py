"""Build side: whether those who build for us answer, the Container Manager or the coordinator in front of it."""

from __future__ import annotations

from attrs import define
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.errors import UpstreamError
from probo_bitbucket.flow.oversight.verdict import Verdict
from probo_bitbucket.probo.container_manager import ContainerManager

NOBODY = "probo-bitbucket-check"  # the name of a build and of a project that nobody has


@define(eq=False)
class BuildSide:
    """*coordinated*: whether *container_manager* is a coordinator. *url* is the setting `api.url`."""

    container_manager: ContainerManager
    coordinated: bool
    url: str
    clock: IReactorTime

    @property
    def subject(self) -> str:
        return "coordinator" if self.coordinated else "Container Manager"

    async def try_it(self) -> Verdict:
        """Ask about something that nobody has: that it answers is enough."""
        began = self.clock.seconds()
        try:
            if self.coordinated:
                await self.container_manager.project(f"{NOBODY}/{NOBODY}")
            else:
                await self.container_manager.find(NOBODY)
        except UpstreamError as error:
            advice = f"start it, or correct the setting api.url, which is {self.url}; look at its own log"
            return Verdict.wrong(self.subject, str(error), advice)
        return Verdict.ok(self.subject, f"answers, {self.clock.seconds() - began:.1f} s")
