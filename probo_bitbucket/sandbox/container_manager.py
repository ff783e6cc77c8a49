"""A Container Manager to play with: its routes, which are as easily hurt as those of the real one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from probo_bitbucket.sandbox.answers import answer_json
from probo_bitbucket.sandbox.build_machine import BuildMachine
from probo_bitbucket.sandbox.build_plan import Nothing
from probo_bitbucket.sandbox.build_run import Fatal, Setting
from probo_bitbucket.sandbox.outage import with_page
from probo_bitbucket.sandbox.probo_routes import answer_errors, on_error, parameters, posted_mapping
from probo_bitbucket.sandbox.server import Recorded, Server


class NoBuild(Exception):
    """A request for a build without one: sprint 7 ends at it, v4.5.3 never answers."""


class ContainerManager(BuildMachine):
    """Listens on 127.0.0.1. *setting* are the keywords of Setting.

    Where the real process would end, `died` says why and the port is closed. Where the real one would wait for ever,
    `stuck` says so.
    """

    app = Klein()

    def __init__(
        self, clock: IReactorTime, *, on_event: Callable[[str, str], None] | None = None, **setting: Any
    ) -> None:
        super().__init__(clock, Setting(**setting), on_event)
        self.server = Server(clock, with_page(self, self.app.resource()))
        self.faults = self.server.faults
        self.url = ""
        self._dying: Deferred[None] | None = None

    @property
    def requests(self) -> Sequence[Recorded]:
        """What it was asked."""
        return self.server.requests

    async def listen(self, reactor: Any, port: int = 0) -> str:
        """Start to listen; return the URL. May be called again after `stop`."""
        self.open(reactor)
        self.url = await self.server.listen(reactor, port)
        return self.url

    async def stop(self) -> None:
        """Stop listening and break off every build; when it is done, nothing is left in the reactor."""
        if self._dying is not None:
            await self._dying
        await self.server.stop()
        await self.close()

    def die(self, why: str) -> None:
        super().die(why)
        if self._dying is None:
            self._dying = Deferred.fromCoroutine(self.server.stop())

    @app.route("/startbuild", methods=["POST"])
    @app.route("/start-build", methods=["POST"])
    def start_build(self, request: Request) -> bytes:
        if _content_type(request) != "application/json" or request.getHeader("Content-Length") in (None, "0"):
            raise NoBuild("there is no JSON body")
        document = posted_mapping(request)
        build = document.get("build")
        if build is None:
            raise NoBuild("the body has no build")
        return answer_json(
            request, self.start(build if isinstance(build, dict) else {}, document.get("project", Nothing.UNDEFINED))
        )

    @app.route("/builds", methods=["GET"])
    def list_builds(self, request: Request) -> bytes:
        everything = parameters(request).get("all") == "true"
        builds = [_with_state(build) for _, build in sorted(self.builds.items())]
        shown = [build for build in builds if everything or _has_container(build)]
        return answer_json(request, shown)

    @app.route("/builds/<build_id>", methods=["GET"])
    def show_build(self, request: Request, build_id: str) -> bytes:
        return answer_json(request, _with_state(self.find(build_id)))

    @app.route("/builds/<build_id>", methods=["POST"])
    def start_build_again(self, request: Request, build_id: str) -> bytes:
        return answer_json(request, self.start_again(build_id))

    @app.route("/builds/<build_id>/pin", methods=["PUT"])
    def pin_build(self, request: Request, build_id: str) -> bytes:
        return answer_json(request, self.pin(build_id, True))

    @app.route("/builds/<build_id>/unpin", methods=["PUT"])
    def unpin_build(self, request: Request, build_id: str) -> bytes:
        return answer_json(request, self.pin(build_id, False))

    @app.route("/builds/<build_id>", methods=["DELETE"])
    def remove_build(self, request: Request, build_id: str) -> bytes:
        asked = parameters(request)
        names = {"reason": "reapedReason", "reasonText": "reapedReasonText", "reapedDate": "reapedDate"}
        reaped = {name: asked[parameter] for parameter, name in names.items() if parameter in asked}
        return answer_json(request, self.remove(build_id, asked.get("force") == "true", reaped))

    @app.route("/containers", methods=["GET"])
    def list_containers(self, request: Request) -> bytes:
        return answer_json(request, self.containers.document)

    def leave_unanswered(self, request: Request, error: NoBuild) -> Deferred[bytes]:
        """Do what the real one does about a request that it cannot cope with."""
        why = f"{request.method.decode()} {request.uri.decode('latin-1')}: {error}"
        if self.setting.variant == "v4.5.3":
            self.hang(why)
        else:
            self.die(why)
        return Deferred()

    def end(self, _request: Request, error: Fatal) -> Deferred[bytes]:
        """End the process on account of a request."""
        self.die(str(error))
        return Deferred()


answer_errors(ContainerManager.app)
on_error(ContainerManager.app, NoBuild, ContainerManager.leave_unanswered)
on_error(ContainerManager.app, Fatal, ContainerManager.end)


def _content_type(request: Request) -> str:
    return (request.getHeader("Content-Type") or "").partition(";")[0].strip().lower()


def _with_state(build: dict[str, Any]) -> dict[str, Any]:
    """Return the build with the state of its container, which is not in it while it runs."""
    return {**build, "container": {"state": "running", **build["container"]}} if "container" in build else build


def _has_container(build: dict[str, Any]) -> bool:
    return "container" in build and build["container"]["state"] != "deleted"
