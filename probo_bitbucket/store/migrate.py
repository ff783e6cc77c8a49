"""Brings a database's tables to the newest form."""

from __future__ import annotations

from probo_bitbucket.store.database import Engine
from probo_bitbucket.store.schema import metadata


def upgrade(engine: Engine) -> None:
    """Make what is missing."""
    with engine.begin() as connection:
        metadata.create_all(connection)
