"""The server of the simulators: what it writes down, and every fault, as a client sees it."""

from __future__ import annotations

from typing import Any

import treq
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, PartialDownloadError, ResponseFailed
from twisted.web.resource import Resource
from twisted.web.server import Request

from probo_bitbucket.sandbox.faults import Answer, Cut, Effect, Fault, Hang, LoseAnswer, Slow, Truncated
from probo_bitbucket.sandbox.server import Server


class Counter(Resource):
    isLeaf = True
    calls = 0

    def render(self, request: Request) -> bytes:
        self.calls += 1
        return b"call %d" % self.calls


class ServerTests(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.clock = Clock()
        self.counter = Counter()
        self.server = Server(self.clock, self.counter)
        self.url = await self.server.listen(reactor)
        self.agent = Agent(reactor)

    async def tearDown(self) -> None:  # type: ignore[override]
        await self.server.stop()

    async def get(self, path: str = "/x", body: bytes = b"") -> tuple[int, bytes]:
        response = await treq.request("POST", self.url + path, data=body, agent=self.agent)
        return response.code, await response.content()

    def fail_with(self, effect: Effect, **rule: Any) -> None:
        self.server.faults.add(Fault(effect, **rule))

    async def test_a_request_is_written_down_with_its_answer(self) -> None:
        await self.get("/a%2Fb?q=1", b"body")
        [recorded] = self.server.requests
        assert (recorded.method, recorded.path, recorded.query) == ("POST", "/a%2Fb", "q=1")
        assert (recorded.body, recorded.status) == (b"body", 200)

    async def test_a_fault_hits_only_what_it_names_and_only_so_often(self) -> None:
        self.fail_with(Answer(503, b"<html>"), path="/bad/.*", method="POST", times=1)
        assert [(await self.get(path))[0] for path in ("/x", "/bad/1", "/bad/1")] == [200, 503, 200]

    async def test_a_fault_that_was_removed_is_gone(self) -> None:
        fault = self.server.faults.add(Fault(Answer(500)))
        self.server.faults.remove(fault)
        assert (await self.get())[0] == 200

    async def test_a_cut_request_has_no_effect(self) -> None:
        self.fail_with(Cut())
        with self.assertRaises(ResponseFailed):
            await self.get()
        assert self.counter.calls == 0

    async def test_a_lost_answer_means_that_the_request_took_effect(self) -> None:
        self.fail_with(LoseAnswer())
        with self.assertRaises(ResponseFailed):
            await self.get()
        assert self.counter.calls == 1
        assert self.server.requests[0].status is None

    async def test_a_truncated_answer_is_one_for_the_client(self) -> None:
        self.fail_with(Truncated())
        with self.assertRaises((ResponseFailed, PartialDownloadError)):
            await self.get()

    async def test_a_slow_answer_comes_when_its_time_has_come(self) -> None:
        self.fail_with(Slow(5))
        assert await self.answer_after(5) == (200, b"call 1")

    async def test_a_far_server_takes_its_time(self) -> None:
        self.server.answer_after = 0.08
        assert await self.answer_after(0.08) == (200, b"call 1")

    async def test_stopping_ends_a_request_that_hangs(self) -> None:
        self.fail_with(Hang())
        waiting = ensureDeferred(self.get())
        await self.arrival()
        await self.server.stop()
        with self.assertRaises(ResponseFailed):
            await waiting

    async def answer_after(self, seconds: float) -> tuple[int, bytes]:
        """Check that a request is not answered before *seconds*, and return its answer."""
        waiting = ensureDeferred(self.get())
        await self.arrival()
        self.clock.advance(seconds * 0.9)
        assert not waiting.called
        assert self.counter.calls == 0
        self.clock.advance(seconds * 0.2)
        return await waiting

    async def arrival(self) -> None:
        """Wait for the first request."""
        while not self.server.requests:
            await turn()


async def turn() -> None:
    """One turn of the reactor."""
    await deferLater(reactor, 0, lambda: None)
