"""A connection to SQLite: private, durable, and with transactions that can write from the beginning."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.pool import PoolProxiedConnection

from probo_bitbucket.store.privacy import keep_private

BUSY_TIMEOUT = 2.0  # seconds to wait for another process that has the file locked
MIGRATION_TIMEOUT = 20.0  # seconds to wait where another process may be making the tables
WAL_PAUSE = 0.01  # seconds between two tries to have a new file written as a WAL

# What a statement changes, until it has ended. Of one that a delivery takes, that would be 20 writes to /var/tmp,
# with what the delivery tells; of one that a migration takes, it can be as large as the database.
_JOURNAL_IN_MEMORY = "PRAGMA temp_store=MEMORY"
_JOURNAL_IN_FILE = "PRAGMA temp_store=FILE"


class Connection(sqlite3.Connection):
    """Makes the file where it is not there, and closes it to other users. What is committed is on the disk."""

    def __init__(self, database: str, **options: Any) -> None:
        if database != ":memory:":
            keep_private(Path(database))
        super().__init__(database, **options)
        try:
            self._prepare()
        except sqlite3.Error:
            self.close()
            raise

    def _prepare(self) -> None:
        self.isolation_level = None  # the driver must not begin and commit on its own account
        self._use_wal()
        self.execute("PRAGMA synchronous=FULL")
        self.execute(_JOURNAL_IN_MEMORY)
        self._wait_for_others(BUSY_TIMEOUT)

    def _use_wal(self) -> None:
        """SQLite waits for nobody here, and several processes may have made the file at the same time."""
        end = time.monotonic() + MIGRATION_TIMEOUT
        while True:
            try:
                self.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > end:
                    raise
                time.sleep(WAL_PAUSE)
            else:
                return

    def _wait_for_others(self, seconds: float) -> None:
        self.execute(f"PRAGMA busy_timeout = {1000 * seconds:.0f}")

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Wait for another process as long as its migration can take, and leave room for our own."""
        self._wait_for_others(MIGRATION_TIMEOUT)
        self.execute(_JOURNAL_IN_FILE)
        try:
            yield
        finally:
            self._wait_for_others(BUSY_TIMEOUT)
            self.execute(_JOURNAL_IN_MEMORY)


def _is_busy(error: sqlite3.Error) -> bool:
    """Whether another process has the file, for any reason: the lowest byte of SQLite's code tells no reason."""
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


class Dialect(SQLiteDialect_pysqlite):
    """Begins a transaction itself. A listener to "begin" would have each statement take a quarter longer: once an
    engine has any listener, SQLAlchemy calls those to all of its events.
    """

    supports_statement_cache = True

    def do_begin(self, dbapi_connection: PoolProxiedConnection) -> None:
        # A transaction that begins by reading could not become a writing one while another process writes.
        dbapi_connection.cursor().execute("BEGIN IMMEDIATE")


sa.dialects.registry.register("sqlite.probo", __name__, "Dialect")


def create_engine(url: sa.URL) -> sa.Engine:
    """An engine with one connection, for one thread at a time."""
    return sa.create_engine(
        url.set(drivername="sqlite+probo"),
        poolclass=sa.pool.StaticPool,
        connect_args={"factory": Connection, "timeout": MIGRATION_TIMEOUT, "check_same_thread": False},
    )
