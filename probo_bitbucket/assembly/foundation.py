"""Foundation: what a handler keeps when its settings are read again."""

from __future__ import annotations

from collections.abc import Callable
from io import FileIO
from typing import Any

from probo_bitbucket.bitbucket import payloads
from probo_bitbucket.config import Settings
from probo_bitbucket.metrics import Metrics
from probo_bitbucket.store import Database, Engine, Transaction, nodes
from probo_bitbucket.store.migrate import upgrade
from probo_bitbucket.store.sole import claim


class Foundation:
    """What stays when the settings are read again: the store, and what was counted."""

    def __init__(self, settings: Settings, reactor: Any) -> None:
        self._engine = Engine(settings.database_url)
        self._lock: FileIO | None = None
        self.store = Database(self._engine, reactor)
        self.metrics = Metrics(payloads.EVENT_KEYS)

    def open(self, begin: Callable[[Transaction], None]) -> None:
        """Bring the tables up to date, run *begin*, and start the store's thread.

        Raises StoreTooNew or StoreUnavailable.
        """
        if self._engine.file:
            self._lock = claim(self._engine.file)
        upgrade(self._engine)
        with self._engine.begin() as tx:
            if self._lock:
                nodes.release_all(tx)
            begin(tx)
        self.store.start()

    async def close(self) -> None:
        await self.store.stop()
        self.let_go()

    def let_go(self) -> None:
        """Let another process have the store."""
        if self._lock:
            self._lock.close()
