"""Model objects in text columns."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import msgspec
import sqlalchemy as sa

T = TypeVar("T")


def dump(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def load(text: str, kind: type[T]) -> T:
    return msgspec.json.decode(text, type=kind)


def inside(tx: sa.Connection, column: sa.Column[str], *path: str) -> sa.ColumnElement[str]:
    """A text in the JSON of a column; null where the column is empty."""
    text = sa.func.nullif(column, "")
    document = sa.cast(text, sa.JSON) if tx.dialect.name == "postgresql" else sa.type_coerce(text, sa.JSON)
    return cast("sa.ColumnElement[str]", document[path].as_string())
