"""The calls that the simulated Container Manager makes: each on a connection of its own, none tried twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, MutableSequence
from typing import Any, cast

from attrs import define
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.error import ConnectionRefusedError as NobodyListens
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.client import URI, Agent, RequestTransmissionFailed, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer


@define(eq=False)
class Call:
    """A call as it went out, and what came back."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    time: float  # when it was made
    status: int | None = None  # None as long as there is no whole answer
    content_type: str = ""
    answer: bytes = b""
    failure: str = ""  # in Node's words, where the call got no answer

    @property
    def document(self) -> Any:
        """The JSON that was sent."""
        return json.loads(self.body)

    @property
    def accepted(self) -> bool:
        """Whether the Container Manager is content: a 2xx, and sound JSON if it says that it is JSON."""
        if self.status is None or not 200 <= self.status < 300:
            return False
        return self.content_type != "application/json" or not self.answer or is_json(self.answer)


def is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


class Caller:
    """Makes calls and writes them into *journal*. *on_end* is told of each that was answered or has failed."""

    def __init__(
        self, reactor: Any, clock: IReactorTime, journal: MutableSequence[Call], on_end: Callable[[Call], None]
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._journal = journal
        self._on_end = on_end
        self._connections = _Connections(reactor)
        self._client = HTTPClient(Agent.usingEndpointFactory(reactor, self._connections))

    async def call(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"", *, redirects: bool = False
    ) -> Call:
        """Make one call, without a timeout. Does not raise: what went wrong stands in the Call."""
        call = Call(method, url, headers, body, self._clock.seconds())
        self._journal.append(call)
        raw_headers = Headers({name: [value] for name, value in headers.items()})
        try:
            response = await self._client.request(
                method, url, headers=raw_headers, data=body or None, allow_redirects=redirects, reactor=self._reactor
            )
            call.answer = await response.content()
        except NobodyListens:
            call.failure = f"connect ECONNREFUSED {url.split('/')[2]}"
        except ConnectingCancelledError as error:
            raise CancelledError from error  # whoever waits for the call knows only one way to end it
        except (RequestTransmissionFailed, ResponseFailed, ConnectError, OSError) as error:
            if _was_cancelled(error):
                raise CancelledError from error
            call.failure = "socket hang up"
        else:
            call.content_type = (response.headers.getRawHeaders("content-type") or [""])[0].partition(";")[0].strip()
            call.status = response.code
        self._on_end(call)
        return call

    async def stop(self) -> None:
        """Cut every connection; when it is done, nothing is left in the reactor."""
        await self._connections.cut()


def _was_cancelled(error: Exception) -> bool:
    """Twisted's client wraps what it was given up with, once the request is on its way."""
    return any(reason.check(CancelledError) for reason in getattr(error, "reasons", ()))


@implementer(IAgentEndpointFactory)
class _Connections:
    """Knows the open connections, to be able to end them."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._open: set[ProtocolWrapper] = set()
        self._emptied: list[Deferred[None]] = []

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return _Endpoint(TCP4ClientEndpoint(self._reactor, uri.host.decode("ascii"), uri.port), self)

    async def cut(self) -> None:
        if self._open:
            self._emptied.append(Deferred())
            for connection in list(self._open):
                cast(ITCPTransport, connection).abortConnection()
            await self._emptied[-1]

    def opened(self, connection: ProtocolWrapper) -> None:
        self._open.add(connection)

    def closed(self, connection: ProtocolWrapper) -> None:
        self._open.discard(connection)
        while not self._open and self._emptied:
            self._emptied.pop().callback(None)


@implementer(IStreamClientEndpoint)
class _Endpoint:
    """An endpoint whose connections are known."""

    def __init__(self, endpoint: IStreamClientEndpoint, connections: _Connections) -> None:
        self._endpoint = endpoint
        self._connections = connections

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        connecting = self._endpoint.connect(_Known(protocolFactory, self._connections))
        return connecting.addCallback(lambda wrapper: cast(ProtocolWrapper, wrapper).wrappedProtocol)


class _Known(WrappingFactory):
    noisy = False

    def __init__(self, factory: IProtocolFactory, connections: _Connections) -> None:
        super().__init__(factory)
        self._connections = connections

    def registerProtocol(self, p: ProtocolWrapper) -> None:
        super().registerProtocol(p)
        self._connections.opened(p)

    def unregisterProtocol(self, p: ProtocolWrapper) -> None:
        super().unregisterProtocol(p)
        self._connections.closed(p)
