"""A connection to SQLite or PostgreSQL that runs operations, many to a commit.

An operation is a plain function of a connection. When one of a batch fails, the transaction is taken back and each is
run again in a transaction of its own: an operation must do nothing but read and write rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from twisted.python.failure import Failure

from probo_bitbucket.store.presence import Identity, identity, is_missing

T = TypeVar("T")
Operation = Callable[[sa.Connection], T]

REPEATS = 3  # tries of an operation that lost a race against another node
DOUBT = 10.0  # seconds to wait for a PostgreSQL that vanished during a commit, to ask it what became of it
DOUBT_PAUSE = 0.2  # seconds between two such questions
WORTHWHILE = 7.0  # seconds after which callers have hardly any patience left for what waits behind something hindered


class StoreUnavailable(Exception):
    """The database cannot be written or reached now: disk full, locked, gone. Nothing was changed.

    One thing is beyond that promise: a PostgreSQL that vanished during a commit and is not back after DOUBT seconds.
    """


class _LostRace(StoreUnavailable):
    """Another node was faster. The same again may succeed."""


class _Hindered(StoreUnavailable):
    """One operation cannot have what it needs, such as a row that another node has. The others may."""

    def __init__(self, words: str, index: int) -> None:
        super().__init__(words)
        self.index = index  # of the operation in its batch


class StoreDefect(Exception):
    """An operation asked the database for something that it does not do. Names the error without any values."""


class _Driver(Protocol):
    """A connection, as sqlite.py and postgresql.py make it."""

    def patient(self) -> AbstractContextManager[None]: ...


class Engine:
    """A connection to the database that runs batches of operations. Not for several threads at once."""

    def __init__(self, url: str) -> None:
        self._engine = _create(sa.make_url(url))
        self._name = f"commit of {uuid4()}"  # of the row where PostgreSQL keeps the mark of our last commit
        self._mark = ""
        self._opened: Identity | None = None  # SQLite's file
        if self.file:
            sa.event.listen(self._engine, "connect", self._note_file)

    @property
    def dialect(self) -> str:
        return self._engine.dialect.name

    @property
    def file(self) -> Path | None:
        """SQLite's file; None for a server that others use, too."""
        name = self._engine.url.database
        return Path(name) if self.dialect == "sqlite" and name and name != ":memory:" else None

    @property
    def missing(self) -> bool:
        """Whether the file of SQLite has not been made yet."""
        return self.file is not None and is_missing(self.file)

    @property
    def address(self) -> str:
        """Where the database is, without a password."""
        return self._engine.url.set(drivername=self.dialect).render_as_string(hide_password=True)

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A transaction before daily work, or without a daemon: it waits for a migration. Raises StoreUnavailable."""
        with self._translating(), self._engine.connect() as connection, _patient(connection), connection.begin():
            yield connection

    @contextmanager
    def rehearsal(self) -> Iterator[sa.Connection]:
        """A transaction that is taken back in the end, to see what would be. Raises StoreUnavailable."""
        with self._translating(), self._engine.connect() as connection:
            transaction = connection.begin()
            try:
                yield connection
            finally:
                transaction.rollback()

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise StoreUnavailable(f"the database {self.address} cannot be used: {_words(error)}") from None

    def run(self, operations: list[Operation[Any]]) -> list[Any]:
        """The result of each operation, or the Failure that it ended with. All that succeeded is committed."""
        return self._run(operations, time.monotonic() + WORTHWHILE)

    def _run(self, operations: list[Operation[Any]], end: float) -> list[Any]:
        try:
            return self._transact(operations)
        except _LostRace:
            pass
        except _Hindered as error:
            return self._run_without(error, operations, end)
        except StoreUnavailable as error:
            return _failures(error, len(operations))
        except Exception as error:  # noqa: BLE001 (one operation's error must not take the others with it)
            if len(operations) == 1:
                return [Failure(error)]
        return self._one_by_one(operations, end)

    def _run_without(self, hindered: _Hindered, operations: list[Operation[Any]], end: float) -> list[Any]:
        """Run the others again, as long as somebody waits for them."""
        others = [each for index, each in enumerate(operations) if index != hindered.index]
        worthwhile = others and time.monotonic() < end
        outcomes = self._run(others, end) if worthwhile else _failures(hindered, len(others))
        return [*outcomes[: hindered.index], Failure(hindered), *outcomes[hindered.index :]]

    def _one_by_one(self, operations: list[Operation[Any]], end: float) -> list[Any]:
        outcomes: list[Any] = []
        for operation in operations:
            try:
                outcomes.append(self._alone(operation))
            except StoreUnavailable as error:
                outcomes.append(Failure(error))
                if not isinstance(error, _Hindered) or time.monotonic() > end:
                    # The next ones would wait as long, and in vain.
                    return outcomes + _failures(error, len(operations) - len(outcomes))
        return outcomes

    def _alone(self, operation: Operation[T]) -> T | Failure:
        for _ in range(REPEATS):
            try:
                return self._transact([operation])[0]
            except _LostRace as error:
                failure = Failure(error)
            except StoreUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 (it is the caller's, who gets it)
                return Failure(error)
        return failure

    def _transact(self, operations: list[Operation[T]]) -> list[T]:
        """The results, committed. Raises what an operation raised, StoreDefect or StoreUnavailable."""
        try:
            try:
                return self._commit(operations)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            # The server was restarted since the last transaction: all it takes is a new connection.
            return self._commit(operations)
        except DBAPIError as error:
            raise _translated(error) from None

    def _commit(self, operations: list[Operation[T]]) -> list[T]:
        """The results, committed. After a DBAPIError nothing is."""
        self._check_file()
        with self._engine.connect() as connection, connection.begin() as transaction:
            results = [_perform(operation, index, connection) for index, operation in enumerate(operations)]
            marked = self._leave_mark(connection)
            try:
                transaction.commit()
            except DBAPIError as error:
                if not (marked and error.connection_invalidated and self._was_committed()):
                    raise
        return results

    def _note_file(self, *_: Any) -> None:
        self._opened = identity(self.file) if self.file else None

    def _check_file(self) -> None:
        """Let go of a file that is not there any more, and open what is there. Raises StoreUnavailable: there is none.

        No new one is made: an empty database would hide that everything is lost.
        """
        if self.file is None or self._opened is None or self._opened == (there := identity(self.file)):
            return
        self._engine.dispose()  # its locks, on files beside it, would keep another one from being made
        if there is None:
            advice = "put it back, or make an empty one by `probo-bitbucket migrate`"
            raise StoreUnavailable(f"{self.file} was removed: {advice}")

    def _leave_mark(self, connection: sa.Connection) -> bool:
        """Put into a transaction what tells later whether it was committed; no need of it where nothing was written.

        Its number would not do: after a crash PostgreSQL gives the numbers again of transactions that were lost.
        """
        if connection.dialect.name != "postgresql":
            return False
        self._mark = uuid4().hex
        return bool(connection.execute(_LEAVE_MARK, {"name": self._name, "mark": self._mark}).rowcount)

    def _was_committed(self) -> bool:
        """What became of a commit whose answer was lost. Raises StoreUnavailable where that cannot be learnt."""
        end = time.monotonic() + DOUBT
        while time.monotonic() < end:
            try:
                with self._engine.begin() as connection:
                    return bool(connection.scalar(_FIND_MARK, {"name": self._name}) == self._mark)
            except DBAPIError:
                time.sleep(DOUBT_PAUSE)
        raise StoreUnavailable("the database vanished during a commit")

    def close(self) -> None:
        """Close the connection. Only a process that is killed leaves its mark behind: a row of a hundred bytes."""
        if self._mark:
            with suppress(DBAPIError), self._engine.begin() as connection:
                connection.execute(_REMOVE_MARK, {"name": self._name})
        self._engine.dispose()


_LEAVE_MARK = sa.text(
    "INSERT INTO house (name, value) SELECT CAST(:name AS text), CAST(:mark AS text)"
    " WHERE pg_current_xact_id_if_assigned() IS NOT NULL"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
# It writes, though it changes nothing, to wait for a transaction with the mark that is still on its way.
_FIND_MARK = sa.text(
    "INSERT INTO house (name, value) VALUES (:name, '') ON CONFLICT (name) DO UPDATE SET name = excluded.name"
    " RETURNING value"
)
_REMOVE_MARK = sa.text("DELETE FROM house WHERE name = :name")


def _patient(connection: sa.Connection) -> AbstractContextManager[None]:
    """Wait for as long as a migration can take: that of another process, or our own."""
    return cast(_Driver, connection.connection.driver_connection).patient()


def _perform(operation: Operation[T], index: int, connection: sa.Connection) -> T:
    """The result of an operation, which has this *index* in its batch. Raises _Hindered."""
    try:
        return operation(connection)
    except DBAPIError as error:
        if _sqlstate(error) in _HINDRANCES:
            raise _Hindered(_words(error), index) from None
        raise


def _failures(error: StoreUnavailable, count: int) -> list[Failure]:
    return [Failure(error) for _ in range(count)]


# What another node can cause, and the same again may succeed: serialization failure, deadlock, unique violation.
_RACES = ("40001", "40P01", "23505")
_HINDRANCES = ("55P03", "57014")  # lock not available, statement cancelled by its timeout
_LIMITS = "54"  # the class of PostgreSQL's own limits, such as that of an entry of an index


def _translated(error: DBAPIError) -> StoreUnavailable | StoreDefect:
    """The error without SQLAlchemy's own text: that has the statement's parameters in it, which may be secrets."""
    if _sqlstate(error) in _RACES:
        return _LostRace(_words(error))
    refused = isinstance(error, IntegrityError | ProgrammingError | DataError | NotSupportedError)
    if refused or _sqlstate(error).startswith(_LIMITS):
        return StoreDefect(f"{type(error.orig).__name__}: {_words(error)}")
    return StoreUnavailable(_words(error))


def _sqlstate(error: DBAPIError) -> str:
    """PostgreSQL's code; empty with SQLite, or where the server said nothing."""
    return getattr(error.orig, "sqlstate", None) or ""


def _words(error: DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0]


def _create(url: sa.URL) -> sa.Engine:
    """Only the driver that is needed is imported: either takes megabytes."""
    if url.get_backend_name() == "sqlite":
        from probo_bitbucket.store.sqlite import create_engine
    else:
        from probo_bitbucket.store.postgresql import create_engine
    return create_engine(url)
