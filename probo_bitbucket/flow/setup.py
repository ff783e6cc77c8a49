"""Set-up: credentials that an operator gives while the daemon runs, kept in the store and used at once.

They are those of the account that the settings have at the top level, and count until the settings give other
credentials than at the last start: what was written there by hand since is newer.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from hmac import compare_digest

from attrs import astuple, define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket.bitbucket.oauth import Grant, OAuth
from probo_bitbucket.credentials import Account, Credentials, OAuthConsumer
from probo_bitbucket.flow.accounts import OwnAccounts
from probo_bitbucket.logs import hide
from probo_bitbucket.store import Database, Transaction, consumers, credentials, house, nodes
from probo_bitbucket.store.consumers import Consumer
from probo_bitbucket.store.credentials import Chain

ACCOUNT = "default"  # as config calls the credentials at the top level


def save(tx: Transaction, key: str, secret: str, grant: Grant, now: float) -> None:
    """Keep what Bitbucket gave. A daemon that runs takes it up within SetUp's next round."""
    consumers.save(tx, Consumer(ACCOUNT, key, secret, now))
    origin = credentials.digest(grant.refresh_token)
    pair = (grant.refresh_token, grant.access_token)
    credentials.begin_anew(tx, Chain(ACCOUNT, origin, *pair, expires_at=now + grant.expires_in, refreshed_at=now))


@define
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


@define
class SetUp:
    """*given* are the settings' credentials; *wake* tells the workers that there is something to do."""

    given: Credentials | None
    store: Database
    clock: IReactorTime
    accounts: OwnAccounts
    oauth: Callable[[str, str], OAuth]  # of a key and a secret
    wake: Callable[[], None]
    codes: SetupCodes = field(factory=SetupCodes)
    _in_use: Consumer | None = None

    log = Logger()

    def begin(self, tx: Transaction) -> None:
        """Choose between what was set up before this start and what the settings say."""
        given = self._fingerprint()
        before = house.replace(tx, "credentials of the settings", given)
        found = consumers.find(tx, ACCOUNT)
        replaced = bool(given) and before is not None and given != before
        if found is None:
            if replaced and isinstance(self.given, OAuthConsumer) and not self.given.refresh_token:
                credentials.forget(tx, ACCOUNT)  # or client credentials would go on with another consumer's tokens
            return
        if replaced:
            self._forget(tx, found)
            return
        self._use(found)
        if isinstance(self.given, OAuthConsumer):
            # The Container Manager may still have it from a Node handler.
            credentials.remember(tx, ACCOUNT, self.given.refresh_token)

    async def save(self, key: str, secret: str, grant: Grant) -> None:
        """Keep what Bitbucket gave, and work with it. Raises StoreUnavailable."""
        await self.store.transact(save, key, secret, grant, self.clock.seconds())
        await self.round()

    async def round(self) -> None:
        """Take up what was set up, here, on another node or by command; offer a way in where credentials are needed."""
        found, trouble = await self.store.transact(self._look)
        if found is not None:
            self._use(found)
            await self.store.transact(nodes.hasten)
            self.wake()
            self.log.info("Working with new credentials", event="setup.done", account=ACCOUNT)
        if not trouble:
            self.codes.withdraw()
        elif not self.codes.issued:
            self._offer(trouble)

    def _look(self, tx: Transaction) -> tuple[Consumer | None, str]:
        """What was set up since the last look, and why credentials are needed (empty: they are not)."""
        found = consumers.find(tx, ACCOUNT)
        if found is not None and found != self._in_use:
            return found, ""
        return None, self._trouble(tx)

    def _trouble(self, tx: Transaction) -> str:
        if self.accounts.empty:
            return "There are no credentials for Bitbucket"
        by_chain = self._in_use is not None or isinstance(self.given, OAuthConsumer)
        chain = credentials.find(tx, ACCOUNT) if by_chain else None
        return "Bitbucket refuses the credentials" if chain and chain.dead else ""

    def _offer(self, trouble: str) -> None:
        self.log.warn(
            "{trouble}. Open /setup?code={code} on this server with a browser, or run: probo-bitbucket setup --store",
            event="setup.needed",
            trouble=trouble,
            code=self.codes.issue(),
        )

    def _use(self, consumer: Consumer) -> None:
        hide(consumer.secret)
        self._in_use = consumer
        self.accounts.adopt(Account(ACCOUNT, OAuthConsumer(consumer.key, consumer.secret), ("*",)))

    def _forget(self, tx: Transaction, found: Consumer) -> None:
        consumers.forget(tx, ACCOUNT)
        if not isinstance(self.given, OAuthConsumer) or self.given.key != found.key:
            credentials.forget(tx, ACCOUNT)  # another consumer cannot go on with its tokens
        self.log.info("The settings' credentials are newer than those set up", event="setup.replaced", account=ACCOUNT)

    def _fingerprint(self) -> str:
        """Tells credentials of the settings from others; empty where there are none."""
        return credentials.digest(repr(astuple(self.given))) if self.given else ""
