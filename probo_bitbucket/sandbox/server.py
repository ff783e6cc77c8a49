"""Serves a simulated upstream on 127.0.0.1: with a journal of requests, faults, and distance."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, BinaryIO, cast

from attrs import define
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.protocols.policies import WrappingFactory
from twisted.web import http
from twisted.web.resource import IResource, Resource, getChildForRequest
from twisted.web.server import NOT_DONE_YET, Request, Site

from probo_bitbucket.sandbox.faults import Faults, later

_REMEMBERED = 20_000  # requests in the journal


@define(eq=False)
class Recorded:
    """A request as it came in, and how it was answered."""

    method: str
    path: str  # percent-encoded
    query: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    time: float
    status: int | None = None  # None as long as there is no whole answer


class Server:
    """A resource on a port, with a journal of the latest requests."""

    def __init__(self, clock: IReactorTime, resource: IResource) -> None:
        self.faults = Faults()
        self.requests: deque[Recorded] = deque(maxlen=_REMEMBERED)
        self.on_answer: Callable[[Recorded], None] = lambda _: None  # told of every request once it is answered
        self.answer_after = 0.0  # seconds that every answer takes, as if the upstream were far
        self._clock = clock
        self._resource = resource
        self._site = _QuietSite(_Door(self), parsePOSTFormSubmission=False)
        self._connections = _Connections(self._site)
        self._port: IListeningPort | None = None

    async def listen(self, reactor: Any, port: int = 0) -> str:
        """Start to listen; return the URL without a slash at its end."""
        endpoint = TCP4ServerEndpoint(reactor, port, interface="127.0.0.1")
        self._port = listening = await endpoint.listen(self._connections)
        return f"http://127.0.0.1:{cast(IPv4Address, listening.getHost()).port}"

    async def stop(self) -> None:
        """Stop listening and cut every connection; when it is done, nothing is left in the reactor."""
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
            self._port = None
        await self._connections.cut()

    def admit(self, request: Request) -> None:
        """Write *request* down and see to its answer."""
        recorded = _record(request, self._clock.seconds())
        self.requests.append(recorded)
        request.notifyFinish().addCallbacks(lambda _: self._answered(recorded, request), lambda _: None)
        proceed = partial(self._proceed, request)
        effect = self.faults.take(recorded.method, recorded.path)
        if effect is None:
            proceed()
        else:
            effect.apply(request, self._clock, proceed)

    def _answered(self, recorded: Recorded, request: Request) -> None:
        recorded.status = request.code
        self.on_answer(recorded)

    def _proceed(self, request: Request) -> None:
        render = partial(_render, self._resource, request)
        if self.answer_after:
            later(request, self._clock, self.answer_after, render)
        else:
            render()


class Root(Resource):
    """Gives what is not a child's to *rest*, with the whole path."""

    def __init__(self, rest: IResource) -> None:
        super().__init__()
        self._rest = rest

    def getChild(self, path: bytes, request: Request) -> IResource:
        request.postpath = [path, *(request.postpath or [])]
        request.prepath = []
        return self._rest


class _Door(Resource):
    """Lets every request through to its server."""

    isLeaf = True

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def render(self, request: Request) -> int:
        self._server.admit(request)
        return NOT_DONE_YET


class _QuietSite(Site):
    noisy = False

    def log(self, request: http.Request) -> None:
        """Write no access log: the journal has it."""


class _Connections(WrappingFactory):
    """Knows the open connections, to be able to end them."""

    noisy = False

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._emptied: list[Deferred[None]] = []

    async def cut(self) -> None:
        if self.protocols:
            self._emptied.append(Deferred())
            for connection in list(self.protocols):
                connection.abortConnection()
            await self._emptied[-1]

    def unregisterProtocol(self, connection: Any) -> None:
        super().unregisterProtocol(connection)
        while not self.protocols and self._emptied:
            self._emptied.pop().callback(None)


def _render(resource: IResource, request: Request) -> None:
    request.render(getChildForRequest(resource, request))


def _record(request: Request, now: float) -> Recorded:
    path, _, query = request.uri.decode("latin-1").partition("?")
    headers = {
        name.decode("latin-1").lower(): b",".join(values).decode("latin-1")
        for name, values in request.requestHeaders.getAllRawHeaders()
    }
    content = cast(BinaryIO, request.content)
    body = content.read()
    content.seek(0)
    return Recorded(request.method.decode("latin-1"), path, query, headers, body, now)
