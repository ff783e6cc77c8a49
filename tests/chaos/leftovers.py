"""What is left over in a store, found with plain SQL: not by the code that is on trial."""

from __future__ import annotations

import sqlalchemy as sa

_COUNTS = {
    "deliveries not decided": "SELECT count(*) FROM deliveries WHERE pending",
    "builds not started": "SELECT count(*) FROM builds WHERE pending",
    "builds not ended": "SELECT count(*) FROM builds WHERE state = 'running'",
    "builds given up": "SELECT count(*) FROM builds WHERE NOT pending AND state IN ('invalid', 'refused', 'failed')",
    "environments not taken down": "SELECT count(*) FROM removals WHERE pending OR last_error <> ''",
    "statuses not reported": "SELECT count(*) FROM statuses WHERE pending",
    "statuses given up": "SELECT count(*) FROM statuses WHERE failed",
    "deliveries in hand": "SELECT count(*) FROM deliveries WHERE leased_by <> ''",
    "builds in hand": "SELECT count(*) FROM builds WHERE leased_by <> ''",
    "removals in hand": "SELECT count(*) FROM removals WHERE leased_by <> ''",
    "statuses in hand": "SELECT count(*) FROM statuses WHERE leased_by <> ''",
}


def leftovers(url: str) -> dict[str, int]:
    """How many rows there are of each kind that must not be left, in the database at *url*; no word of those at 0."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1), poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        counts = {what: int(connection.scalar(sa.text(query)) or 0) for what, query in _COUNTS.items()}
    return {what: count for what, count in counts.items() if count}
