"""The store's thread: what is asked for, what shares a commit, and where results come out."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from probo_bitbucket.store import Database, Engine, StoreUnavailable, database, house
from probo_bitbucket.store.migrate import upgrade


def handed_over() -> Deferred[None]:
    """Fires when the thread has all that was asked before."""
    done: Deferred[None] = Deferred()
    reactor.callFromThread(done.callback, None)  # type: ignore[attr-defined]
    return done


class DatabaseTests(TestCase):
    timeout = 20

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.engine = Engine(f"sqlite:///{folder.name}/store.db")
        upgrade(self.engine)
        self.commits: list[Any] = []
        sa.event.listen(self.engine._engine, "commit", self.commits.append)
        self.database = Database(self.engine, reactor)  # type: ignore[arg-type]
        self.database.start()
        self.addCleanup(self._stop)

    def _stop(self) -> Deferred[None] | None:
        return self.database.stop() if self.database._thread.is_alive() else None

    async def hold(self) -> Callable[[], None]:
        """Keep the thread busy until the returned function is called."""
        busy, free = threading.Event(), threading.Event()

        def wait(_: sa.Connection) -> None:
            busy.set()
            free.wait(10)

        self.database.transact(wait)
        await deferToThread(busy.wait, 10)
        return free.set

    async def test_operations_that_wait_share_a_commit(self) -> None:
        let_go = await self.hold()
        results = []
        for number in range(100):
            results.append(self.database.transact(house.secret, str(number)))
            await handed_over()
        let_go()
        await gatherResults(results)
        self.assertEqual(len(self.commits), 2)

    async def test_operations_of_one_turn_of_the_reactor_share_a_commit(self) -> None:
        begun = threading.Event()
        first: Deferred[Any] = self.database.transact(lambda _: begun.set())
        self.assertFalse(begun.wait(0.05))  # time for the thread to begin, if it were given the first one alone
        await gatherResults([first, *(self.database.transact(house.secret, str(number)) for number in range(99))])
        self.assertEqual(len(self.commits), 1)

    async def test_a_clock_that_is_set_back_keeps_nothing_waiting(self) -> None:
        begun, now = threading.Event(), reactor.seconds()
        result: Deferred[Any] = self.database.transact(lambda _: begun.set())
        self.patch(reactor, "seconds", lambda: now - 3600.0)
        self.assertTrue(await deferToThread(begun.wait, 5))
        await result

    async def test_a_batch_has_a_limit(self) -> None:
        self.patch(database, "BATCH", 10)
        let_go = await self.hold()
        results = [self.database.transact(house.secret, str(number)) for number in range(100)]
        await handed_over()
        let_go()
        await gatherResults(results)
        self.assertEqual(len(self.commits), 11)

    async def test_a_result_comes_on_the_reactors_thread(self) -> None:
        threads = []
        result = self.database.transact(lambda _: threads.append(threading.current_thread()))
        result.addBoth(lambda _: threads.append(threading.current_thread()))
        await result
        self.assertEqual(threads, [self.database._thread, threading.current_thread()])

    async def test_arguments_reach_the_operation_and_its_result_comes_back(self) -> None:
        first = await self.database.transact(house.secret, "key")
        self.assertEqual(await self.database.transact(house.secret, name="key"), first)

    async def test_an_error_is_the_callers_alone(self) -> None:
        let_go = await self.hold()
        good = self.database.transact(house.secret, "a")
        bad: Deferred[int] = self.database.transact(lambda _: int("not a number"))
        good_too = self.database.transact(house.secret, "b")
        let_go()
        await self.assertFailure(bad, ValueError)
        self.assertNotEqual(await good, await good_too)

    async def test_stop_waits_for_what_was_asked_before(self) -> None:
        let_go = await self.hold()
        results = [self.database.transact(house.secret, str(number)) for number in range(300)]
        stopped = self.database.stop()
        self.assertNoResult(stopped)
        let_go()
        await stopped
        self.assertEqual(len({self.successResultOf(result) for result in results}), 300)

    async def test_what_is_asked_after_the_stop_is_refused(self) -> None:
        await self.database.stop()
        await self.assertFailure(self.database.transact(house.secret, "late"), StoreUnavailable)

    async def test_more_than_the_backlog_is_refused_at_once(self) -> None:
        self.patch(database, "BACKLOG", 5)
        let_go = await self.hold()
        results = [self.database.transact(house.secret, str(number)) for number in range(3)]
        await handed_over()
        results += [self.database.transact(house.secret, str(number)) for number in range(3, 6)]
        self.failureResultOf(results.pop(), StoreUnavailable)
        let_go()
        await gatherResults(results)

    async def test_who_stops_waiting_does_not_stop_the_operation(self) -> None:
        let_go = await self.hold()
        result = self.database.transact(house.secret, "key")
        result.cancel()
        self.failureResultOf(result, CancelledError)
        let_go()
        count = await self.database.transact(lambda tx: tx.exec_driver_sql("SELECT count(*) FROM house").scalar())
        self.assertEqual(count, 1)
