"""Tests on the stage: real sockets, a real SQLite file, the two simulators."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import treq
from attrs import frozen
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool
from twisted.web.http_headers import Headers

from probo_bitbucket import upstream
from probo_bitbucket.bitbucket import budget
from probo_bitbucket.flow.builds import lookup, teardown
from probo_bitbucket.flow.statuses import comment, desire, summary
from probo_bitbucket.flow.work import schedule, worker
from probo_bitbucket.model import Delivery, Ignored
from probo_bitbucket.sandbox.hooks import sign
from probo_bitbucket.sandbox.pullrequest import PullRequest
from probo_bitbucket.sandbox.server import Recorded
from probo_bitbucket.sandbox.stage import CONFIGURATION, HOOK_SECRET, KEY, Stage
from probo_bitbucket.service import Handler
from probo_bitbucket.store import StoreUnavailable, deliveries

T = TypeVar("T")

# What takes seconds in life, and how long it takes here.
FASTER: tuple[tuple[Any, str, float], ...] = (
    (worker, "POLL", 0.02),
    (schedule, "FIRST", 0.02),
    (schedule, "CREDENTIALS_PAUSE", 0.05),
    (desire, "PILE", 0.02),
    (summary, "PILE", 0.02),
    (comment, "PILE", 0.02),
    (lookup, "PAUSE", 0.02),
    (teardown, "PINNED_PAUSE", 0.02),
    (budget, "PAUSE", 0.05),
    (upstream, "REQUEST_TIMEOUT", 1.0),
)

PENDING = """
    SELECT id FROM deliveries WHERE pending UNION ALL
    SELECT id FROM builds WHERE pending UNION ALL
    SELECT key FROM statuses WHERE pending UNION ALL
    SELECT build_id FROM comments WHERE pending UNION ALL
    SELECT build_id FROM removals WHERE pending UNION ALL
    SELECT repository FROM pull_requests WHERE pending
"""


@frozen
class Answered:
    """What the handler answered."""

    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which must be declared as JSON."""
        assert self.headers.getRawHeaders("content-type") == ["application/json"], self
        return json.loads(self.body)


class StageTestCase(TestCase):
    """A stage that is open, with the repository `acme/site` on it. `settings` are those of its handler."""

    timeout = 60
    settings: ClassVar[dict[str, Any]] = {}

    async def setUp(self) -> None:  # type: ignore[override] # trial waits for coroutines, too
        for module, name, seconds in FASTER:
            self.patch(module, name, seconds)
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.stage = Stage(reactor, self.folder, **self.settings)
        self.pool = HTTPConnectionPool(reactor, persistent=False)
        self.agent = Agent(reactor, pool=self.pool)
        self.client = HTTPClient(self.agent)
        self.cloud = self.stage.cloud
        self.container_manager = self.stage.container_manager
        await self.prepare()
        await self.stage.open()
        self.repository = self.cloud.add_repository("acme/site", {".probo.yaml": CONFIGURATION})
        self.stage.watch("acme/site", "pullrequest:push")  # which the handler understands without asking for it

    async def prepare(self) -> None:
        """What has to be done before the handler is started."""

    async def tearDown(self) -> None:  # type: ignore[override]
        await self.stage.close()
        await self.pool.closeCachedConnections()
        self._folder.cleanup()  # not as a cleanup of trial's, which comes before this

    def grant(self, *scopes: str) -> None:
        """From now on the consumer has these scopes only."""
        self.cloud.credentials.give_scopes(self.cloud.credentials.consumers[KEY], scopes)

    @property
    def handler(self) -> Handler:
        """The handler, while it runs."""
        return cast(Handler, self.stage.handler)

    def measured(self, name: str, **labels: str) -> float | None:
        """What the handler counted since it was started."""
        return self.handler.metrics.registry.get_sample_value(f"probo_bitbucket_{name}_total", labels)

    def states(self, pull_request: PullRequest) -> dict[str, str]:
        """The states that the page of a pull request shows, by key."""
        return {status.key: str(status.state) for status in pull_request.shown()}

    async def until(self, condition: Any) -> Any:
        """The first true value of *condition*, asked for again and again; the test's timeout bounds it."""
        while not (value := condition()):
            await deferLater(reactor, 0.01)
        return value

    async def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answered:
        """Ask the handler. *path* goes out as it is, percent-encoded by the caller; *body* is bytes, or made JSON."""
        sent = Headers({name: [value] for name, value in (headers or {}).items()})
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        producer = None if content is None else FileBodyProducer(BytesIO(content))
        url = f"{self.stage.url}{path}".encode("ascii")
        response = await self.agent.request(method.encode("ascii"), url, sent, producer)
        return Answered(response.code, response.headers, await treq.content(response))

    async def deliver(self, event_key: str, body: Any, **headers: str) -> Answered:
        """Post a webhook call that is signed as the hook of the stage is."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        signed = {"X-Event-Key": event_key, "X-Hub-Signature": sign(content, HOOK_SECRET), **given}
        return await self.call("POST", "/bitbucket-webhook", content, signed)

    async def raw(self, sent: bytes) -> bytes:
        """What comes back on a connection until it is closed, for *sent* byte by byte."""
        port = int(self.stage.url.rpartition(":")[2])
        talk = _Talk(sent)
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), talk)
        return await talk.heard

    async def hang_up_after(self, sent: bytes) -> None:
        """Send something, and close the connection without waiting for an answer."""
        port = int(self.stage.url.rpartition(":")[2])
        talk = _Talk(sent)
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), talk)
        assert talk.transport is not None
        talk.transport.loseConnection()
        await talk.heard

    def unannounced(self, **asked: Any) -> PullRequest:
        """A pull request whose webhook got lost."""
        return self.quietly(lambda: self.repository.open_pull_request(**asked))

    def quietly(self, do: Callable[[], T]) -> T:
        """Do something whose webhooks get lost."""
        hooks, self.cloud.hooks = self.cloud.hooks, {}
        done = do()
        self.cloud.hooks = hooks
        return done

    def pull_request_body(self, pull_request: PullRequest) -> dict[str, Any]:
        """The body of an event of *pull_request*, as Bitbucket would send it now."""
        documents = self.cloud.documents
        return documents.event(pull_request.repository, {"pullrequest": pull_request}, pull_request.author)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the handler's database has."""
        with closing(sqlite3.connect(f"file:{self.folder / 'probo-bitbucket.db'}?mode=ro", uri=True)) as database:
            return database.execute(query).fetchall()

    def decisions(self) -> list[tuple[str, str, str]]:
        """Event key, state and reason of every delivery, in the order they came in."""
        return self.rows("SELECT event_key, state, reason FROM deliveries ORDER BY id")

    async def decided(self, count: int) -> list[tuple[str, str, str]]:
        """The decisions, once there are *count*: what follows from them can bring more before anybody looks."""
        await self.until(lambda: sum(state != "waiting" for _, state, _ in self.decisions()) >= count)
        return self.decisions()

    def started(self) -> list[Any]:
        """The documents with which builds were asked for, as the Container Manager got them."""
        return [json.loads(request.body) for request in self.posted("/startbuild")]

    def posted(self, path: str) -> list[Recorded]:
        """The posts that the Container Manager got there."""
        return [each for each in self.container_manager.requests if (each.method, each.path) == ("POST", path)]

    def asked(self, part: str, method: str = "GET") -> list[Recorded]:
        """The requests to Bitbucket whose path has *part* in it."""
        return [each for each in self.cloud.requests if each.method == method and part in each.path]

    async def built(self, pull_request: PullRequest) -> dict[str, str]:
        """The states of a pull request, once it was built and nothing is left to be done."""
        await self.until(lambda: any(doc["build"]["commit"]["ref"] == pull_request.commit for doc in self.started()))
        await self.settled()
        return self.states(pull_request)

    async def settled(self) -> None:
        """Wait until all builds have ended and the handler has nothing left to do."""
        await self.cloud.settled()
        await self.until(lambda: not self.rows(PENDING))
        for build_id in list(self.container_manager.started):
            await self.container_manager.wait_for(build_id)
        await self.until(lambda: not self.rows(PENDING))

    async def fill_disk(self) -> None:
        """Leave no room for another delivery in the database."""
        store = self.handler._foundation.store
        await store.transact(_allow_pages)
        for size in (2000, 200, 20):
            with suppress(StoreUnavailable):
                while True:
                    await store.transact(deliveries.record, Delivery("", b"x" * size, 0.0), Ignored("full"))

    async def make_room_on_disk(self) -> None:
        await self.handler._foundation.store.transact(_allow_pages, 2**30)

    async def run_command(self, *words: str, status: int = 0) -> str:
        """What `probo-bitbucket` says; it must end with *status*."""
        name, *arguments = words
        command = [sys.executable, "-m", "probo_bitbucket", name, "-c", str(self.folder / "settings.yaml"), *arguments]
        done = await deferToThread(subprocess.run, command, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        return str(done.stdout + done.stderr)

    def check_container_manager(self) -> None:
        """It must have survived whatever the handler sent and answered."""
        assert not self.container_manager.died, self.container_manager.died
        assert not self.container_manager.stuck, self.container_manager.stuck


def _allow_pages(tx: Any, count: int | None = None) -> None:
    """Let SQLite have so many pages, or no more than it has."""
    count = count or tx.exec_driver_sql("PRAGMA page_count").scalar()
    tx.exec_driver_sql(f"PRAGMA max_page_count = {count}")


class _Talk(Protocol):
    """Says one thing and listens until the other side hangs up."""

    def __init__(self, said: bytes) -> None:
        self._said = said
        self._chunks: list[bytes] = []
        self.heard: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._said)

    def dataReceived(self, data: bytes) -> None:
        self._chunks.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.heard.callback(b"".join(self._chunks))
