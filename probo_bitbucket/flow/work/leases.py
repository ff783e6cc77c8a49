"""Leases: what this node has in hand, claim by claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.store import LEASE, Database, Lease, nodes

STANDSTILL = LEASE / 3  # seconds that may pass between taking work and sending what comes of it


def latest(taken_at: float) -> float:
    """Until when what comes of work that was taken at *taken_at* may be sent.

    Who comes later than that stood still, frozen or waiting: another node may have the work, and have done it.
    """
    return taken_at + STANDSTILL


@define(eq=False)
class Leases:
    """Gives each claim a name of its own, and renews those of which something is in hand.

    So a claim whose answer was lost, which nobody works on, comes free although its node lives.
    """

    store: Database
    clock: IReactorTime
    node: str
    _held: Counter[str] = field(factory=Counter)
    _numbers: Iterator[int] = field(factory=count)

    def new(self) -> Lease:
        return Lease(f"{self.node}/{next(self._numbers)}", self.clock.seconds())

    def hold(self, lease: Lease) -> None:
        """One more job of this claim is in hand."""
        self._held[lease.holder] += 1

    def let_go(self, lease: Lease) -> None:
        self._held -= Counter([lease.holder])

    @property
    def held(self) -> set[str]:
        """The names of the claims of which something is in hand."""
        return set(self._held)

    async def round(self) -> None:
        await self.store.transact(nodes.renew, self.held, self.clock.seconds())
