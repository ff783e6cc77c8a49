"""Pages of a list, each found by where the one before it ended: as quick in the millionth row as in the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from attrs import frozen

T = TypeVar("T")

SIZE = 50  # rows of a page
SEARCHED = 5_000  # of the latest rows, looked through for what no index knows: words, a number of any repository


class BadCursor(ValueError):
    """A place in a list that is none."""


@frozen
class Page(Generic[T]):
    """Some rows of a list. *after* is the place where the next page begins; empty at the end of the list."""

    items: Sequence[T]
    after: str = ""


def cut(tx: sa.Connection, query: sa.Select[Any], place: Callable[[Any], str]) -> Page[sa.Row[Any]]:
    """The first page of the rows that *query* finds. *place* tells where in the list a row is."""
    rows = tx.execute(query.limit(SIZE + 1)).all()
    return Page(rows[:SIZE], place(rows[SIZE - 1]) if len(rows) > SIZE else "")
