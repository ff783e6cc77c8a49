"""Brings a database's tables to the form that this version works with.

Alembic is imported where there may be something to do: it takes longer than the rest of a start, and 11 MiB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from attrs import frozen

from probo_bitbucket.store.engine import Engine
from probo_bitbucket.store.privacy import make_directory

if TYPE_CHECKING:
    from alembic.config import Config

NEWEST = "0001"  # the last migration

# Any number will do that nothing else on the server locks.
_ADVISORY_LOCK = 0x70726F626F

_REVISIONS = sa.table("alembic_version", sa.column("version_num", sa.String))  # Alembic's own


class StoreTooNew(Exception):
    """The tables were made by a later version. This one could damage what it does not know."""


@frozen
class Migration:
    """One step from one form of the tables to the next."""

    revision: str
    subject: str


@frozen
class Form:
    """How far a database's tables are: the newest migration they have ("" for an empty database), and what is left."""

    current: str
    pending: tuple[Migration, ...]


def empty() -> Engine:
    """A store in memory, with all tables and nothing in them."""
    engine = Engine("sqlite://")
    upgrade(engine)
    return engine


def form(engine: Engine) -> Form:
    """Look how far a database is. Raises StoreTooNew or StoreUnavailable."""
    with engine.begin() as connection:
        return _form(connection, engine.address)


def upgrade(engine: Engine) -> tuple[Migration, ...]:
    """Run the migrations that a database has not had, in one transaction; return them. Of SQLite's, the file is made.

    Nodes that start at the same time wait for each other. Raises StoreTooNew or StoreUnavailable.
    """
    if engine.file:
        make_directory(engine.file)
    with engine.begin() as connection:
        if _revision(connection) == NEWEST:
            return ()
        _wait_for_others(connection)
        pending = _form(connection, engine.address).pending
        if pending:
            _run_pending(connection)
    return pending


def _revision(connection: sa.Connection) -> str:
    """The last migration that a database has had, "" for an empty one."""
    if not sa.inspect(connection).has_table(_REVISIONS.name):
        return ""
    return connection.scalar(sa.select(_REVISIONS.c.version_num)) or ""


def _run_pending(connection: sa.Connection) -> None:
    from alembic import command

    command.upgrade(_config(connection), "head")


def _wait_for_others(connection: sa.Connection) -> None:
    """On SQLite, every transaction has the file for itself anyway."""
    if connection.dialect.name == "postgresql":
        # A migration may take longer than daily work.
        connection.execute(sa.text("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"))
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))


def _form(connection: sa.Connection, address: str) -> Form:
    from alembic.script import ScriptDirectory

    current = _revision(connection)
    newest_first = list(ScriptDirectory.from_config(_config(connection)).walk_revisions())
    revisions = [script.revision for script in newest_first]
    if current and current not in revisions:
        raise StoreTooNew(
            f"{address} was made by a later version of probo-bitbucket (its tables are at {current}, "
            f"this version knows {revisions[0]}): install that version, or restore a backup"
        )
    pending = newest_first[: revisions.index(current)] if current else newest_first
    return Form(current, tuple(Migration(script.revision, script.doc) for script in reversed(pending)))


def _config(connection: sa.Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "probo_bitbucket.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
