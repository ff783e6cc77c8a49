"""All that knows SQL: schema, migrations, queries.

`Database.transact(operation, …)` runs an operation of the modules here, or a function that calls several of them with
the same `Transaction`, and commits.
"""

from sqlalchemy import Connection as Transaction

from probo_bitbucket.store.database import Database
from probo_bitbucket.store.engine import Engine, StoreDefect, StoreUnavailable
from probo_bitbucket.store.sql import LEASE, Effort, Lease, LeaseLost

__all__ = [
    "LEASE",
    "Database",
    "Effort",
    "Engine",
    "Lease",
    "LeaseLost",
    "StoreDefect",
    "StoreUnavailable",
    "Transaction",
]
