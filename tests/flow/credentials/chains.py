"""A token endpoint that answers when a test says so, and chains that ask it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.bitbucket.oauth import Grant, OAuth
from probo_bitbucket.flow.credentials.chain import TokenChain
from probo_bitbucket.store import Database

HOUR = 3600.0


class Endpoint(OAuth):
    """Keeps the refresh tokens that it was shown (empty for client credentials), and answers in their order."""

    def __init__(self, consumer: str = "") -> None:
        self.consumer = consumer
        self.shown: list[str] = []
        self._waiting: list[Deferred[Grant]] = []

    async def refresh(self, refresh_token: str) -> Grant:
        self.shown.append(refresh_token)
        answer: Deferred[Grant] = Deferred()
        self._waiting.append(answer)
        return await answer

    async def client_credentials(self) -> Grant:
        return await self.refresh("")

    def grant(self, access_token: str, refresh_token: str = "", life: float = 2 * HOUR) -> None:
        self._waiting.pop(0).callback(Grant(access_token, refresh_token, life, ("pullrequest",)))

    def refuse(self, error: Exception) -> None:
        self._waiting.pop(0).errback(error)


def chain_of(
    endpoint: OAuth,
    store: Database,
    clock: IReactorTime,
    refresh_token: str = "c4n4ry-R0",
    *,
    node: str = "node",
    name: str = "default",
    renewed: Any = lambda *_: None,
    origin: str = "",
) -> TokenChain:
    return TokenChain(name, refresh_token, endpoint, store, clock, node, Budget(clock, 1000), renewed, origin)
