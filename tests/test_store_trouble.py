"""While the store is full, locked, stopped or frozen callers are told to come again, and afterwards all goes on."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import sqlalchemy as sa
from twisted.internet.threads import deferToThread

from probo_bitbucket.flow.work import patience
from probo_bitbucket.store import engine, postgresql, sqlite
from tests.postgres import running_cluster
from tests.staged import Answered, StageTestCase


class Trouble(StageTestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.pull_request = self.unannounced()
        self.asked_for = 0

    async def ask(self) -> tuple[Answered, Answered]:
        """What Bitbucket and the Container Manager are answered, who tell something new each time."""
        self.asked_for += 1
        build = {
            "id": "foreign-1",
            "commit": {"ref": self.pull_request.commit},
            "branch": {"name": self.pull_request.branch},
            "project": {"slug": "acme/site", "provider": {"type": "bitbucket"}},
        }
        body = {"update": {"state": "success", "description": "[■] done"}, "build": build}
        return (
            await self.deliver("pullrequest:created", self.pull_request_body(self.pull_request)),
            await self.call("POST", f"/builds/foreign-1/status/ProboCI%2FShell%2F{self.asked_for}", body),
        )

    async def check_refused(self) -> None:
        for answer in await self.ask():
            assert (answer.status, answer.json) == (503, {"error": "the store is not available"})
            assert answer.headers.getRawHeaders("retry-after") == ["5"]

    async def check_red(self) -> None:
        ready = await self.call("GET", "/readyz")
        assert (ready.status, ready.json["findings"][0]["subject"]) == (503, "store")

    async def check_healed(self) -> None:
        """Without a restart."""
        assert [answer.status for answer in await self.ask()] == [200, 200]
        assert (await self.call("GET", "/readyz")).status == 200
        await self.until(lambda: self.states(self.pull_request).get("ProboCI/Shell/Fine") == "SUCCESSFUL")
        told = f"ProboCI/Shell/{self.asked_for}"
        await self.until(lambda: self.states(self.pull_request).get(told) == "SUCCESSFUL")


def _limit(tx: sa.Connection, pages: int) -> None:
    tx.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


class TroubleWithSQLite(Trouble):
    async def prepare(self) -> None:
        self.patch(sqlite, "BUSY_TIMEOUT", 0.1)

    async def test_a_full_disk(self) -> None:
        store = self.handler._foundation.store
        await store.transact(_limit, 1)  # no more pages than there are
        while {answer.status for answer in await self.ask()} != {503}:
            pass  # there is some room left in the pages
        await self.check_refused()
        await store.transact(_limit, 100_000)
        await self.check_healed()

    async def test_a_locked_file(self) -> None:
        with closing(sqlite3.connect(self.folder / "probo-bitbucket.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await self.check_refused()
            await self.check_red()
        await self.check_healed()

    async def test_a_file_that_was_moved_away_and_is_moved_back(self) -> None:
        file = self.folder / "probo-bitbucket.db"
        file.rename(self.folder / "elsewhere")
        await self.check_refused()
        await self.check_red()
        (self.folder / "elsewhere").rename(file)
        await self.check_healed()

    async def test_a_file_that_was_removed_and_is_made_anew(self) -> None:
        (self.folder / "probo-bitbucket.db").unlink()
        await self.check_refused()
        await self.check_red()
        await self.run_command("migrate")
        await self.check_healed()


class TroubleWithPostgreSQL(Trouble):
    async def prepare(self) -> None:
        self.patch(patience, "PATIENCE", 0.5)
        self.patch(postgresql, "SILENCE", 1000.0)  # its callers do not wait that long
        self.patch(engine, "DOUBT", 0.5)
        cluster = running_cluster()
        self.cluster = await deferToThread(next, cluster)
        self.addCleanup(lambda: deferToThread(next, cluster, None))
        self.stage._given["database"] = await deferToThread(self.cluster.new_database)

    async def test_a_server_that_is_stopped(self) -> None:
        await deferToThread(self.cluster.stop)
        await self.check_refused()
        await self.check_red()
        await deferToThread(self.cluster.start)
        await self.check_healed()

    async def test_a_server_that_is_frozen(self) -> None:
        with self.cluster.frozen():
            await self.check_refused()
            await self.check_red()
        await self.check_healed()
