"""A store that answers at once: a real SQLite file without the store's thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from twisted.internet.defer import Deferred, fail

from probo_bitbucket.store import Database, Engine, StoreUnavailable, Transaction
from probo_bitbucket.store.migrate import upgrade

T = TypeVar("T")
P = ParamSpec("P")


class ImmediateStore(Database):
    """Each operation is committed before `transact` returns. While *down* is set, none is."""

    def __init__(self, path: Path | str = ":memory:") -> None:
        engine = Engine(f"sqlite:///{path}")
        upgrade(engine)
        super().__init__(engine, cast(Any, None))
        self.down = False

    def transact(
        self, operation: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        if self.down:
            return fail(StoreUnavailable("disk full"))
        [outcome] = self._engine.run([lambda tx: operation(tx, *args, **kwargs)])
        result: Deferred[T] = Deferred()
        result.callback(outcome)  # a Failure makes it fail
        return result

    def now(self, operation: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of an operation, for tests that look into the tables."""
        return result_of(self.transact(operation, *args, **kwargs))

    def close(self) -> None:
        self._engine.close()


def result_of(deferred: Deferred[T]) -> T:
    """What *deferred* has fired with; raises what it failed with. AssertionError while it has not fired."""
    outcomes: list[Any] = []
    failures: list[Any] = []
    deferred.addCallbacks(outcomes.append, failures.append)
    if failures:
        failures[0].raiseException()
    assert outcomes, "the Deferred has not fired"
    return cast(T, outcomes[0])


def start(coroutine: Any) -> Deferred[Any]:
    """Run a coroutine as far as it comes."""
    return Deferred.fromCoroutine(coroutine)


def run(coroutine: Any) -> Any:
    """The result of a coroutine that waits for nothing."""
    return result_of(start(coroutine))
