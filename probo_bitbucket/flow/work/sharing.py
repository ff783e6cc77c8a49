"""Sharing: what each node spent of Bitbucket's budget of requests is known to all nodes, and after a restart.

So is for how long Bitbucket wants to hear nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.bitbucket.budget import Budget, minute_of
from probo_bitbucket.store import Database, Transaction, budget


@define(eq=False)
class Sharing:
    """*budgets* are by the name of the consumer whose requests Bitbucket counts together."""

    store: Database
    clock: IReactorTime
    node: str
    budgets: Mapping[str, Budget]

    async def round(self) -> None:
        """Write down what was sent from here lately, and learn what others sent in the last hour."""
        await self.store.transact(self._exchange, self.clock.seconds())

    def _exchange(self, tx: Transaction, now: float) -> None:
        minute = minute_of(now)
        for consumer, shared in list(self.budgets.items()):  # a set-up may change them meanwhile
            # The minute before, too: its last requests may have come after the last round.
            lately = {each: sent for each in (minute - 1, minute) if (sent := shared.sent_in(each))}
            budget.record(tx, consumer, self.node, lately)
            shared.elsewhere = budget.spent_elsewhere(tx, consumer, self.node, minute)
            if now < max(shared.silent_until, shared.near_until):
                budget.pause(tx, consumer, shared.silent_until, shared.near_until)
            shared.heed(*budget.pauses(tx, consumer))
