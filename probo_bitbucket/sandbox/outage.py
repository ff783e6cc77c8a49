"""The page of the simulated Container Manager, where a person takes it down and brings it up again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from probo_bitbucket.sandbox.answers import Refused, form
from probo_bitbucket.sandbox.faults import Cut, Fault
from probo_bitbucket.sandbox.server import Root
from probo_bitbucket.sandbox.templates import add_assets, go_to, show, show_refusal

if TYPE_CHECKING:
    from probo_bitbucket.sandbox.container_manager import ContainerManager

OUTAGE = Fault(Cut(), path=r"(?!/(sandbox\.\w+)?$).*")  # of all but the page


def with_page(manager: ContainerManager, routes: IResource) -> Resource:
    """The *routes* of the manager, and its page at `/`."""
    root = Root(routes)
    add_assets(root)
    root.putChild(b"", _Page(manager))
    return root


class _Page(Resource):
    def __init__(self, manager: ContainerManager) -> None:
        super().__init__()
        self._manager = manager

    def render_GET(self, request: Request) -> bytes:
        builds = list(reversed(self._manager.builds.values()))
        return show(request, "container_manager.html", down=OUTAGE in self._manager.faults, builds=builds)

    def render_POST(self, request: Request) -> int:
        Deferred.fromCoroutine(self._act(request))
        return NOT_DONE_YET

    async def _act(self, request: Request) -> None:
        try:
            action = form(request).get("action")
        except Refused as refused:
            request.write(show_refusal(request, refused))
        else:
            await self._change(action == "down")
            go_to(request, "/")
        request.finish()

    async def _change(self, down: bool) -> None:
        """What is being built when it goes down is lost."""
        faults = self._manager.faults
        if down and OUTAGE not in faults:
            faults.add(OUTAGE)
            await self._manager.close()
        elif not down:
            faults.remove(OUTAGE)
