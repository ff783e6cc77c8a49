"""Set-up: credentials that an operator gives while the daemon runs, kept in the store and used at once.

They are those of one account, and count until the settings give that account other credentials than at the last
start: what was written there by hand since is newer.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from hmac import compare_digest

from attrs import astuple, define, evolve, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket.bitbucket.oauth import Grant, OAuth, fingerprint
from probo_bitbucket.credentials import Account, Credentials, OAuthConsumer
from probo_bitbucket.flow.credentials.accounts import OwnAccounts
from probo_bitbucket.logs import hide
from probo_bitbucket.store import Database, StoreUnavailable, Transaction, consumers, credentials, house, nodes
from probo_bitbucket.store.consumers import Consumer
from probo_bitbucket.store.credentials import Chain

ALL_OTHERS = "default"  # as config calls the account of the credentials at the top level


def choices(given: Sequence[Account]) -> tuple[Account, ...]:
    """The accounts that can be set up: those of the settings, and the one for all that they do not cover."""
    if any(account.name == ALL_OTHERS for account in given):
        return tuple(given)
    return (*given, Account(ALL_OTHERS, None, ("*",)))


def repositories(account: Account) -> str:
    """The repositories that an account serves, in words."""
    return "all other repositories" if account.name == ALL_OTHERS else ", ".join(account.repositories)


def save(tx: Transaction, account: str, key: str, secret: str, grant: Grant, now: float) -> None:
    """Keep what Bitbucket gave. A daemon that runs takes it up within SetUp's next round."""
    consumers.save(tx, Consumer(account, key, secret, now))
    origin = credentials.digest(grant.refresh_token)
    pair = (grant.refresh_token, grant.access_token)
    whose = fingerprint(key, secret)
    fresh = Chain(origin, *pair, expires_at=now + grant.expires_in, refreshed_at=now, consumer=whose)
    credentials.begin_anew(tx, account, fresh)


@define(eq=False)
class SetupCodes:
    """A code for whoever can read the log. It opens the set-up page once, also from where that is not open."""

    _code: str = field(default="", repr=False)

    def issue(self) -> str:
        self._code = secrets.token_urlsafe(24)
        return self._code

    def withdraw(self) -> None:
        self._code = ""

    @property
    def issued(self) -> bool:
        return bool(self._code)

    def valid(self, code: str) -> bool:
        return self.issued and compare_digest(code.encode(), self._code.encode())

    def spend(self, code: str) -> bool:
        """Whether *code* was valid; it is not any more."""
        valid = self.valid(code)
        if valid:
            self.withdraw()
        return valid


@define(eq=False)
class SetUp:
    """*given* are the settings' accounts; *wake* tells the workers that there is something to do."""

    given: Sequence[Account]
    store: Database
    clock: IReactorTime
    accounts: OwnAccounts
    oauth: Callable[[str, str], OAuth]  # of a key and a secret
    wake: Callable[[], None]
    address: str  # where a browser may find us
    codes: SetupCodes = field(factory=SetupCodes)
    _in_use: dict[str, Consumer] = field(factory=dict)

    log = Logger()

    @property
    def choices(self) -> tuple[Account, ...]:
        return choices(self.given)

    async def troubled(self) -> frozenset[str]:
        """The names of the accounts whose credentials do not work."""
        troubles = await self.store.transact(self.accounts.troubles)
        return frozenset(name for name, trouble in troubles.items() if trouble)

    def begin(self, tx: Transaction) -> None:
        """Choose, for each account, between what was set up before this start and what the settings say."""
        found = consumers.by_account(tx)
        for account in self.choices:
            self._choose(tx, account, found.get(account.name))

    def _choose(self, tx: Transaction, account: Account, found: Consumer | None) -> None:
        given = _fingerprint(account.credentials)
        before = house.replace(tx, f"credentials of the account {account.name}", given)
        if given and before is not None and given != before:
            self._believe_settings(tx, account, found)
        elif found is not None:
            self._use(found)
            if isinstance(account.credentials, OAuthConsumer):
                # The Container Manager may still have it from a Node handler.
                credentials.remember(tx, account.name, account.credentials.refresh_token)

    def _believe_settings(self, tx: Transaction, account: Account, found: Consumer | None) -> None:
        """Forget what was set up, and the tokens that the new credentials cannot go on with."""
        given = account.credentials
        if found is None:
            fits = not isinstance(given, OAuthConsumer) or bool(given.refresh_token)
        else:
            fits = isinstance(given, OAuthConsumer) and given.key == found.key
            consumers.forget(tx, account.name)
            self.log.info(
                "The settings' credentials are newer than those set up", event="setup.replaced", account=account.name
            )
        if not fits:
            credentials.forget(tx, account.name)

    async def save(self, account: str, key: str, secret: str, grant: Grant) -> None:
        """Keep what Bitbucket gave, and work with it. Raises StoreUnavailable."""
        await self.store.transact(save, account, key, secret, grant, self.clock.seconds())
        await self.round()

    async def round(self) -> None:
        """Take up what was set up; offer a way in where credentials are needed."""
        await self.take_up()
        troubled = await self.troubled()
        if not troubled:
            self.codes.withdraw()
        elif not self.codes.issued:
            self._offer(troubled)

    async def take_up(self) -> None:
        """Work with what was set up, here, on another node or by command. Raises StoreUnavailable."""
        set_up = await self.store.transact(consumers.by_account)
        for found in (set_up[account.name] for account in self.choices if account.name in set_up):
            if found == self._in_use.get(found.name):  # asked now: others take up, too, while this one waits
                continue
            self._use(found)
            try:
                await self.store.transact(nodes.hasten)
            except StoreUnavailable:
                self._in_use.pop(found.name, None)  # so that the next look makes up for it
                raise
            self.wake()
            self.log.info("Working with new credentials", event="setup.done", account=found.name)

    def _offer(self, troubled: Collection[str]) -> None:
        self.log.warn(
            "There are no credentials for Bitbucket that work (accounts: {accounts}). Open {address}/setup?code={code} "
            "with a browser, or run: probo-bitbucket setup -c SETTINGS --store",
            event="setup.needed",
            accounts=", ".join(sorted(troubled)),
            address=self.address,
            code=self.codes.issue(),
        )

    def _use(self, consumer: Consumer) -> None:
        hide(consumer.secret)
        self._in_use[consumer.name] = consumer
        [account] = (account for account in self.choices if account.name == consumer.name)
        self.accounts.adopt(evolve(account, credentials=OAuthConsumer(consumer.key, consumer.secret)))


def _fingerprint(given: Credentials | None) -> str:
    """Tells credentials of the settings from others; empty where there are none."""
    return credentials.digest(repr(astuple(given))) if given else ""
