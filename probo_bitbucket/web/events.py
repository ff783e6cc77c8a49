"""Server-sent events: who looks at a page is told that there is something new, and fetches it anew."""

from __future__ import annotations

from typing import Any

from attrs import define
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.flow.work.rounds import Rounds
from probo_bitbucket.store import Database, StoreUnavailable
from probo_bitbucket.store.views import queue
from probo_bitbucket.web.answers import answer
from probo_bitbucket.web.browsers import Route

PATH = "/events"
STREAMS = 50  # open at once; each takes one of the connections
BEAT = 1.0  # seconds between two looks at the store, while anybody is told
SILENCE = 15.0  # seconds after which a line is sent all the same, so that nobody in between hangs up
RETRY = 5  # seconds after which a browser may come back


@define(eq=False, slots=False)
class Events(Service):
    """Looks at the store only while somebody is there to be told."""

    store: Database
    clock: IReactorTime

    def __attrs_post_init__(self) -> None:
        self._listeners: dict[Any, Deferred[bytes]] = {}
        self._pulse: tuple[Any, ...] = ()
        self._told_at = 0.0
        self._beat = Rounds("pages", self._look, BEAT, self.clock)

    @property
    def routes(self) -> tuple[Route, ...]:
        return (("GET", PATH, self.listen),)

    async def listen(self, request: Any) -> bytes:
        """Tell the browser of changes until it goes, or we do."""
        if len(self._listeners) >= STREAMS or not self.running:
            request.setHeader(b"retry-after", b"%d" % RETRY)
            return answer(request, 503, {"error": "too many pages are open already"})
        request.setHeader(b"content-type", b"text/event-stream")
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"x-accel-buffering", b"no")  # nginx would keep what we say to itself
        request.write(b"retry: %d\n\n" % (RETRY * 1000))
        ended: Deferred[bytes] = Deferred()
        self._listeners[request] = ended
        request.notifyFinish().addErrback(lambda _: self._end(request))
        if not self._beat.running:
            self._beat.startService()
        return await ended

    def _end(self, request: Any) -> None:
        ended = self._listeners.pop(request, None)
        if not self._listeners and self._beat.running:
            self._beat.stopService()
        if ended is not None:
            ended.callback(b"")

    async def _look(self) -> None:
        try:
            pulse = await self.store.transact(queue.pulse)
        except StoreUnavailable as error:
            pulse = (str(error),)
        if self._pulse and pulse != self._pulse:
            self._tell(b"data: changed\n\n")
        elif self.clock.seconds() - self._told_at >= SILENCE:
            self._tell(b": nothing new\n\n")
        self._pulse = pulse

    def _tell(self, words: bytes) -> None:
        self._told_at = self.clock.seconds()
        for request in self._listeners:
            request.write(words)

    def stopService(self) -> Deferred[None]:
        """Hang up: a stream would hold the connection for ever."""
        super().stopService()
        for request in list(self._listeners):
            channel = request.channel
            self._end(request)
            channel.loseConnection()
        return succeed(None)
