"""How a database finds what it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from probo_bitbucket.store import Engine


def plans_of(engine: Engine, tx: sa.Connection, work: Callable[[sa.Connection], Any]) -> list[str]:
    """The plan of each statement of *work*, a line for each step."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, text: str, values: Any, *_: Any) -> None:
        asked.append((text, values))

    sa.event.listen(tx, "before_cursor_execute", note)
    work(tx)
    sa.event.remove(tx, "before_cursor_execute", note)
    if engine.dialect == "postgresql":
        tx.exec_driver_sql("ANALYZE")
    explain = "EXPLAIN " if engine.dialect == "postgresql" else "EXPLAIN QUERY PLAN "
    plans = [tx.exec_driver_sql(explain + text, values) for text, values in asked]
    return ["\n".join(str(row[-1]) for row in plan) for plan in plans]
