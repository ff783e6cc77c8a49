"""Run by Alembic for every upgrade, in the transaction that migrate.py began."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
