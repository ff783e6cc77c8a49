"""Silence: whether the builds that were started tell us how they are, which takes settings of others: our address."""

from __future__ import annotations

from attrs import define
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.flow.oversight.verdict import Verdict
from probo_bitbucket.store import Database, builds

SUBJECT = "updates"
LISTEN = "set the Container Manager's api.url to this daemon's address; http.forbidden in the log is another reason"
RELAY = "have the coordinator send its updates to this daemon's address; http.forbidden in the log is another reason"

_RECENT = 86_400.0  # seconds; older builds say nothing of how it is now
_PATIENCE = 60.0  # seconds; the first update comes as soon as a build begins
_NEWEST = 20  # builds that are looked at


@define(eq=False)
class Silence:
    """Asks nobody outside. *coordinated*: whether updates come from a coordinator."""

    store: Database
    clock: IReactorTime
    coordinated: bool

    async def look(self) -> Verdict | None:
        """None where no build was started for long enough to tell. Raises StoreUnavailable."""
        now = self.clock.seconds()
        told_at = await self.store.transact(builds.told_at, now - _RECENT, now - _PATIENCE, _NEWEST)
        if not told_at:
            return None
        if any(told_at):
            return Verdict.ok(SUBJECT, f"came of {sum(map(bool, told_at))} of the newest {len(told_at)} builds")
        one = len(told_at) == 1
        words = "build was started, and of it no" if one else "builds were started, and of none an"
        return Verdict.wrong(SUBJECT, f"{len(told_at)} {words} update came", RELAY if self.coordinated else LISTEN)
