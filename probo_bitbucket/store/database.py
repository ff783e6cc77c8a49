"""One connection, one thread, one commit for all that waits: the only way to the tables.

An operation is a plain function of a connection. All operations that arrive while a commit is on its way share the
next one, so that durability costs a fraction of a disk flush each. When one of them fails, the transaction is taken
back and each is run again in a transaction of its own: an operation must do nothing but read and write rows.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

T = TypeVar("T")
P = ParamSpec("P")
Operation = Callable[[sa.Connection], T]

BATCH = 256  # operations that share one commit at most
BACKLOG = 20_000  # operations that may wait; more are refused
BUSY_TIMEOUT = 2.0  # seconds to wait for another process that has the SQLite file locked
REPEATS = 3  # tries of an operation that lost a race against another node


class StoreUnavailable(Exception):
    """The database cannot be written or reached now: disk full, locked, gone. Nothing was changed."""


@frozen
class _Job:
    operation: Operation[Any]
    result: Deferred[Any]


class Engine:
    """A connection to the database that runs batches of operations. Not for several threads at once."""

    def __init__(self, url: str) -> None:
        self._engine = _create(url)

    @property
    def dialect(self) -> str:
        return self._engine.dialect.name

    def begin(self) -> Any:
        """A context manager of one transaction, for migrations."""
        return self._engine.begin()

    def run(self, operations: list[Operation[Any]]) -> list[Any]:
        """The result of each operation, or the Failure that it ended with. All that succeeded is committed."""
        try:
            return self._commit(operations)
        except (OperationalError, InterfaceError) as error:
            if not _lost_race(error):
                unavailable = Failure(StoreUnavailable(_words(error)))
                return [unavailable for _ in operations]
        except Exception:  # noqa: BLE001, S110 (one operation's error must not take the others with it)
            pass
        return [self._run_alone(operation) for operation in operations]

    def _commit(self, operations: list[Operation[Any]]) -> list[Any]:
        try:
            with self._engine.begin() as connection:
                return [operation(connection) for operation in operations]
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        # The server was restarted since the last transaction: all it takes is a new connection.
        with self._engine.begin() as connection:
            return [operation(connection) for operation in operations]

    def _run_alone(self, operation: Operation[T]) -> T | Failure:
        for _ in range(REPEATS):
            try:
                with self._engine.begin() as connection:
                    return operation(connection)
            except (OperationalError, InterfaceError) as error:
                failure = Failure(StoreUnavailable(_words(error)))
                if not _lost_race(error):
                    break
            except DBAPIError as error:
                # SQLAlchemy's own text has the statement's parameters in it, and they may be secrets.
                return Failure(RuntimeError(f"{type(error.orig).__name__}: {_words(error)}"))
            except Exception:  # noqa: BLE001 (it is the caller's, who gets it)
                return Failure()
        return failure

    def close(self) -> None:
        self._engine.dispose()


class Database:
    """The store's thread. `transact` may be called from `start` on; `stop` waits for what was asked before."""

    log = Logger()

    def __init__(self, engine: Engine, reactor: IReactorFromThreads) -> None:
        self._engine = engine
        self._reactor = reactor
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._stopped: Deferred[None] = Deferred()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> Deferred[None]:
        """Fires when everything asked before is committed and the connection is closed."""
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
        if self._jobs.qsize() >= BACKLOG:
            result.errback(StoreUnavailable("too much waits for the database"))
        else:
            self._jobs.put(_Job(lambda tx: operation(tx, *args, **kwargs), result))
        return result

    def _work(self) -> None:
        jobs = self._next()
        while jobs:
            outcomes = self._engine.run([job.operation for job in jobs])
            self._reactor.callFromThread(_fire, jobs, outcomes)
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


def _fire(jobs: list[_Job], outcomes: list[Any]) -> None:
    for job, outcome in zip(jobs, outcomes, strict=True):
        job.result.callback(outcome)


def _create(url: str) -> sa.Engine:
    if url.startswith("sqlite"):
        engine = sa.create_engine(
            url, poolclass=sa.pool.StaticPool, connect_args={"timeout": BUSY_TIMEOUT, "check_same_thread": False}
        )
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    return sa.create_engine(
        url.replace("postgresql://", "postgresql+psycopg://", 1),
        pool_size=1,
        max_overflow=0,
        connect_args={"connect_timeout": 3, "options": "-c statement_timeout=10000 -c lock_timeout=5000"},
    )


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver must not begin and commit on its own account
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that begins by reading could not become a writing one while another process writes.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _words(error: DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0]


def _lost_race(error: DBAPIError) -> bool:
    """PostgreSQL's serialization failure and deadlock: the same again may succeed."""
    return getattr(error.orig, "sqlstate", "") in ("40001", "40P01")
