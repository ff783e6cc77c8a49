"""Accounts: whose credentials reach a repository, and whose a caller of ours may ask for.

What the Container Manager and the Reaper send back to us as `refreshToken` is, by default, a handle: it names an
account and a build, is signed by this store, and is worth nothing to anybody else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import define, frozen

from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.credentials import AccessToken, Account, ApiToken
from probo_bitbucket.errors import DeadCredentials
from probo_bitbucket.logs import hide
from probo_bitbucket.model import Repository
from probo_bitbucket.store import Database, credentials, house

_PREFIX = "probo-bitbucket"


class NotOurs(Exception):
    """A refresh token or handle that this handler did not give out."""


class Access(Protocol):
    """The right to call Bitbucket as one account."""

    name: str
    budget: Budget

    async def authorization(self) -> str: ...

    async def access_token(self) -> str:
        """A token for `Authorization: Bearer`. Raises DeadCredentials where the account has none."""

    async def refused(self, authorization: str) -> bool: ...


@define
class FixedAccess:
    """Credentials that are never refreshed: an access token (Bearer) or a user's API token (Basic)."""

    name: str
    credentials: AccessToken | ApiToken
    budget: Budget

    def __attrs_post_init__(self) -> None:
        if isinstance(self.credentials, ApiToken):
            hide(_packed(self.credentials))

    async def authorization(self) -> str:
        if isinstance(self.credentials, AccessToken):
            return f"Bearer {self.credentials.token}"
        return f"Basic {_packed(self.credentials)}"

    async def access_token(self) -> str:
        if isinstance(self.credentials, AccessToken):
            return self.credentials.token
        raise DeadCredentials("an API token cannot be used for the download, which needs a Bearer token")

    async def refused(self, authorization: str) -> bool:
        del authorization  # there is no other
        return False


def _packed(credentials: ApiToken) -> str:
    return base64.b64encode(f"{credentials.email}:{credentials.token}".encode()).decode()


@define
class NoAccess:
    """Stands for credentials that nobody gave yet."""

    name: str
    budget: Budget

    async def authorization(self) -> str:
        raise DeadCredentials(f"there are no credentials for {self.name}")

    access_token = authorization

    async def refused(self, authorization: str) -> bool:
        del authorization  # there is no other
        return False


@frozen
class Handle:
    """What a handle says."""

    account: str
    build_id: str


class Accounts(Protocol):
    """Knows whose credentials a repository is reached with, and whose a caller of ours may ask for."""

    def of(self, repository: Repository) -> Access: ...

    async def by_token(self, text: str) -> tuple[Access, str]:
        """The access that a handle or a refresh token of ours stands for, and the id of the build, if it tells one.

        Raises NotOurs.
        """


class OwnAccounts:
    """All accounts, in the order of the settings; *nobody* serves the repositories that none of them covers."""

    def __init__(
        self, accounts: Sequence[Account], store: Database, make_access: Callable[[Account], Access], nobody: NoAccess
    ) -> None:
        self._store = store
        self._make_access = make_access
        self._nobody = nobody
        self._key = b""
        self._accounts = [(account, make_access(account)) for account in accounts]

    @property
    def empty(self) -> bool:
        return not self._accounts

    def adopt(self, account: Account) -> None:
        """Serve with *account*, after all others, what the account of that name served."""
        others = [(known, access) for known, access in self._accounts if known.name != account.name]
        self._accounts = [*others, (account, self._make_access(account))]

    def of(self, repository: Repository) -> Access:
        """The access of the first account that covers *repository*."""
        name = repository.full_name
        return next((access for account, access in self._accounts if account.covers(name)), self._nobody)

    async def by_token(self, text: str) -> tuple[Access, str]:
        handle = await self._read_handle(text)
        if handle is not None:
            return self._named(handle.account), handle.build_id
        owner = await self._store.transact(credentials.owner, text)
        return self._named(owner), ""

    def _named(self, name: str | None) -> Access:
        for account, access in self._accounts:
            if account.name == name:
                return access
        raise NotOurs("this refresh token is not ours")

    async def handle(self, access: Access, build_id: str) -> str:
        """A handle that lets its holder ask us for a token of this account."""
        said = f"{_PREFIX}.{access.name}.{build_id}"
        return f"{said}.{await self._sign(said)}"

    async def _read_handle(self, text: str) -> Handle | None:
        said, _, signature = text.rpartition(".")
        parts = said.split(".")
        if len(parts) != 3 or parts[0] != _PREFIX:
            return None
        if not hmac.compare_digest(signature.encode(), (await self._sign(said)).encode()):
            return None
        return Handle(parts[1], parts[2])

    async def _sign(self, text: str) -> str:
        if not self._key:
            self._key = (await self._store.transact(house.secret, "handle key")).encode()
        return hmac.digest(self._key, text.encode(), hashlib.sha256).hex()
