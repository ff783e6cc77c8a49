"""Access: the right to call Bitbucket as one account, by credentials that are never renewed, or by none."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Protocol

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.credentials import AccessToken, ApiToken
from probo_bitbucket.errors import DeadCredentials
from probo_bitbucket.logs import hide
from probo_bitbucket.store import Transaction

PROBE = 30.0  # seconds after which credentials that Bitbucket refused are shown to it once more

_log = Logger()


class Access(Protocol):
    """The right to call Bitbucket as one account."""

    name: str
    budget: Budget

    async def authorization(self) -> str:
        """The value of an Authorization header. Raises DeadCredentials or Temporary."""

    async def access_token(self) -> str:
        """A token for `Authorization: Bearer`. Raises DeadCredentials where the account has none, or Temporary."""

    async def refused(self, authorization: str) -> bool:
        """Bitbucket answered 401 to this value. Returns whether another one can be had; may raise DeadCredentials."""

    def accepted(self) -> None:
        """Bitbucket let us in: it did what it was asked, or looked and found nothing."""


class OwnAccess(Access, Protocol):
    """By credentials that this handler was given itself."""

    def trouble(self, tx: Transaction) -> str:
        """Why the credentials do not work, as far as it is known; empty where they do."""


@define(eq=False)
class FixedAccess:
    """Credentials that are never renewed: an access token (Bearer) or a user's API token (Basic).

    While Bitbucket refuses them, one call in PROBE seconds finds out whether it takes them again.
    """

    name: str
    credentials: AccessToken | ApiToken
    budget: Budget
    clock: IReactorTime
    _dead: str = ""
    _probe_at: float = 0.0

    def __attrs_post_init__(self) -> None:
        if isinstance(self.credentials, ApiToken):
            hide(_packed(self.credentials))

    async def authorization(self) -> str:
        if self._dead:
            self._probe()
        if isinstance(self.credentials, AccessToken):
            return f"Bearer {self.credentials.token}"
        return f"Basic {_packed(self.credentials)}"

    def _probe(self) -> None:
        now = self.clock.seconds()
        if now < self._probe_at:
            raise DeadCredentials(self._dead)
        self._probe_at = now + PROBE

    async def access_token(self) -> str:
        if isinstance(self.credentials, ApiToken):
            raise DeadCredentials("an API token cannot be used for the download, which needs a Bearer token")
        if self._dead:
            raise DeadCredentials(self._dead)
        return self.credentials.token

    async def refused(self, authorization: str) -> bool:
        del authorization  # there is no other
        self._probe_at = self.clock.seconds() + PROBE
        if not self._dead:
            kind = "access token" if isinstance(self.credentials, AccessToken) else "API token"
            self._dead = f"Bitbucket answered 401 to the {kind}"
            tell_dead(self.name, self._dead)
        raise DeadCredentials(self._dead)

    def accepted(self) -> None:
        if self._dead:
            self._dead = ""
            _log.info("Bitbucket takes the credentials again", event="credentials.alive", account=self.name)

    def trouble(self, tx: Transaction) -> str:
        del tx  # each node finds out by itself
        return self._dead


def _packed(credentials: ApiToken) -> str:
    return base64.b64encode(f"{credentials.email}:{credentials.token}".encode()).decode()


def tell_dead(account: str, reason: str) -> None:
    """Say it once: it is an operator who can do something about it."""
    _log.critical(
        "Bitbucket refuses these credentials: all work of the account waits for new ones",
        event="credentials.dead",
        account=account,
        reason=reason,
    )


@define(eq=False)
class NoAccess:
    """Stands for credentials that nobody gave yet. *missed* is told when they were wanted."""

    name: str
    budget: Budget
    missed: Callable[[], None] = lambda: None

    async def authorization(self) -> str:
        self.missed()
        raise DeadCredentials(f"there are no credentials for {self.name}")

    access_token = authorization

    async def refused(self, authorization: str) -> bool:
        del authorization  # there is no other
        return False

    def accepted(self) -> None:
        """Cannot be."""

    def trouble(self, tx: Transaction) -> str:
        del tx
        return "there are none"
