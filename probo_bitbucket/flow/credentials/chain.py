"""Chain: an OAuth consumer's tokens, kept alive. The only place that uses a refresh token.

An access token is reused while it has life left. One refresh is on its way at a time, in this process and, by a lock
in the store, on all nodes; its result is stored before it is used, because the refresh token that was spent for it
dies within minutes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.bitbucket.oauth import Grant, OAuth
from probo_bitbucket.errors import DeadCredentials
from probo_bitbucket.flow.credentials.access import tell_dead
from probo_bitbucket.store import Database, Lease, StoreUnavailable, Transaction, credentials
from probo_bitbucket.store.credentials import Chain

MARGIN = 120.0  # seconds of life that an access token must have left: a download may take that long to begin
PAUSE = 0.5  # seconds before looking again whether another node is done, or the store is back
DEAD_PAUSE = 300.0  # seconds before credentials that Bitbucket refused are tried again
YOUNG = 300.0  # seconds; an access token that is refused before did not die of age

_REFUSED = "Bitbucket answers 401 to an access token that it gave a moment ago"


class TokenChain:
    """The access to Bitbucket of one OAuth consumer: by refresh tokens, or by client credentials if there is none.

    *name* is that of who holds the chain: an account or a project. *origin* tells which chain it is, where that is
    known; else it is begun with *refresh_token*, or gone on with, at its first use. From then on it stays the same,
    whatever becomes of the token that it began with. *holder* is what the right to refresh is taken as. Nobody else is
    called so, on this node neither: two accounts can have tokens of one chain. *renewed* is called in the transaction
    that stores a new pair, with the pair before it and the new one.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        refresh_token: str,
        oauth: OAuth,
        store: Database,
        clock: IReactorTime,
        holder: str,
        budget: Budget,
        renewed: Callable[[Transaction, Chain, Chain], None] = lambda *_: None,
        origin: str = "",
    ) -> None:
        self.name = name
        self.budget = budget
        self.origin = origin
        self._first = refresh_token
        self._oauth = oauth
        self._store = store
        self._clock = clock
        self._renewed = renewed
        self._holder = holder
        self._chain: Chain | None = None
        self._waiting: list[Deferred[Chain]] = []
        self._dead_until = 0.0
        self._not_ours = ""  # why Bitbucket refused our consumer a chain that is another one's
        self._refusals = 0  # access tokens that Bitbucket refused since it took one

    async def authorization(self) -> str:
        return f"Bearer {await self.access_token()}"

    async def access_token(self) -> str:
        """An access token with at least MARGIN seconds to live. Raises DeadCredentials or Temporary."""
        chain = self._chain
        if chain is None or not self._fresh(chain):
            chain = await self._refreshed()
        return chain.access_token

    async def refused(self, authorization: str) -> bool:
        """Forget an access token that Bitbucket answered 401 to. Another one can be had.

        Raises DeadCredentials where that was refused as well: the token is young, and follows one that was refused.
        """
        chain, token = self._chain, authorization.removeprefix("Bearer ")
        if chain is None or chain.access_token != token:
            return True
        self._chain = None
        self._refusals += 1
        young = self._clock.seconds() - chain.refreshed_at < YOUNG
        reason = _REFUSED if young and self._refusals > 1 else ""
        await self._store.transact(credentials.discard, self.origin, token, reason)
        if reason:
            self._dead_until = self._clock.seconds() + DEAD_PAUSE
            if self._refusals == 2:
                tell_dead(self.name, reason)
            raise DeadCredentials(reason)
        return True

    def accepted(self) -> None:
        """What Bitbucket refuses after this is worth a new token, and to be told."""
        self._refusals = 0

    def trouble(self, tx: Transaction) -> str:
        """Why Bitbucket refuses the chain, or us alone; empty where it does not."""
        return self.begin(tx).dead or self._not_ours

    async def newest(self) -> Chain:
        """The newest pair, with an access token that has life left."""
        await self.access_token()
        return await self._store.transact(self.begin)

    def begin(self, tx: Transaction) -> Chain:
        """The chain as stored. It is begun where it is not, or not any more."""
        chain = credentials.find(tx, self.origin) or credentials.begin(tx, self.name, self._first)
        self.origin = chain.origin
        return chain

    async def refresh_if_idle(self, seconds: float) -> None:
        """Refresh a chain that was not refreshed for so long, or never: an unused one dies after three months."""
        chain = await self._store.transact(self.begin)
        idle = chain.refreshed_at <= self._clock.seconds() - seconds or self._of_the_future(chain)
        if chain.refresh_token and idle:
            await self._refreshed()

    def _fresh(self, chain: Chain) -> bool:
        living = chain.expires_at - self._clock.seconds() > MARGIN
        return bool(chain.access_token) and living and not self._of_the_future(chain)

    def _of_the_future(self, chain: Chain) -> bool:
        """Whether our clock was ahead when the chain was refreshed: nobody knows how long its token lives."""
        return chain.refreshed_at - self._clock.seconds() > MARGIN

    def _refreshed(self) -> Deferred[Chain]:
        """One refresh for all who ask meanwhile. Nobody's hanging up can cancel it for the others."""
        waiting: Deferred[Chain] = Deferred()
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            Deferred.fromCoroutine(self._refresh()).addBoth(self._answer)
        return waiting

    def at_rest(self) -> Deferred[None]:
        """Fires when no refresh is on its way: one that is broken off takes the chain's newest token with it."""
        return self._refreshed().addBoth(lambda _: None) if self._waiting else succeed(None)

    def _answer(self, result: Chain | Failure) -> None:
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(result)  # a Failure makes it fail

    async def _refresh(self) -> Chain:
        chain = await self._locked()
        if self._fresh(chain):
            await self._store.transact(credentials.unlock, chain)
            self._chain = chain
            return chain
        try:
            grant = await self._grant(chain)
        except DeadCredentials as error:
            if await self._mourn(chain, str(error)):
                raise
            return await self._refresh()
        except BaseException:
            await self._store.transact(credentials.unlock, chain, chain.dead)
            raise
        return await self._keep(chain, grant)

    async def _locked(self) -> Chain:
        """The chain as stored, once no other node refreshes it. Raises DeadCredentials without asking Bitbucket
        for a chain that it refused a short while ago."""
        while True:
            now = self._clock.seconds()
            chain = await self._store.transact(self._lock, Lease(self._holder, now))
            if chain is None:
                await deferLater(self._clock, PAUSE)
            elif (reason := chain.dead or self._not_ours) and now < self._dead_until and not self._fresh(chain):
                await self._store.transact(credentials.unlock, chain, chain.dead)
                raise DeadCredentials(reason)
            else:
                return chain

    def _lock(self, tx: Transaction, lease: Lease) -> Chain | None:
        """Begins the chain at every look: another node may have forgotten it, and nobody can lock what is not there."""
        return credentials.lock(tx, self.begin(tx).origin, lease)

    async def _grant(self, chain: Chain) -> Grant:
        if chain.refresh_token:
            return await self._oauth.refresh(chain.refresh_token)
        return await self._oauth.client_credentials()

    async def _mourn(self, chain: Chain, reason: str) -> bool:
        """Write down that the chain is dead. It is not where another node renewed it while this one slept.

        Where another consumer renews it, it is for that one to say: Bitbucket gives us no token of somebody else's.
        """
        ours = chain.consumer in ("", self._oauth.consumer)
        if not await self._store.transact(credentials.unlock, chain, reason if ours else chain.dead):
            return False
        self._dead_until = self._clock.seconds() + DEAD_PAUSE
        known = chain.dead or self._not_ours
        self._not_ours = "" if ours else f"{reason}; the refresh token was renewed with another consumer"
        if not known:
            tell_dead(self.name, self._not_ours or reason)
        return True

    async def _keep(self, chain: Chain, grant: Grant) -> Chain:
        """Store what Bitbucket gave, however long that takes: the token it replaces is as good as dead."""
        now = self._clock.seconds()
        newest = evolve(
            chain,
            access_token=grant.access_token,
            refresh_token=grant.refresh_token or chain.refresh_token,
            expires_at=now + grant.expires_in,
            refreshed_at=now,
            dead="",
            consumer=self._oauth.consumer,
        )
        while True:
            try:
                kept = await self._store.transact(self._succeed, chain, newest)
            except StoreUnavailable as error:
                self.log.warn("New tokens cannot be stored yet", event="credentials.unstored", reason=str(error))
                await deferLater(self._clock, PAUSE)
            else:
                break
        self._chain = kept
        self._not_ours = ""
        self.log.info("Access token renewed", event="credentials.renewed", account=self.name, seconds=grant.expires_in)
        return kept

    def _succeed(self, tx: Transaction, previous: Chain, newest: Chain) -> Chain:
        """The pair to go on with: the *newest*, or one that another node stored while this one slept over its lease."""
        if credentials.succeed(tx, previous, newest):
            self._renewed(tx, previous, newest)
            return newest
        return credentials.find(tx, newest.origin) or newest


def sharing(chains: Iterable[TokenChain]) -> list[list[str]]:
    """The names of those that turned out to have tokens of one chain, where they were used."""
    names = defaultdict(list)
    for chain in chains:
        if chain.origin:
            names[chain.origin].append(chain.name)
    return [sharers for sharers in names.values() if len(sharers) > 1]
