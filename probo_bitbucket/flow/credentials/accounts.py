"""Accounts: whose credentials reach a repository, and whose a caller of ours may ask for.

What the Container Manager and the Reaper send back to us as `refreshToken` is, by default, a handle: it names a
repository and a build, is signed by this store, and is worth nothing to anybody else. It stands for the account that
serves the repository when it is shown, so that accounts can be renamed and divided meanwhile.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from attrs import evolve, frozen

from probo_bitbucket.credentials import Account
from probo_bitbucket.flow.credentials.access import Access, NoAccess, OwnAccess
from probo_bitbucket.flow.credentials.chain import TokenChain
from probo_bitbucket.flow.credentials.wanting import Wanting
from probo_bitbucket.model import Build, Repository
from probo_bitbucket.store import Database, Transaction, credentials, house

RENEW = "open /setup, or put new ones into the settings, or run: probo-bitbucket setup --store"

_PREFIX = "probo-bitbucket"


class NotOurs(Exception):
    """A refresh token or handle that this handler did not give out."""


@frozen
class Handle:
    """What a handle says."""

    repository: Repository
    build_id: str


class Accounts(Protocol):
    """Knows whose credentials a repository is reached with, and whose a caller of ours may ask for.

    *advice* says where new credentials are given.
    """

    advice: str

    def of(self, repository: Repository, home: Repository | None = None) -> Access:
        """For a fork, *home* is where its pull request is."""

    async def by_token(self, text: str) -> tuple[Access, str]:
        """The access that a handle or a refresh token of ours stands for, and the id of the build, if it tells one.

        Raises NotOurs.
        """

    async def admit(self, text: str, repository: Repository) -> None:
        """Raises NotOurs where a handle or a refresh token is none of the account that serves *repository*."""

    def troubles(self, tx: Transaction) -> dict[str, str]:
        """Why the credentials of each account do not work, by its name; empty where they do.

        What work waits for that nobody gave is among them.
        """

    def chains(self, tx: Transaction) -> Sequence[TokenChain]:
        """The chains of all accounts."""


class OwnAccounts:
    """All accounts, in the order of the settings; *nobody* serves the repositories that none of them covers."""

    advice = RENEW

    def __init__(
        self,
        accounts: Sequence[Account],
        store: Database,
        make_access: Callable[[Account], OwnAccess],
        nobody: NoAccess,
        wanting: Wanting,
    ) -> None:
        self._store = store
        self._make_access = make_access
        self._nobody = nobody
        self._wanting = wanting
        self._key = b""
        self._accounts = [(account, make_access(account)) for account in accounts]

    def troubles(self, tx: Transaction) -> dict[str, str]:
        if not self._accounts:
            return {"default": self._nobody.trouble(tx)}
        found = {account.name: access.trouble(tx) for account, access in self._accounts}
        uncovered = [name for name in self._wanting.names() if self._covering(name) is None]
        return found | ({"default": f"no account covers {', '.join(uncovered)}"} if uncovered else {})

    def chains(self, tx: Transaction) -> Sequence[TokenChain]:
        del tx  # the settings say which there are
        return [access for _, access in self._accounts if isinstance(access, TokenChain)]

    @property
    def served(self) -> Sequence[tuple[Account, Access]]:
        """The accounts, in the order in which they are asked, each with its access."""
        return self._accounts

    def adopt(self, account: Account) -> None:
        """Serve with *account* what the account of that name served; a new one comes after all others."""
        names = [known.name for known, _ in self._accounts]
        place = names.index(account.name) if account.name in names else len(names)
        self._accounts[place : place + 1] = [(account, self._make_access(account))]

    def of(self, repository: Repository, home: Repository | None = None) -> Access:
        """The access of the first account that covers *repository*, or else *home*."""
        name = repository.full_name
        reason = "no account covers it" if self._accounts else f"there are none at all; {self.advice}"
        missed = partial(self._wanting.miss, name, reason)
        found = self._covering(name) or (home and self._covering(home.full_name))
        return found or evolve(self._nobody, name=name, missed=missed)

    def _covering(self, full_name: str) -> Access | None:
        return next((access for account, access in self._accounts if account.covers(full_name)), None)

    async def admit(self, text: str, repository: Repository) -> None:
        access, _ = await self.by_token(text)
        if access.name != self.of(repository).name:
            raise NotOurs(f"this refresh token is not that of {repository.full_name}")

    async def by_token(self, text: str) -> tuple[Access, str]:
        handle = await self._read_handle(text)
        if handle is not None:
            return self.of(handle.repository), handle.build_id
        holders = await self._store.transact(credentials.holders, text)
        for account, access in self._accounts:
            if account.name in holders:
                return access, ""
        raise NotOurs("this refresh token is not ours")

    async def handle(self, build: Build) -> str:
        """A handle that lets its holder ask us for a token for this build."""
        said = f"{_PREFIX}.{build.repository.full_name}.{build.id}"
        return f"{said}.{await self._sign(said)}"

    async def _read_handle(self, text: str) -> Handle | None:
        said, _, signature = text.rpartition(".")
        prefix, _, named = said.partition(".")
        full_name, _, build_id = named.rpartition(".")  # a repository's name can have dots, a build's id has none
        if prefix != _PREFIX or not hmac.compare_digest(signature.encode(), (await self._sign(said)).encode()):
            return None
        return Handle(Repository.parse(full_name), build_id)

    async def _sign(self, text: str) -> str:
        if not self._key:
            self._key = (await self._store.transact(house.secret, "handle key")).encode()
        return hmac.digest(self._key, text.encode(), hashlib.sha256).hex()
