"""A Probo coordinator to play with: keeps the projects and hands builds on to a Container Manager."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from attrs import frozen
from klein import Klein
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from probo_bitbucket.sandbox.answers import answer_json
from probo_bitbucket.sandbox.build_machine import BuildMachine
from probo_bitbucket.sandbox.build_plan import Nothing
from probo_bitbucket.sandbox.probo_routes import Refused, answer_errors, parameters, posted_mapping
from probo_bitbucket.sandbox.server import Server


@frozen
class NewTokens:
    """Tokens as a handler told of them."""

    project_id: str
    token: str
    refresh_token: str
    created_at: int  # seconds since the epoch
    expires_in: int  # seconds
    previous_refresh_token: str | None


class Coordinator:
    """Listens on 127.0.0.1 and wants *token* with every request.

    *projects* are whole documents, by `owner/repository`; their `service_auth` follows the tokens that are posted.
    """

    app = Klein()

    def __init__(
        self,
        clock: IReactorTime,
        machine: BuildMachine,
        *,
        token: str,
        projects: Mapping[str, dict[str, Any]],
        null_where_unknown: bool = False,
    ) -> None:
        self.projects = dict(projects)
        self.tokens: list[NewTokens] = []
        self.closed: list[tuple[str, str]] = []  # project and branch
        self._machine = machine
        self._authorization = f"Bearer {token}".encode()
        self._null_where_unknown = null_where_unknown
        self.server = Server(clock, self.app.resource())
        self.faults = self.server.faults
        self.requests = self.server.requests

    async def listen(self, reactor: Any, port: int = 0) -> str:
        """Start to listen; return the URL."""
        return await self.server.listen(reactor, port)

    async def stop(self) -> None:
        """Stop listening; when it is done, nothing is left in the reactor."""
        await self.server.stop()

    @app.route("/projects", methods=["GET"])
    def find_project(self, request: Request) -> bytes:
        self._check(request)
        asked = parameters(request)
        if asked.get("service") != "bitbucket" or asked.get("single") != "true":
            raise Refused(400, {"error": "service=bitbucket and single=true are what this coordinator knows"})
        project = self.projects.get(asked.get("slug", ""))
        if project is None and not self._null_where_unknown:
            raise Refused(404, {"error": "no such project"})
        return answer_json(request, project)

    @app.route("/startbuild", methods=["POST"])
    @app.route("/start-build", methods=["POST"])
    def start_build(self, request: Request) -> bytes:
        self._check(request)
        document = posted_mapping(request)
        if not isinstance(document.get("build"), dict):
            raise Refused(400, {"error": "no build"})
        return answer_json(request, self._machine.start(document["build"], document.get("project", Nothing.UNDEFINED)))

    @app.route("/projects/tokens", methods=["POST"])
    def take_tokens(self, request: Request) -> bytes:
        """The tokens are in the headers. With a previous refresh token, every project that has it gets the new one."""
        self._check(request)
        tokens = _new_tokens(request)
        meant = [project for project in self.projects.values() if _concerns(tokens, project)]
        if not meant:
            raise Refused(404, {"error": "no such project"})
        self.tokens.append(tokens)
        for project in meant:
            auth = project.get("service_auth", {})
            project["service_auth"] = {**auth, "token": tokens.token, "refreshToken": tokens.refresh_token}
        return answer_json(request, {"updated": len(meant)})

    @app.route("/pr-closed", methods=["POST"])
    def close_pull_request(self, request: Request) -> bytes:
        self._check(request)
        document = posted_mapping(request)
        if not document.get("projectId") or not document.get("branchName"):
            raise Refused(400, {"error": "projectId and branchName are needed"})
        self.closed.append((document["projectId"], document["branchName"]))
        return answer_json(request, {})

    def _check(self, request: Request) -> None:
        authorization = (request.getHeader("Authorization") or "").encode("latin-1")
        if not hmac.compare_digest(authorization, self._authorization):
            raise Refused(401, {"error": "Unauthorized"})


answer_errors(Coordinator.app)


def _new_tokens(request: Request) -> NewTokens:
    names = ("projectid", "providertype", "token", "refreshtoken", "tokencreatedat", "tokenexpiresin")
    header = {name: request.getHeader(name) or "" for name in names}
    missing = [name for name, value in header.items() if not value]
    if missing or header["providertype"] != "bitbucket":
        raise Refused(400, {"error": f"missing headers: {', '.join(missing) or 'providertype: bitbucket'}"})
    if not (header["tokencreatedat"].isdecimal() and header["tokenexpiresin"].isdecimal()):
        raise Refused(400, {"error": "tokencreatedat and tokenexpiresin are whole seconds"})
    return NewTokens(
        project_id=header["projectid"],
        token=header["token"],
        refresh_token=header["refreshtoken"],
        created_at=int(header["tokencreatedat"]),
        expires_in=int(header["tokenexpiresin"]),
        previous_refresh_token=request.getHeader("previousrefreshtoken"),
    )


def _concerns(tokens: NewTokens, project: Mapping[str, Any]) -> bool:
    previous = tokens.previous_refresh_token
    shares_chain = previous is not None and project.get("service_auth", {}).get("refreshToken") == previous
    return project["id"] == tokens.project_id or shares_chain
