"""Measuring: how things are at the moment when somebody asks for the metrics. Asks nobody outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.breaker import Breaker
from probo_bitbucket.flow.credentials.accounts import Accounts
from probo_bitbucket.metrics import Metrics
from probo_bitbucket.store import Database, StoreUnavailable, Transaction, backlog, credentials


@define(eq=False)
class Measuring:
    """*budgets* are by the name of the consumer whose requests Bitbucket counts together."""

    metrics: Metrics
    store: Database
    clock: IReactorTime
    accounts: Accounts
    budgets: Mapping[str, Budget]
    breakers: Sequence[Breaker]

    async def text(self) -> bytes:
        """All metrics. What is in a database that cannot be read stays as it was."""
        now = self.clock.seconds()
        try:
            await self.store.transact(self._look, now)
            await self.store.check_writable()
        except StoreUnavailable:
            self.metrics.store_up.set(0)
        else:
            self.metrics.store_up.set(1)
        self.metrics.budget.clear()  # the settings can have named others before
        for consumer, budget in self.budgets.items():
            self.metrics.budget.labels(consumer).set(budget.left(now))
        for breaker in self.breakers:
            self.metrics.down.labels(breaker.upstream).set(breaker.open)
        return self.metrics.text()

    def _look(self, tx: Transaction, now: float) -> None:
        for each in backlog.waiting(tx):
            self.metrics.waiting.labels(each.work).set(each.count)
            self.metrics.oldest.labels(each.work).set(now - each.since if each.count else 0)
        self.metrics.dead.set(sum(bool(trouble) for trouble in self.accounts.troubles(tx).values()))
        renewed = credentials.oldest_renewal(tx)
        self.metrics.token_age.set(0 if renewed is None else now - renewed)
