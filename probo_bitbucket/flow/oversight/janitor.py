"""Janitor: deletes what is finished and old."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec

from attrs import define
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket.bitbucket.budget import minute_of
from probo_bitbucket.flow.credentials.upkeep import IDLE
from probo_bitbucket.store import (
    Database,
    StoreUnavailable,
    Transaction,
    budget,
    builds,
    commands,
    comments,
    credentials,
    deliveries,
    forwarded,
    happenings,
    hook_reports,
    hooks,
    pull_requests,
    removals,
    repositories,
    statuses,
    steps,
)

P = ParamSpec("P")

CHUNK = 500  # rows deleted in one transaction, so that nobody waits long for the next one
LIFE_OF_TOKENS = 180 * 86_400.0  # seconds that a refresh token is known for which another one was given
LIFE_OF_COMMENTS = 365 * 86_400.0  # seconds since the last change that a comment is known and so not written twice
LIFE_OF_BODIES = 86_400.0  # seconds that an update with others' tokens in it is kept that was given up on


@define(eq=False)
class Janitor:
    """*retention* is the number of seconds that finished rows are kept."""

    store: Database
    clock: IReactorTime
    retention: float

    log = Logger()

    async def round(self) -> None:
        """Tidy up once."""
        now = self.clock.seconds()
        total = await self._deleted(budget.prune, now, minute_of(now))
        for prune, kept in (
            (deliveries.prune, self.retention),
            (builds.prune, self.retention),
            (pull_requests.prune, self.retention),
            (removals.prune, self.retention),
            (repositories.prune, self.retention),
            (statuses.prune, self.retention),
            (steps.prune, self.retention),
            (happenings.prune, self.retention),
            (forwarded.prune, self.retention),
            (forwarded.empty, min(self.retention, LIFE_OF_BODIES)),
            (commands.prune, self.retention),
            (hook_reports.prune, self.retention),
            (comments.prune, max(self.retention, LIFE_OF_COMMENTS)),
            (credentials.prune, max(self.retention, LIFE_OF_TOKENS)),
            (credentials.prune_chains, IDLE),
        ):
            while deleted := await self._deleted(prune, now - kept, CHUNK):
                total += deleted
        total += await self._deleted(hooks.prune, now)
        if total:
            self.log.info("Old rows deleted", event="store.pruned", count=total)

    async def _deleted(
        self, prune: Callable[Concatenate[Transaction, P], int], *args: P.args, **kwargs: P.kwargs
    ) -> int:
        """How many rows *prune* deleted. If it fails, it is none: the others have their turn all the same."""
        try:
            return await self.store.transact(prune, *args, **kwargs)
        except CancelledError:
            raise  # the service stops
        except StoreUnavailable as error:
            self.log.warn("The store is not available", event="store.unavailable", reason=str(error))
        except Exception:  # noqa: BLE001 (no row that cannot be deleted may keep all others)
            self.log.failure("A round failed", event="round.failed", step=f"janitor ({prune.__module__})")
        return 0
