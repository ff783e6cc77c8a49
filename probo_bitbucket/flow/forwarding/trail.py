"""Trail: the handlers that passed something on, so that what comes back to one of them ends there."""

from __future__ import annotations

from attrs import define
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.flow.work.patience import in_time
from probo_bitbucket.store import Database, house

MARK = 16  # characters


class GoingRound(Exception):
    """What we passed on came back to us."""


@define(eq=False)
class Trail:
    """A trail is a list of marks, the latest last. Ours is the same on all nodes, and after a restart."""

    store: Database
    clock: IReactorTime
    _mark: str = ""

    async def beyond(self, trail: str, provider: str) -> str:
        """*trail* and our own mark, for what is passed on to the handler of *provider*.

        Raises GoingRound where our mark is there already, and StoreUnavailable.
        """
        if not self._mark:
            made = await in_time(self.store.transact(house.secret, "mark of what is passed on"), self.clock)
            self._mark = made[:MARK]
        marks = [mark.strip() for mark in trail.split(",") if mark.strip()]
        if self._mark in marks:
            raise GoingRound(
                f"this was passed on from here before: `forward.{provider}` leads back to this handler; "
                f"give the URL of the handler for {provider} there"
            )
        return ", ".join([*marks, self._mark])
