"""The engine when the database fails: nothing is half done, and it works again without a restart."""

from __future__ import annotations

import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from twisted.python.failure import Failure

from probo_bitbucket.store import Engine, StoreDefect, StoreUnavailable
from probo_bitbucket.store import engine as engines
from probo_bitbucket.store import postgresql as postgresql_driver
from probo_bitbucket.store import sqlite as sqlite_driver
from probo_bitbucket.store.migrate import upgrade
from probo_bitbucket.store.schema import house
from tests.postgres import Cluster, running_cluster

own_cluster = pytest.fixture(scope="module")(running_cluster)

WRITE = sa.insert(house)


def put(name: str, value: str = "") -> Callable[[sa.Connection], str]:
    """An operation that writes a row and returns its name."""

    def operation(tx: sa.Connection) -> str:
        tx.execute(WRITE, {"name": name, "value": value})
        return name

    return operation


def names(engine: Engine) -> list[str]:
    """The names of all rows that *put* wrote."""
    with engine.begin() as connection:
        return sorted(connection.scalars(sa.select(house.c.name).where(~house.c.name.startswith("commit of "))))


def fail(_: sa.Connection) -> None:
    raise LookupError("mine")


def temporary_files() -> list[str]:
    """The names of SQLite's that are open."""
    open_files = [each.readlink().name for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    return [name for name in open_files if name.startswith("etilqs")]


def outcome(result: Any) -> Any:
    """What became of an operation: its result, or the type of its error as callers know it."""
    return (result.check(StoreUnavailable) or result.type) if isinstance(result, Failure) else result


def outcomes(engine: Engine, *operations: Callable[[sa.Connection], Any]) -> list[Any]:
    return [outcome(result) for result in engine.run(list(operations))]


@pytest.fixture
def shared(own_cluster: Cluster) -> Iterator[Engine]:
    """An engine on a PostgreSQL that the test may stop."""
    url = own_cluster.new_database()
    engine = Engine(url)
    upgrade(engine)
    yield engine
    engine.close()
    own_cluster.drop_database(url)


# One transaction for all


def test_operations_of_a_batch_share_a_commit(engine: Engine) -> None:
    commits: list[sa.Connection] = []
    sa.event.listen(engine._engine, "commit", commits.append)
    assert outcomes(engine, *map(put, "abc")) == ["a", "b", "c"]
    assert len(commits) == 1


def test_a_failing_operation_does_not_take_the_others_with_it(engine: Engine) -> None:
    assert outcomes(engine, put("a"), fail, put("b")) == ["a", LookupError, "b"]
    assert names(engine) == ["a", "b"]


def test_what_a_failing_operation_wrote_is_taken_back(engine: Engine) -> None:
    def write_and_fail(tx: sa.Connection) -> None:
        put("half")(tx)
        fail(tx)

    assert outcomes(engine, write_and_fail) == [LookupError]
    assert outcomes(engine, write_and_fail, put("a")) == [LookupError, "a"]
    assert names(engine) == ["a"]


def test_the_error_of_a_defect_names_no_values(engine: Engine) -> None:
    engine.run([put("open-sesame")])
    (failure,) = engine.run([put("open-sesame", "swordfish")])
    assert isinstance(failure, Failure)
    text = f"{failure.value} {failure.getTraceback()}"
    assert "UNIQUE" in text.upper()
    assert "swordfish" not in text
    assert "open-sesame" not in text


def test_a_statement_that_the_database_does_not_understand_is_a_defect(postgresql: str) -> None:
    engine = Engine(postgresql)
    assert outcomes(engine, lambda tx: tx.execute(sa.text("SELECT nothing"))) == [StoreDefect]
    engine.close()


def test_compiled_statements_are_used_again(engine: Engine) -> None:
    engine.run([put("a")])
    cached = len(engine._engine._compiled_cache or ())
    engine.run([put("b"), put("c")])
    assert len(engine._engine._compiled_cache or ()) == cached


# SQLite


def test_nobody_else_can_read_the_files_of_sqlite(tmp_path: Path) -> None:
    engine = Engine(f"sqlite:///{tmp_path / 'store.db'}")
    upgrade(engine)
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert files == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}
    engine.close()


def test_sqlite_commits_to_the_disk(sqlite: str) -> None:
    with Engine(sqlite).begin() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_sqlite_keeps_its_temporary_files_in_memory(sqlite: str) -> None:
    engine = Engine(sqlite)
    upgrade(engine)
    assert engine.run([put(f"row {number}", "x" * 2_000) for number in range(100)])

    def change_all(tx: sa.Connection) -> int:
        tx.execute(sa.update(house).values(value=house.c.value + "y"))  # may fail at the last row
        return len(temporary_files())

    assert engine.run([change_all]) == [0]
    with engine.begin() as connection:
        assert change_all(connection) == 1  # a migration's are as large as the database
    assert engine.run([change_all]) == [0]
    engine.close()


@pytest.mark.parametrize(
    ("code", "waits"),
    [(sqlite3.SQLITE_BUSY, True), (sqlite3.SQLITE_BUSY_RECOVERY, True), (sqlite3.SQLITE_CANTOPEN, False)],
)
def test_only_another_process_that_makes_the_file_too_is_waited_for(
    sqlite: str, monkeypatch: pytest.MonkeyPatch, code: int, waits: bool
) -> None:
    """SQLite says so at once where two want the first lock: a race, which cannot be held."""

    class Racing(sqlite_driver.Connection):
        lost = 0

        def execute(self, text: str, *values: Any) -> sqlite3.Cursor:
            if text == "PRAGMA journal_mode=WAL" and Racing.lost < 2:
                Racing.lost += 1
                error = sqlite3.OperationalError("not now")
                error.sqlite_errorcode = code
                raise error
            return super().execute(text, *values)

    monkeypatch.setattr(sqlite_driver, "WAL_PAUSE", 0.0)
    monkeypatch.setattr(sqlite_driver, "Connection", Racing)
    engine = Engine(sqlite)
    if waits:
        upgrade(engine)
        assert outcomes(engine, put("a")) == ["a"]
    else:
        with pytest.raises(StoreUnavailable, match="not now"):
            upgrade(engine)
    assert Racing.lost == (2 if waits else 1)
    engine.close()


def test_a_full_disk_changes_nothing_and_heals(sqlite: str) -> None:
    engine = Engine(sqlite)
    upgrade(engine)
    with engine.begin() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    large = put("large", "x" * 100_000)
    assert outcomes(engine, put("a"), large) == [StoreUnavailable, StoreUnavailable]
    assert names(engine) == []
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 100000")
    assert outcomes(engine, put("a"), large) == ["a", "large"]
    engine.close()


def test_nothing_is_written_into_a_file_that_was_removed_and_all_goes_on_when_it_is_back(sqlite: str) -> None:
    engine = Engine(sqlite)
    upgrade(engine)
    engine.run([put("a")])
    file = Path(sqlite.removeprefix("sqlite:///"))
    file.rename(elsewhere := file.with_name("elsewhere"))
    (failure,) = engine.run([put("lost")])
    assert failure.type is StoreUnavailable
    assert str(failure.value).startswith(f"{file} was removed")
    assert not file.exists(), "an empty database would hide the loss"
    elsewhere.rename(file)
    assert outcomes(engine, put("b")) == ["b"]
    assert names(engine) == ["a", "b"]
    engine.close()


def test_a_file_that_was_made_anew_is_used_as_soon_as_it_has_tables(sqlite: str) -> None:
    engine = Engine(sqlite)
    upgrade(engine)
    file = Path(sqlite.removeprefix("sqlite:///"))
    file.unlink()
    file.touch()
    assert outcomes(engine, put("a")) == [StoreUnavailable]
    other = Engine(sqlite)
    upgrade(other)
    assert outcomes(engine, put("b")) == ["b"]
    assert names(other) == ["b"]
    engine.close()
    assert names(other) == ["b"]
    other.close()


def test_a_locked_file_is_waited_for_once_for_the_whole_batch(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_driver, "BUSY_TIMEOUT", 0.2)
    engine = Engine(sqlite)
    upgrade(engine)
    other = sqlite3.connect(sqlite.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    assert outcomes(engine, fail, *(put(str(number)) for number in range(50))) == [StoreUnavailable] * 51
    assert time.monotonic() - began < 5
    other.execute("ROLLBACK")
    assert outcomes(engine, put("a")) == ["a"]
    assert names(engine) == ["a"]
    engine.close()


def test_before_daily_work_a_lock_is_waited_for_as_long_as_a_migration_takes(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_driver, "BUSY_TIMEOUT", 0.0)
    engine = Engine(sqlite)
    upgrade(engine)
    other = sqlite3.connect(sqlite.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    assert outcomes(engine, put("a")) == [StoreUnavailable]
    timer = threading.Timer(0.2, other.execute, ["ROLLBACK"])
    timer.start()
    assert upgrade(engine) == ()
    timer.join()
    monkeypatch.setattr(sqlite_driver, "MIGRATION_TIMEOUT", 0.0)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="database is locked"):
        upgrade(engine)
    other.close()
    engine.close()


def test_a_lock_that_comes_after_a_failed_batch_is_waited_for_once(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_driver, "BUSY_TIMEOUT", 0.2)
    engine = Engine(sqlite)
    upgrade(engine)
    other = sqlite3.connect(sqlite.removeprefix("sqlite:///"), isolation_level=None)
    transactions = []

    def lock_after_the_first(connection: sa.Connection) -> None:
        transactions.append(connection)
        if len(transactions) == 2:
            other.execute("BEGIN IMMEDIATE")

    sa.event.listen(engine._engine, "engine_connect", lock_after_the_first)
    began = time.monotonic()
    assert outcomes(engine, fail, *(put(str(number)) for number in range(50))) == [StoreUnavailable] * 51
    assert time.monotonic() - began < 5
    other.execute("ROLLBACK")
    assert names(engine) == []
    engine.close()


# PostgreSQL


@pytest.mark.parametrize("query", ["", "&sslmode=disable", "&application_name=mine"])
def test_the_urls_that_people_write_are_understood(postgresql: str, query: str) -> None:
    engine = Engine(postgresql + query)
    upgrade(engine)
    assert outcomes(engine, put("a")) == ["a"]
    engine.close()


def test_a_password_in_a_url_is_not_in_the_address() -> None:
    engine = Engine("postgresql://probo:open%2Fsesame@db.example.org:5433/probo?sslmode=require")
    assert engine.address == "postgresql://probo:***@db.example.org:5433/probo?sslmode=require"


def test_a_server_that_was_restarted_between_two_batches_is_not_noticed(shared: Engine, own_cluster: Cluster) -> None:
    shared.run([put("a")])
    own_cluster.restart()
    assert outcomes(shared, put("b")) == ["b"]
    assert names(shared) == ["a", "b"]


def test_a_stopped_server_changes_nothing_and_heals(shared: Engine, own_cluster: Cluster) -> None:
    own_cluster.stop()
    try:
        assert outcomes(shared, put("a"), put("b")) == [StoreUnavailable, StoreUnavailable]
    finally:
        own_cluster.start()
    assert names(shared) == []
    assert outcomes(shared, put("a"), put("b")) == ["a", "b"]


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_is_restarted_in_the_middle_of_a_batch_gets_it_once_more(
    shared: Engine, own_cluster: Cluster, mode: str
) -> None:
    runs: list[str] = []

    def restart(_: sa.Connection) -> None:
        if not runs:
            runs.append(mode)
            own_cluster.restart(mode)

    assert outcomes(shared, put("a"), restart, put("b")) == ["a", None, "b"]
    assert names(shared) == ["a", "b"]


def test_a_frozen_server_is_not_waited_for_for_ever_and_heals(
    shared: Engine, own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_driver, "SILENCE", 0.3)
    monkeypatch.setitem(postgresql_driver._PARAMETERS, "connect_timeout", 2)  # the least that there is
    shared.run([put("a")])
    with own_cluster.frozen():
        (failure,) = shared.run([put("b")])
    assert failure.type is StoreUnavailable
    assert outcomes(shared, put("c")) == ["c"]
    assert names(shared) == ["a", "c"]


def test_a_migration_is_waited_for_however_long_it_takes(shared: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_driver, "SILENCE", 0.1)
    with shared.begin() as connection:
        connection.execute(sa.text("SELECT pg_sleep(0.3)"))
    assert outcomes(shared, lambda tx: tx.execute(sa.text("SELECT pg_sleep(0.3)"))) == [StoreUnavailable]
    assert outcomes(shared, put("a")) == ["a"]


def _lose_the_answer(engine: Engine, *, committed: bool, then: Callable[[], None] = lambda: None) -> None:
    """Let the connection break in the next commit, before or after the server did it, and something happen *then*."""
    dialect: Any = engine._engine.dialect
    commit = dialect.do_commit

    def do_commit(connection: Any) -> None:
        dialect.do_commit = commit
        if committed:
            commit(connection)
        connection.dbapi_connection.close()
        then()
        raise psycopg.OperationalError("the connection is lost")

    dialect.do_commit = do_commit


@pytest.mark.parametrize("committed", [True, False])
def test_a_commit_whose_answer_was_lost_takes_effect_once(shared: Engine, committed: bool) -> None:
    _lose_the_answer(shared, committed=committed)
    assert outcomes(shared, put("a"), put("b")) == ["a", "b"]
    assert names(shared) == ["a", "b"]


def test_a_commit_that_a_crash_took_is_not_taken_for_another_ones(shared: Engine, own_cluster: Cluster) -> None:
    """After a crash PostgreSQL gives the numbers of transactions again that were lost."""

    def crash_and_work_on() -> None:
        own_cluster.restart("immediate")
        with psycopg.connect(shared.address, autocommit=True) as other:
            for number in range(20):
                other.execute("INSERT INTO house VALUES (%s, '')", (f"other {number}",))

    _lose_the_answer(shared, committed=False, then=crash_and_work_on)
    assert outcomes(shared, put("a")) == ["a"]
    assert "a" in names(shared)


def test_a_closed_engine_leaves_no_mark(shared: Engine) -> None:
    shared.run([put("a")])
    shared.close()
    assert names(shared) == ["a"]
    with shared.begin() as connection:
        assert list(connection.scalars(sa.select(house.c.name))) == ["a"]


def test_a_commit_of_which_nothing_can_be_learnt_is_reported_as_such(
    shared: Engine, own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "DOUBT", 0.3)
    _lose_the_answer(shared, committed=True, then=lambda: own_cluster.stop("immediate"))
    (failure,) = shared.run([put("a")])
    own_cluster.start()
    assert failure.type is StoreUnavailable
    assert str(failure.value) == "the database vanished during a commit"
    assert outcomes(shared, put("b")) == ["b"]


def test_an_operation_that_waits_for_a_lock_ends(postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgresql_driver._PARAMETERS, "options", "-c lock_timeout=200")
    engine = Engine(postgresql)
    upgrade(engine)
    with psycopg.connect(postgresql) as other:
        other.execute("LOCK TABLE house")
        assert outcomes(engine, put("a")) == [StoreUnavailable]
    assert outcomes(engine, put("a")) == ["a"]
    engine.close()


def lock(name: str) -> Callable[[sa.Connection], str]:
    def locked(tx: sa.Connection) -> str:
        tx.execute(sa.select(house.c.name).where(house.c.name == name).with_for_update())
        return name

    return locked


def test_what_waits_in_vain_for_a_row_does_not_take_the_others_with_it(
    postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgresql_driver._PARAMETERS, "options", "-c lock_timeout=200")
    engine = Engine(postgresql)
    upgrade(engine)
    assert outcomes(engine, put("row")) == ["row"]
    with psycopg.connect(postgresql) as other:
        other.execute("SELECT * FROM house WHERE name = 'row' FOR UPDATE")
        assert outcomes(engine, put("a"), lock("row"), put("b")) == ["a", StoreUnavailable, "b"]
        assert outcomes(engine, fail, put("c"), lock("row"), put("d")) == [LookupError, "c", StoreUnavailable, "d"]
    assert names(engine) == ["a", "b", "c", "d", "row"]
    engine.close()


def test_nor_has_it_the_others_wait_for_ever(postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgresql_driver._PARAMETERS, "options", "-c lock_timeout=200")
    monkeypatch.setattr(engines, "WORTHWHILE", 0.3)
    engine = Engine(postgresql)
    upgrade(engine)
    assert outcomes(engine, put("row")) == ["row"]
    with psycopg.connect(postgresql) as other:
        other.execute("SELECT * FROM house WHERE name = 'row' FOR UPDATE")
        began = time.monotonic()
        assert outcomes(engine, *[lock("row")] * 50, put("a")) == [StoreUnavailable] * 51
        assert outcomes(engine, fail, *[lock("row")] * 50, put("a")) == [LookupError, *[StoreUnavailable] * 51]
        assert time.monotonic() - began < 5
    assert names(engine) == ["row"]
    engine.close()


def test_nor_does_what_is_too_large_for_an_index(postgresql: str) -> None:
    def put_large(tx: sa.Connection) -> None:
        tx.execute(sa.text("CREATE TEMPORARY TABLE large (name text PRIMARY KEY)"))
        tx.execute(sa.text("INSERT INTO large SELECT string_agg(md5(n::text), '') FROM generate_series(1, 200) n"))

    engine = Engine(postgresql)
    upgrade(engine)
    assert outcomes(engine, put("a"), put_large, put("b")) == ["a", StoreDefect, "b"]
    engine.close()


def test_the_timeouts_reach_the_server(postgresql: str) -> None:
    def setting(name: str) -> Callable[[sa.Connection], Any]:
        return lambda tx: tx.scalar(sa.text(f"SHOW {name}"))

    engine = Engine(postgresql)
    upgrade(engine)
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    assert outcomes(engine, *map(setting, names)) == ["10s", "5s", "10s"]
    engine.close()


def test_a_race_against_another_node_is_run_again(postgresql: str) -> None:
    """Both look, find nothing and write: the slower one finds the row on its second look."""
    engines_ = [Engine(postgresql), Engine(postgresql)]
    upgrade(engines_[0])
    looked: list[str] = []

    def put_if_missing(tx: sa.Connection) -> str:
        found = tx.scalar(sa.select(house.c.value).where(house.c.name == "a"))
        looked.append(str(found))
        until = time.monotonic() + 5
        while len(looked) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        return found or put("a", "mine")(tx)

    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(lambda engine: outcomes(engine, put_if_missing)[0], engines_))
    assert sorted(results) == ["a", "mine"]
    assert looked == ["None", "None", "mine"]
    for engine in engines_:
        engine.close()
