"""One connection, one thread, one commit for all that waits: the only way to the tables.

All operations that arrive in one turn of the reactor, or while a commit is on its way, share the next one, so that
durability costs a fraction of a disk flush each.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from probo_bitbucket.store import house
from probo_bitbucket.store.engine import Engine, Operation, StoreUnavailable

T = TypeVar("T")
P = ParamSpec("P")

BATCH = 256  # operations that share one commit at most
BACKLOG = 20_000  # operations that may wait; more are refused


@frozen
class _Job:
    operation: Operation[Any]
    result: Deferred[Any]


class Database:
    """The store's thread. `transact` may be called from `start` on; `stop` waits for what was asked before."""

    def __init__(self, engine: Engine, reactor: IReactorFromThreads) -> None:
        self._engine = engine
        self._reactor = reactor
        self._asked: list[_Job] = []  # in this turn of the reactor
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._stopping = False
        self._stopped: Deferred[None] = Deferred()
        self._in_doubt = False  # an operation failed, and nothing was written since to show that all is well again

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> Deferred[None]:
        """Fires when everything asked before is committed and the connection is closed. What comes later is refused."""
        self._stopping = True
        self._hand_over()
        self._jobs.put(None)
        return self._stopped

    def transact(
        self, operation: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """Run *operation* with a connection and these arguments, and commit.

        Fails with StoreUnavailable, or with what the operation raised. Cancelling the Deferred does not stop the
        operation: it only stops waiting for it.
        """
        result: Deferred[T] = Deferred()
        if self._stopping:
            result.errback(StoreUnavailable("the store is closed"))
        elif self._jobs.qsize() + len(self._asked) >= BACKLOG:
            result.errback(StoreUnavailable("too much waits for the database"))
        else:
            if not self._asked:
                self._reactor.callFromThread(self._hand_over)  # as soon as callLater(0), also where a clock is set back
            self._asked.append(_Job(lambda tx: operation(tx, *args, **kwargs), result))
        return result

    def _hand_over(self) -> None:
        """Give the thread what was asked: it would begin with the first job alone, and the next ones wait for that."""
        asked, self._asked = self._asked, []
        for job in asked:
            self._jobs.put(job)

    async def check_writable(self) -> None:
        """Raises StoreUnavailable where an operation failed and it would go no better now: a full disk can be read.

        Costs nothing as long as none fails.
        """
        if self._in_doubt:
            await self.transact(house.try_room)
            self._in_doubt = False

    def _work(self) -> None:
        jobs = self._next()
        while jobs:
            outcomes = self._engine.run([job.operation for job in jobs])
            self._reactor.callFromThread(self._fire, jobs, outcomes)
            jobs = self._next()
        self._engine.close()
        self._reactor.callFromThread(self._stopped.callback, None)

    def _next(self) -> list[_Job]:
        """All jobs that wait, at least one; none when the store is to stop."""
        jobs: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) == BATCH or self._jobs.empty():
                return jobs
            job = self._jobs.get()
        if jobs:
            self._jobs.put(None)  # finish these first
        return jobs

    def _fire(self, jobs: list[_Job], outcomes: list[Any]) -> None:
        if any(isinstance(outcome, Failure) and outcome.check(StoreUnavailable) for outcome in outcomes):
            self._in_doubt = True
        for job, outcome in zip(jobs, outcomes, strict=True):
            job.result.callback(outcome)
