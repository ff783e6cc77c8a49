"""An HTTP client without a network: it answers what a test says, and keeps what it was asked."""

from __future__ import annotations

import json
from typing import Any, cast
from urllib.parse import parse_qs

from attrs import define, field, frozen
from treq.client import HTTPClient
from treq.testing import StringStubbingResource, StubTreq


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
        return cast(HTTPClient, StubTreq(StringStubbingResource(self._answer)))

    def _answer(
        self, method: bytes, url: str, _: Any, headers: dict[bytes, list[bytes]], body: bytes
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        names = {name.decode().lower(): [value.decode() for value in values] for name, values in headers.items()}
        self.asked.append(Asked(method.decode(), url, names, body))
        status, answered, content = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return status, {name.encode(): value.encode() for name, value in answered.items()}, content
