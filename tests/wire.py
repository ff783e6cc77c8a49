"""An HTTP client without a network: it answers what a test says, and keeps what it was asked."""

from __future__ import annotations

import json
from typing import IO, Any, cast
from urllib.parse import parse_qs

from attrs import define, field, frozen
from treq.client import HTTPClient
from treq.testing import StubTreq
from twisted.web.resource import Resource
from twisted.web.server import Request

from tests.canary_watch import watch


@frozen
class Asked:
    """A request as it came out of the client."""

    method: str
    url: str
    headers: dict[str, list[str]]
    body: bytes

    @property
    def authorization(self) -> str:
        return self.headers["authorization"][0]

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


@define
class Wire:
    """Gives the *answers* one after the other, the last one for ever."""

    answers: list[tuple[int, dict[str, str], bytes]] = field(factory=list)
    asked: list[Asked] = field(factory=list)

    def say(self, status: int, body: Any = b"", **headers: str) -> None:
        """Add an answer. What is not bytes is sent as JSON; `retry_after` is the header Retry-After."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, content))

    @property
    def client(self) -> HTTPClient:
        return cast(HTTPClient, StubTreq(_Answers(self)))

    def answer(self, request: Request) -> bytes:
        names = {name.decode().lower(): values for name, values in request.requestHeaders.getAllRawHeaders()}
        headers = {name: [value.decode() for value in values] for name, values in names.items()}
        scheme = "https" if request.isSecure() else "http"
        url = f"{scheme}://{headers['host'][0]}{request.uri.decode()}"
        asked = Asked(request.method.decode(), url, headers, cast(IO[bytes], request.content).read())
        watch.asked(asked.method, url, "", {name: ",".join(values) for name, values in headers.items()}, asked.body)
        self.asked.append(asked)
        status, answered, content = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        request.setResponseCode(status)
        for name, value in answered.items():
            request.setHeader(name.encode(), value.encode())
        return content


class _Answers(Resource):
    """Every address of every server."""

    isLeaf = True

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    def render(self, request: Request) -> bytes:
        return self._wire.answer(request)
