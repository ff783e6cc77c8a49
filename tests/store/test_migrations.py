"""Migrations: what they make, and when they are run."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from probo_bitbucket.store import (
    Engine,
    StoreUnavailable,
    partial_indexes,  # noqa: F401 (adds them to the tables of schema.py)
)
from probo_bitbucket.store.migrate import NEWEST, StoreTooNew, form, upgrade
from probo_bitbucket.store.schema import metadata


def _described(connection: sa.Connection) -> dict[str, Any]:
    look = sa.inspect(connection)
    return {
        table: {
            "columns": [{**column, "type": str(column["type"])} for column in look.get_columns(table)],
            "key": look.get_pk_constraint(table),
            "unique": look.get_unique_constraints(table),
            "indexes": {index["name"]: _index(index) for index in look.get_indexes(table)},
        }
        for table in metadata.tables
    }


def _index(index: Any) -> tuple[Any, ...]:
    conditions = {option: str(value) for option, value in index["dialect_options"].items()}
    return index["column_names"], index["unique"], conditions


def test_the_migrations_make_the_tables_that_the_queries_know(engine: Engine) -> None:
    with engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        migrated = _described(connection)
        metadata.drop_all(connection)
        metadata.create_all(connection)
        assert migrated == _described(connection)


def test_an_upgrade_tells_what_it_did_and_a_second_one_does_nothing(url: str) -> None:
    engine = Engine(url)
    assert form(engine).current == ""
    assert [migration.revision for migration in upgrade(engine)][-1] == NEWEST
    assert form(engine).current == NEWEST
    assert form(engine).pending == ()
    assert upgrade(engine) == ()
    engine.close()


def test_what_is_pending_is_listed_in_the_order_of_its_application(url: str) -> None:
    engine = Engine(url)
    pending = form(engine).pending
    assert pending[0].revision == "0001"
    assert pending[0].subject == "The first tables."
    engine.close()


def test_a_start_imports_only_what_it_needs(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    upgrade(Engine(url))
    start = f"""if True:
        import sys
        import probo_bitbucket.service
        import probo_bitbucket.tap
        from probo_bitbucket.store import Engine
        from probo_bitbucket.store.migrate import upgrade
        upgrade(Engine({url!r}))
        print(*sorted({{"alembic", "jinja2", "psycopg", "sqlalchemy.dialects.postgresql"}} & set(sys.modules)))
    """
    assert subprocess.run([sys.executable, "-c", start], capture_output=True, check=True, text=True).stdout == "\n"


def test_who_has_postgresql_needs_no_sqlite() -> None:
    start = """if True:
        import sys
        from probo_bitbucket.store import Engine
        Engine("postgresql://probo@db.example.com/probo")
        print(*sorted({"psycopg", "sqlite3", "sqlalchemy.dialects.sqlite"} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, check=True, text=True)
    assert done.stdout == "psycopg\n"


def test_nodes_that_start_at_once_upgrade_once(url: str) -> None:
    engines = [Engine(url) for _ in range(4)]
    with ThreadPoolExecutor(len(engines)) as threads:
        done = list(threads.map(upgrade, engines))
    assert sorted(map(len, done)) == [0, 0, 0, 1]
    for engine in engines:
        engine.close()


def test_a_database_of_a_later_version_is_refused_and_left_as_it_is(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreTooNew, match="its tables are at 9999"):
        upgrade(engine)
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "9999"


def test_a_database_that_cannot_be_opened_is_named_without_its_password(tmp_path: Path) -> None:
    engine = Engine(f"postgresql://probo:open-sesame@/nowhere?host={tmp_path}")
    with pytest.raises(StoreUnavailable, match="nowhere") as raised:
        upgrade(engine)
    assert "open-sesame" not in str(raised.value)


def test_an_sqlite_file_is_made_with_its_directory_or_that_is_named(tmp_path: Path) -> None:
    engine = Engine(f"sqlite:///{tmp_path}/missing/store.db")
    upgrade(engine)
    engine.close()
    assert (tmp_path / "missing").stat().st_mode & 0o777 == 0o700
    with pytest.raises(StoreUnavailable, match=r"missing/store\.db cannot be made: "):
        upgrade(Engine(f"sqlite:///{tmp_path}/missing/store.db/store.db"))
