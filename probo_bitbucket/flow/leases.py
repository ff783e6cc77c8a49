"""Leases: keeps what this node has in hand, and lets go of it when the node stops."""

from __future__ import annotations

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from probo_bitbucket.store import LEASE, Database, Lease, StoreUnavailable, nodes


@define(eq=False, slots=False)
class Leases:
    """Renews the leases of *node* while it runs."""

    store: Database
    node: str
    clock: IReactorTime

    log = Logger()

    def __attrs_post_init__(self) -> None:
        self._renewal = LoopingCall(self._renew)
        self._renewal.clock = self.clock

    def start(self) -> None:
        self._renewal.start(LEASE / 3, now=False)

    async def stop(self) -> None:
        """Let go of all leases, so that another node can go on at once."""
        self._renewal.stop()
        await self.store.transact(nodes.release, self.node)

    async def _renew(self) -> None:
        try:
            await self.store.transact(nodes.renew, Lease(self.node, self.clock.seconds()))
        except StoreUnavailable as error:
            self.log.warn("Leases cannot be renewed now", event="store.unavailable", reason=str(error))
