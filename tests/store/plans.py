"""How a database finds what it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from probo_bitbucket.store import Engine


def plans_of(engine: Engine, tx: sa.Connection, work: Callable[[sa.Connection], Any]) -> list[str]:
    """The plan of each statement of *work*, a line for each step."""
    asked: list[tuple[str, Any]] = []
    sa.event.listen(tx, "before_cursor_execute", lambda _c, _k, text, values, *_: asked.append((text, values)))
    work(tx)
    statements = asked.copy()
    if engine.dialect == "postgresql":
        tx.exec_driver_sql("ANALYZE")
    explain = "EXPLAIN " if engine.dialect == "postgresql" else "EXPLAIN QUERY PLAN "
    plans = [tx.exec_driver_sql(explain + text, values) for text, values in statements]
    return ["\n".join(str(row[-1]) for row in plan) for plan in plans]
