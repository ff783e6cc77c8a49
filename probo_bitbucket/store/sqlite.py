"""SQLite for SQLAlchemy, with transactions that can write from the beginning."""

from __future__ import annotations

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.pool import PoolProxiedConnection


class Dialect(SQLiteDialect_pysqlite):
    """Begins a transaction itself. A listener to "begin" would have each statement take a quarter longer: once an
    engine has any listener, SQLAlchemy calls those to all of its events.
    """

    supports_statement_cache = True

    def do_begin(self, dbapi_connection: PoolProxiedConnection) -> None:
        # A transaction that begins by reading could not become a writing one while another process writes.
        dbapi_connection.cursor().execute("BEGIN IMMEDIATE")
