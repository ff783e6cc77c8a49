"""Upkeep: keeps credentials alive that nobody used for long, and tells of those that are one another's."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import define, field
from twisted.logger import Logger

from probo_bitbucket.errors import DeadCredentials, UpstreamError
from probo_bitbucket.flow.credentials.chain import TokenChain, sharing
from probo_bitbucket.store import Database, Transaction

IDLE = 30 * 86_400.0  # seconds; an unused refresh token dies after three months


@define(eq=False)
class Upkeep:
    """*chains* are all that there are, whether or not this process used them.

    What failed is tried again in the next round, well within the ten minutes that a token lives whose successor was
    lost on its way.
    """

    store: Database
    chains: Callable[[Transaction], Iterable[TokenChain]]
    _told: list[list[str]] = field(factory=list)

    log = Logger()

    async def round(self) -> None:
        """Refresh each chain that was not for IDLE seconds."""
        chains = list(await self.store.transact(self.chains))
        for chain in chains:
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
        self._tell_of(sharing(chains))

    def _tell_of(self, shared: list[list[str]]) -> None:
        """Say once who has one chain. It is refreshed for all of them together, and so it dies for all."""
        for names in shared:
            if names not in self._told:
                self.log.warn(
                    "The accounts {account} have refresh tokens of one chain",
                    event="credentials.shared",
                    account=", ".join(names),
                )
        self._told = shared
