"""Measuring: how things are at the moment when somebody asks for the metrics. Asks nobody outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.breaker import Breaker
from probo_bitbucket.metrics import Metrics
from probo_bitbucket.store import Database, StoreUnavailable, Transaction, backlog
from probo_bitbucket.store.backlog import Tokens, Waiting


@define
class Measuring:
    """*budgets* are by the name of the consumer whose requests Bitbucket counts together."""

    metrics: Metrics
    store: Database
    clock: IReactorTime
    budgets: Mapping[str, Budget]
    breakers: Sequence[Breaker]

    async def text(self) -> bytes:
        """All metrics. What is in a database that cannot be read stays as it was."""
        now = self.clock.seconds()
        try:
            waiting, tokens = await self.store.transact(_look)
        except StoreUnavailable:
            self.metrics.store_up.set(0)
        else:
            self.metrics.store_up.set(1)
            self._show(waiting, tokens, now)
        self.metrics.budget.clear()  # the settings can have named others before
        for consumer, budget in self.budgets.items():
            self.metrics.budget.labels(consumer).set(budget.left(now))
        for breaker in self.breakers:
            self.metrics.down.labels(breaker.upstream).set(breaker.open)
        return self.metrics.text()

    def _show(self, waiting: Sequence[Waiting], tokens: Tokens, now: float) -> None:
        for each in waiting:
            self.metrics.waiting.labels(each.work).set(each.count)
            self.metrics.oldest.labels(each.work).set(now - each.since if each.count else 0)
        self.metrics.dead.set(tokens.dead)
        self.metrics.token_age.set(0 if tokens.oldest is None else now - tokens.oldest)


def _look(tx: Transaction) -> tuple[list[Waiting], Tokens]:
    return backlog.waiting(tx), backlog.tokens(tx)
