"""Janitor: deletes what is finished and old, and keeps credentials alive that nobody used for long."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket.errors import UpstreamError
from probo_bitbucket.flow.chain import TokenChain
from probo_bitbucket.store import Database, builds, deliveries, statuses

CHUNK = 500  # rows deleted in one transaction, so that nobody waits long for the next one
IDLE = 30 * 86_400.0  # seconds; an unused refresh token dies after three months


@define
class Janitor:
    """*retention* is the number of seconds that finished rows are kept."""

    store: Database
    clock: IReactorTime
    retention: float
    chains: Iterable[TokenChain]

    log = Logger()

    async def round(self) -> None:
        """Tidy up once."""
        await self._prune()
        await self._refresh()

    async def _prune(self) -> None:
        before = self.clock.seconds() - self.retention
        total = 0
        for prune in (deliveries.prune, builds.prune, statuses.prune):
            while deleted := await self.store.transact(prune, before, CHUNK):
                total += deleted
        if total:
            self.log.info("Old rows deleted", event="store.pruned", count=total)

    async def _refresh(self) -> None:
        for chain in self.chains:
            try:
                await chain.refresh_if_idle(IDLE)
            except UpstreamError as error:
                self.log.warn(
                    "Idle credentials were not refreshed",
                    event="credentials.idle",
                    account=chain.name,
                    reason=str(error),
                )
