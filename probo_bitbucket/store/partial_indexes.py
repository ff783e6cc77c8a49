"""The indexes of a part of a table's rows. What stands here is what the newest migration makes, as in schema.py.

They have a module of their own because SQLAlchemy loads the dialect of every database that a condition is for, which
is 2.6 MiB for a PostgreSQL that most daemons do not have. Only who makes or compares tables needs them.
"""

from __future__ import annotations

from attrs import frozen
from sqlalchemy import Index, Table, text

from probo_bitbucket.store import schema


@frozen
class Part:
    """Which rows: the condition in SQLite and in PostgreSQL, in the words of the queries."""

    in_sqlite: str
    in_postgresql: str

    def index(self, table: Table, name: str, *columns: str) -> None:
        """Add an index of these rows to *table*."""
        Index(
            f"{table.name}_{name}",
            *(table.c[column] for column in columns),
            sqlite_where=text(self.in_sqlite),
            postgresql_where=text(self.in_postgresql),
        )


# What is something to do: as small as the backlog, however long the history.
PENDING = Part("pending = 1", "pending")

# What lists show: the rows that are left out may be many times as many.
TELLING = Part("noise = 0", "NOT noise")

# What led to a build. No delivery has done so yet when it comes in, and many never do.
BUILT = Part("build_id IS NOT NULL", "build_id IS NOT NULL")

# What is tried again after its last try failed, and what was given up on.
TROUBLED = Part("last_error <> ''", "last_error <> ''")
FAILED = Part("failed = 1", "failed")

# A lease is renewed again and again, and must be found among all that was ever done.
LEASED = Part("leased_by <> ''", "leased_by <> ''")

PENDING.index(schema.deliveries, "pending", "id")
PENDING.index(schema.deliveries, "pending_lane", "lane", "id")
PENDING.index(schema.builds, "pending", "created_at", "id")
PENDING.index(schema.builds, "pending_lane", "lane", "created_at", "id")
PENDING.index(schema.pull_requests, "pending", "changed_at")
PENDING.index(schema.removals, "pending", "wanted_at")
PENDING.index(schema.watches, "pending", "due_at")
PENDING.index(schema.statuses, "pending", "rank", "due_at")
PENDING.index(schema.forwarded, "pending", "id")
PENDING.index(schema.forwarded, "pending_lane", "lane", "id")
PENDING.index(schema.repositories, "pending", "due_at")
PENDING.index(schema.commands, "pending", "number")
PENDING.index(schema.commands, "pending_lane", "lane", "number")
PENDING.index(schema.comments, "pending", "due_at")
PENDING.index(schema.hand_ons, "pending", "due_at")

TELLING.index(schema.deliveries, "telling", "id")
TELLING.index(schema.deliveries, "telling_in_state", "state", "id")
TELLING.index(schema.deliveries, "telling_of_repository", "repository", "id")

BUILT.index(schema.deliveries, "of_build", "build_id", "id")

TROUBLED.index(schema.pull_requests, "troubled", "changed_at")
TROUBLED.index(schema.removals, "troubled", "wanted_at")
TROUBLED.index(schema.commands, "troubled", "created_at")
TROUBLED.index(schema.comments, "troubled", "changed_at")
TROUBLED.index(schema.hand_ons, "troubled", "renewed_at")

FAILED.index(schema.statuses, "failed", "changed_at")
FAILED.index(schema.forwarded, "failed", "received_at")

for _table in schema.metadata.tables.values():
    if {"pending", "leased_by"} <= set(_table.columns.keys()):
        LEASED.index(_table, "leased", "leased_by")
