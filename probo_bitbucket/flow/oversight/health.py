"""Health: can deliveries be dealt with now, and if not, what stands in the way. Asks nobody outside."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.breaker import Breaker
from probo_bitbucket.flow.credentials.accounts import Accounts
from probo_bitbucket.flow.work.patience import in_time
from probo_bitbucket.store import Database, StoreUnavailable, Transaction


@frozen
class Finding:
    """One thing that was looked at. *trouble* says what is wrong with it and what to do, and is empty if nothing is."""

    subject: str
    trouble: str = ""


@define(eq=False)
class Health:
    """Looks at the store, the credentials, and the breakers of the upstreams."""

    store: Database
    clock: IReactorTime
    accounts: Accounts
    breakers: Sequence[Breaker]

    async def look(self) -> list[Finding]:
        """What was found, troubles first."""
        try:
            credentials = await in_time(Deferred.fromCoroutine(self._look_into_store()), self.clock)
            store = Finding("store")
        except StoreUnavailable as error:
            credentials = []
            store = Finding("store", f"{error}: nothing is accepted; make room on the disk, or start the database")
        upstreams = [Finding(breaker.upstream, _down(breaker)) for breaker in self.breakers]
        return sorted([store, *credentials, *upstreams], key=lambda finding: not finding.trouble)

    async def _look_into_store(self) -> list[Finding]:
        """What is to be said of the credentials. Raises StoreUnavailable."""
        await self.store.check_writable()
        return await self.store.transact(self._credentials)

    def _credentials(self, tx: Transaction) -> list[Finding]:
        troubles = self.accounts.troubles(tx)
        return [Finding(f"credentials {name}", self._waits(trouble)) for name, trouble in troubles.items()]

    def _waits(self, trouble: str) -> str:
        return f"{trouble.rstrip('.')}: all work of the account waits; {self.accounts.advice}" if trouble else ""


def _down(breaker: Breaker) -> str:
    return f"down, {breaker.failures} failures in a row: its work waits" if breaker.open else ""
