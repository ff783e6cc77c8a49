"""A connection to PostgreSQL that is given up when its server says nothing any more.

All timeouts that PostgreSQL and TCP know are kept by the server or by its kernel. A server process that is frozen, or
waits for a disk that is, keeps none, while its kernel goes on confirming what it is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout

SILENCE = 12.0  # seconds to wait for the end of a statement: the server's own timeouts are shorter


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
    def unbounded(self) -> Iterator[None]:
        """Wait for ever: a migration takes as long as it takes."""
        self._bounded = False
        try:
            yield
        finally:
            self._bounded = True
