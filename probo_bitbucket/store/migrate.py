"""Brings a database's tables to the form that this version works with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from attrs import frozen

from probo_bitbucket.store.engine import Engine

# Any number will do that nothing else on the server locks.
_ADVISORY_LOCK = 0x70726F626F


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
    """Run the migrations that a database has not had, in one transaction; return them.

    Nodes that start at the same time wait for each other. Raises StoreTooNew or StoreUnavailable.
    """
    with engine.begin() as connection:
        _wait_for_others(connection)
        pending = _form(connection, engine.address).pending
        if pending:
            command.upgrade(_config(connection), "head")
    return pending


def _wait_for_others(connection: sa.Connection) -> None:
    """On SQLite, every transaction has the file for itself anyway."""
    if connection.dialect.name == "postgresql":
        # A migration may take longer than daily work.
        connection.execute(sa.text("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"))
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))


def _form(connection: sa.Connection, address: str) -> Form:
    current = MigrationContext.configure(connection).get_current_revision() or ""
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
    config = Config()
    config.set_main_option("script_location", "probo_bitbucket.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
