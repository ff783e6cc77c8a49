"""A connection to PostgreSQL that is given up when its server says nothing any more.

All timeouts that PostgreSQL and TCP know are kept by the server or by its kernel. A server process that is frozen, or
waits for a disk that is, keeps none, while its kernel goes on confirming what it is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

SILENCE = 12.0  # seconds to wait for the end of a statement: the server's own timeouts are shorter

# A node that is frozen or cut off must not hold the others up, nor wait for ever itself.
_TIMEOUTS = {"statement_timeout": 10_000, "lock_timeout": 5_000, "idle_in_transaction_session_timeout": 10_000}
_PARAMETERS = {
    "options": " ".join(f"-c {name}={milliseconds}" for name, milliseconds in _TIMEOUTS.items()),
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "fallback_application_name": "probo-bitbucket",
}


class Connection(psycopg.Connection[Any]):
    """Closes itself where a statement takes longer than SILENCE: what became of it is not known then."""

    _bounded = True

    def wait(self, gen: PQGen[Any], *arguments: Any, **named: Any) -> Any:
        try:
            return super().wait(gen, *arguments, **{**named, "timeout": SILENCE if self._bounded else None})
        except _WaitTimeout:
            self.close()
            raise psycopg.OperationalError(f"the database has been silent for {SILENCE:g} s") from None

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Wait for ever: a migration takes as long as it takes."""
        self._bounded = False
        try:
            yield
        finally:
            self._bounded = True


class Dialect(PGDialect_psycopg):
    """Connects as above. With a listener to "do_connect", SQLAlchemy would look for others with each statement."""

    supports_statement_cache = True

    def connect(self, *arguments: Any, **parameters: Any) -> Any:
        return Connection.connect(*arguments, **parameters)


sa.dialects.registry.register("postgresql.probo", __name__, "Dialect")


def create_engine(url: sa.URL) -> sa.Engine:
    """An engine with one connection, for one thread at a time."""
    return sa.create_engine(
        url.set(drivername="postgresql+probo"), pool_size=1, max_overflow=0, connect_args=_PARAMETERS
    )
