"""The baseline: a handler that works as the Node handlers do, in Python.

A token is asked for before every call, nothing is written down, nothing is signed, and statuses are posted one after
the other by a single queue. `python -m benchmarks.node_like SETTINGS PORT`: the same settings file.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote
from uuid import uuid4

import treq
from klein import Klein
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredLock
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http import Request
from twisted.web.http_headers import Headers

from benchmarks.serving import serve

STATES = {"pending": "INPROGRESS", "running": "INPROGRESS", "success": "SUCCESSFUL", "error": "FAILED"}


class NodeLike:
    """Its routes, and what it does for them."""

    app = Klein()

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._client = HTTPClient(Agent(reactor, pool=HTTPConnectionPool(reactor)))
        self._queue = DeferredLock()

    async def _token(self) -> str:
        pair = f"{self._settings['bbClientKey']}:{self._settings['bbClientSecret']}"
        answer = await self._client.post(
            f"{self._settings['bbSiteUrl']}/site/oauth2/access_token",
            data={"grant_type": "client_credentials"},
            headers=Headers({"Authorization": [f"Basic {base64.b64encode(pair.encode()).decode()}"]}),
        )
        return cast(str, (await answer.json())["access_token"])

    async def _ask(self, method: str, path: str, document: Any = None) -> bytes:
        """What Bitbucket answers, with a new token for each question."""
        url = f"{self._settings['bbApiUrl']}/repositories/{path}"
        headers = Headers({"Authorization": [f"Bearer {await self._token()}"]})
        content = {} if document is None else {"json": document}
        return await treq.content(await self._client.request(method, url, headers=headers, **content))

    @app.route("/bitbucket-webhook", methods=["POST"])
    def webhook(self, request: Request) -> bytes:
        Deferred.fromCoroutine(self._build(json.loads(cast(Any, request).content.read())))
        return _answer(request, {"ok": True})

    async def _build(self, payload: Any) -> None:
        name, pull_request = payload["repository"]["full_name"], payload["pullrequest"]
        commit = json.loads(await self._ask("GET", f"{name}/commit/{pull_request['source']['commit']['hash']}"))
        await self._ask("GET", f"{name}/src/{commit['hash']}/.probo.yaml")
        build = {"id": str(uuid4()), "commit": {"ref": commit["hash"]}, "config": {"steps": []}}
        document = {"build": build, "project": {"slug": name}}
        await treq.content(await self._client.post(f"{self._settings['api']['url']}/startbuild", json=document))

    @app.route("/builds/<build_id>/status/<path:context>", methods=["POST"])
    async def status(self, request: Request, build_id: str, context: str) -> bytes:
        del build_id
        document = json.loads(cast(Any, request).content.read())
        return _answer(request, await self._queue.run(self._post, document, unquote(context)))

    def _post(self, document: Any, context: str) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._post_status(document["update"], document["build"], context))

    async def _post_status(self, update: Any, build: Any, context: str) -> Any:
        status = {
            "state": STATES[update["state"]],
            "description": update["description"],
            "key": context[:40],
            "url": update.get("target_url") or "http://example.com/",
        }
        path = f"{build['project']['slug']}/commit/{build['commit']['ref']}/statuses/build"
        await self._ask("POST", path, status)
        return status

    @app.route("/auth_lookup", methods=["GET"])
    async def auth_lookup(self, request: Request) -> bytes:
        return _answer(request, {"access_token": await self._token()})


def _answer(request: Request, document: Any) -> bytes:
    body = json.dumps(document).encode()
    request.setHeader("Content-Type", "application/json")
    request.setHeader("Content-Length", str(len(body)))
    return body


if __name__ == "__main__":
    settings, port = sys.argv[1:]
    serve(NodeLike(json.loads(Path(settings).read_bytes())).app.resource(), int(port))
