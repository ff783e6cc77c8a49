"""Probo's handler for another provider, as far as ours meets it: it takes its own updates only, and keeps them."""

from __future__ import annotations

import json
from typing import Any

from klein import Klein
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from probo_bitbucket.sandbox.answers import answer_json
from probo_bitbucket.sandbox.probo_routes import Refused, answer_errors, parameters, posted_mapping
from probo_bitbucket.sandbox.server import Recorded, Server


class OtherHandler:
    """Listens on 127.0.0.1, below a path with the name of its *provider*. *pull_requests* are states, by number."""

    app = Klein()

    def __init__(self, clock: IReactorTime, provider: str) -> None:
        self.provider = provider
        self.server = Server(clock, self.app.resource())
        self.faults = self.server.faults
        self.pull_requests = {7: "open"}

    async def listen(self, reactor: Any, port: int = 0) -> str:
        """Start to listen; return the URL. May be called again after `stop`."""
        return f"{await self.server.listen(reactor, port)}/{self.provider}"

    @property
    def updates(self) -> list[Recorded]:
        """The updates that it took, in the order in which they came."""
        return [each for each in self.server.requests if each.method == "POST" and each.status == 200]

    def states(self, context: str) -> list[str]:
        """The states that it took of one context, in the order in which they came."""
        updates = [json.loads(each.body)["update"] for each in self.updates]
        return [update["state"] for update in updates if update["context"] == context]

    @app.route("/<provider>/update", methods=["POST"])
    @app.route("/<provider>/builds/<path:path>", methods=["POST"])
    def take_update(self, request: Request, provider: str, path: str = "") -> bytes:
        del path
        self._check(provider)
        if request.getHeader("Content-Type") != "application/json":
            raise Refused(415, {"code": "UnsupportedMediaTypeError"})
        document = posted_mapping(request)
        self._check(document["build"]["project"]["provider"]["type"])
        return answer_json(request, {"state": document["update"]["state"], "id": 1})

    @app.route("/<provider>/auth_lookup", methods=["GET"])
    def look_up(self, request: Request, provider: str) -> bytes:
        self._check(provider)
        return answer_json(request, {"access_token": f"for {parameters(request)['refreshToken']}"})

    @app.route("/<provider>/pull-request/<owner>/<repo>/<int:number>", methods=["GET"])
    def show_pull_request(self, request: Request, provider: str, owner: str, repo: str, number: int) -> bytes:
        self._check(provider)
        if number not in self.pull_requests:
            raise Refused(404, {"error": f"{owner}/{repo} has no {number}"})
        return answer_json(request, {"id": number, "number": number, "state": self.pull_requests[number]})

    def _check(self, provider: str) -> None:
        if provider != self.provider:
            raise Refused(500, {"error": f"this is none of {self.provider}'s"})


answer_errors(OtherHandler.app)
