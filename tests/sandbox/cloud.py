"""A simulated Bitbucket on a real socket, and a client of it."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import treq
from attrs import frozen
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent
from twisted.web.http_headers import Headers

from probo_bitbucket.sandbox.bitbucket import BitbucketCloud

TOKEN = "c4n4ry-t"


@frozen
class Reply:
    status: int
    headers: Headers
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.document["error"]["message"])


class CloudTestCase(TestCase):
    """Has a cloud with a repository acme/site, and an access token TOKEN for everything."""

    timeout = 20

    async def setUp(self) -> None:  # type: ignore[override]
        self.clock = Clock()
        self.clock.advance(1_800_000_000)
        self.cloud = BitbucketCloud(self.clock)
        await self.cloud.listen(reactor)
        self.site = self.cloud.add_repository("acme/site", {".probo.yaml": b"steps: []\n"}, name="The Site")
        self.cloud.credentials.add_access_token(TOKEN, ["pullrequest", "webhook", "account"], "acme")

    async def tearDown(self) -> None:  # type: ignore[override]
        await self.cloud.stop()

    async def request(self, method: str, url: str, token: str | None = TOKEN, **options: Any) -> Reply:
        """Send a request to *url*, that of the API below `/2.0` unless it is whole."""
        headers = options.pop("headers", {})
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        where = url if url.startswith("http") else f"{self.cloud.api_url}{url}"
        response = await treq.request(
            method, where, headers=headers, agent=Agent(reactor), allow_redirects=False, **options
        )
        return Reply(response.code, response.headers, await response.content())

    async def get(self, url: str, token: str | None = TOKEN, **options: Any) -> Reply:
        return await self.request("GET", url, token, **options)

    async def post(self, url: str, document: Any, token: str | None = TOKEN) -> Reply:
        return await self.request("POST", url, token, json=document)


def basic(user: str, password: str) -> str:
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"
