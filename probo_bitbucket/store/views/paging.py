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


def cut(tx: sa.Connection, query: sa.Select[Any], show: Callable[[Any], T], place: Callable[[T], str]) -> Page[T]:
    """The first page of what *query* finds, each row made into what is shown by *show*."""
    items = [show(row) for row in tx.execute(query.limit(SIZE + 1))]
    return Page(items[:SIZE], place(items[SIZE - 1]) if len(items) > SIZE else "")
