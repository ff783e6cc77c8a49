"""What a piece of work has taken so far, or took until it was done."""

from __future__ import annotations

from typing import Any, ClassVar

import sqlalchemy as sa
from attrs import frozen


@frozen
class Tries:
    """*trouble* is the last error, also where a later try succeeded."""

    waiting: bool  # there is still something to do
    count: int
    trouble: str
    next_at: float | None  # when it is tried again, after trouble
    NONE: ClassVar[Tries]

    @classmethod
    def of(cls, row: sa.Row[Any]) -> Tries:
        if row.pending:
            return cls(True, row.attempts, row.last_error, row.due_at if row.last_error else None)
        return cls(False, row.tries, row.last_error or row.trouble, None)


Tries.NONE = Tries(False, 0, "", None)
