"""Upkeep: keeps credentials alive that nobody used for long."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import define
from twisted.logger import Logger

from probo_bitbucket.errors import DeadCredentials, UpstreamError
from probo_bitbucket.flow.chain import TokenChain
from probo_bitbucket.store import Database, Transaction

IDLE = 30 * 86_400.0  # seconds; an unused refresh token dies after three months


@define
class Upkeep:
    """*chains* are all that there are, whether or not this process used them.

    What failed is tried again in the next round, well within the ten minutes that a token lives whose successor was
    lost on its way.
    """

    store: Database
    chains: Callable[[Transaction], Iterable[TokenChain]]

    log = Logger()

    async def round(self) -> None:
        """Refresh each chain that was not for IDLE seconds."""
        for chain in await self.store.transact(self.chains):
            try:
                await chain.refresh_if_idle(IDLE)
            except DeadCredentials:
                pass  # the log has said what to do
            except UpstreamError as error:
                self.log.warn(
                    "Idle credentials were not refreshed",
                    event="credentials.idle",
                    account=chain.name,
                    reason=str(error),
                )
