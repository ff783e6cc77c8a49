"""Calls to other servers: bounded in time and size, never redirected, failing in words.

treq's own timeout ends with the headers of the answer; a peer that stalls in the body would hold us for ever. So the
whole exchange has one deadline, and the body is collected here, with a limit.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
from attrs import field, frozen
from hyperlink import EncodedURL
from OpenSSL.SSL import Context
from treq.client import HTTPClient
from twisted.internet._sslverify import IOpenSSLTrustRoot  # of what trustRoot= takes; has no public name
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionClosed, ConnectionRefusedError, DNSLookupError, NoRouteError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from probo_bitbucket import __version__
from probo_bitbucket.breaker import Breaker
from probo_bitbucket.errors import NotFound, Permanent, RateLimited, Spared, Temporary, Unanswered, Unauthorized
from probo_bitbucket.logs import redact

USER_AGENT = f"probo-bitbucket/{__version__}"
CONNECT_TIMEOUT = 10.0  # seconds
REQUEST_TIMEOUT = 30.0  # seconds, from the first byte sent to the last one read
LONGEST_WAIT = (
    86_400.0  # seconds that an upstream can ask us to wait: its mistake, or its clock, must not stop us for years
)
LOOP_DETECTED = 508  # RFC 5842, 7.2: what we sent leads back to where it came from, now and at every other time
ANSWER_LIMIT = 16 * 1024 * 1024  # bytes; GET /builds of the Container Manager is the largest answer there is


@frozen
class Answer:
    """What an upstream answered."""

    upstream: str
    status: int
    headers: Headers
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")

    def json(self) -> Any:
        """The body as JSON. Raises Temporary: an HTML page in place of JSON is a proxy's, and passes."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Temporary(f"{self.upstream} answered {self.status} with something that is not JSON") from error

    def header(self, name: str) -> str:
        """The first header of that name, or an empty text."""
        # Asked for by a text, Twisted decodes what came as UTF-8, and fails where it is none.
        values = self.headers.getRawHeaders(name.encode())
        return values[0].decode("latin-1") if values else ""

    def number(self, name: str, most: float) -> float | None:
        """The whole number in a header, *most* at most; None where it has none."""
        value = self.header(name).strip()
        return min(float(value), most) if value.isascii() and value.isdigit() else None

    def seconds(self, name: str) -> float | None:
        """The number of seconds in a header, LONGEST_WAIT at most; None where it has none."""
        return self.number(name, LONGEST_WAIT)

    def checked(self) -> Answer:
        """This answer if its status is 2xx; raises the kind of UpstreamError that its status means otherwise."""
        if 200 <= self.status < 300:
            return self
        reason = f"{self.upstream} answered {self.status}{self._message()}"
        if self.status == 401:
            raise Unauthorized(reason)
        if self.status == 404:
            raise NotFound(reason, 404)
        if self.status == 429:
            raise RateLimited(reason, self.retry_after())
        if self.status != LOOP_DETECTED and (self.status == 408 or self.status >= 500):
            raise Temporary(reason, self.retry_after())
        raise Permanent(reason, self.status)

    def retry_after(self) -> float | None:
        """Seconds that the upstream asks us to wait (RFC 9110, 10.2.3), None where it does not say."""
        seconds = self.seconds("retry-after")
        if seconds is not None:
            return seconds
        try:
            seconds = parsedate_to_datetime(self.header("retry-after")).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
        return min(max(seconds, 0.0), LONGEST_WAIT)

    def _message(self) -> str:
        try:
            document = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, RecursionError):
            return ""
        if not isinstance(document, dict):
            return ""
        error = document.get("error", document.get("message"))
        if isinstance(error, dict):
            error = error.get("message")
        words = (error, document.get("error_description"))  # RFC 6749, 5.2
        # It may repeat what we sent. A secret that is cut in two could not be known again later.
        return "".join(f": {redact(text)[:200]}" for text in words if isinstance(text, str) and text)


class Upstream:
    """A server that we call, known by a *name* for people. Never follows a redirect: none is expected anywhere,
    and the Authorization header must not travel to another host.

    *observe* is told of every call: its URL, the HTTP status of the answer (0: there was none), and how many seconds it
    took.
    """

    def __init__(
        self,
        name: str,
        http: HTTPClient,
        clock: IReactorTime,
        observe: Callable[[str, int, float], None] = lambda *_: None,
    ) -> None:
        self.name = name
        self._http = http
        self._clock = clock
        self.breaker = Breaker(clock, name)
        self._observe = observe

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str | bytes, str | bytes] | None = None,
        json: Any = None,
        form: dict[str, str] | None = None,
        body: bytes | None = None,
        whose: str = "",
        pay: Callable[[], None] = lambda: None,
        not_after: float = math.inf,
    ) -> Answer:
        """Send one request and return the whole answer, whatever its status. It has *json*, a *form*, or a *body*.

        *whose* names the repository or the build that may be slow where the upstream is not; empty where there is none.
        *pay* is called for what is really going to be sent, and may keep it from being sent by an error of its own.
        *not_after* is the time after which it is not sent any more. Raises Temporary when it was not sent (Spared: nor
        tried), or there was no whole answer (Unanswered: not within REQUEST_TIMEOUT seconds), and CancelledError when
        the caller gave up before.
        """
        if self._clock.seconds() > not_after:
            raise Spared(f"too late to be sent to {self.name}: somebody else may have done so")
        self.breaker.enter()
        pay()
        sent: dict[str | bytes, str | bytes] = {"User-Agent": USER_AGENT, "Accept": "*/*", **(headers or {})}
        data: bytes | dict[str, str] | None = body if form is None else form
        if json is not None:
            data = msgspec.json.encode(json)
            sent["Content-Type"] = "application/json"
        exchange = Deferred.fromCoroutine(self._observed(method, url, sent, data))
        exchange.addTimeout(REQUEST_TIMEOUT, self._clock, _time_is_up)
        try:
            answer = await exchange
        except TimeoutError as error:
            if whose:
                self.breaker.unanswered(whose)
            else:
                self.breaker.failed()
            raise Unanswered(f"{self.name} did not answer within {REQUEST_TIMEOUT:g} s") from error
        except Temporary:
            self.breaker.failed()
            raise
        except Exception as error:  # whatever the network and TLS come up with is one thing to the caller
            cause = _innermost(error)
            if isinstance(cause, CancelledError):
                raise cause from error
            self.breaker.failed()
            raise Temporary(f"{self.name} at {urlsplit(url).netloc} could not be reached: {_plain(cause)}") from error
        if answer.status == LOOP_DETECTED or answer.status < 500:
            self.breaker.succeeded()
        elif answer.status > 500:  # a 500 is about one request, and says nothing of the others
            self.breaker.failed()
        return answer

    async def _observed(
        self, method: str, url: str, headers: dict[str | bytes, str | bytes], data: bytes | dict[str, str] | None
    ) -> Answer:
        began, status = self._clock.seconds(), 0
        try:
            answer = await self._exchange(method, url, headers, data)
            status = answer.status
        finally:
            self._observe(url, status, self._clock.seconds() - began)
        return answer

    async def _exchange(
        self, method: str, url: str, headers: dict[str | bytes, str | bytes], data: bytes | dict[str, str] | None
    ) -> Answer:
        response = await self._http.request(
            method, _outgoing(url), headers=headers, data=data, allow_redirects=False, unbuffered=True
        )
        body = await _read(response, self.name)
        return Answer(self.name, response.code, response.headers, body)


# A path and a query of which nothing is left to encode (RFC 3986, 3.3 and 3.4), at a host as we write it.
_ENCODED = re.compile(r"https?://[a-z0-9.-]+(:\d+)?(/([A-Za-z0-9\-._~:/?@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)?")


class _Encoded(EncodedURL):
    """A URL that can go out as it is: treq would have it taken apart and put together again, for 0.1 ms a request."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __getattr__(self, name: str) -> Any:
        """Its parts, which treq asks for only where it has something to change."""
        if name == "_text":  # of a copy that is just being made
            raise AttributeError(name)
        return getattr(EncodedURL.from_text(self._text), name)

    def replace(self, *changed: Any, **parts: Any) -> EncodedURL:
        return EncodedURL.from_text(self._text).replace(*changed, **parts)

    def to_uri(self) -> Self:
        return self

    def to_text(self, with_password: bool = False) -> str:  # noqa: ARG002 (hyperlink's)
        return self._text


def _outgoing(url: str) -> EncodedURL | str:
    return _Encoded(url) if _ENCODED.fullmatch(url) else url


def _read(response: IResponse, upstream: str) -> Deferred[bytes]:
    collector = _Body(upstream)
    response.deliverBody(collector)
    return collector.finished


class _Body(Protocol):
    """Collects a body up to ANSWER_LIMIT; cancelling `finished` cuts the connection."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self._chunks: list[bytes] = []
        self._size = 0
        self.finished: Deferred[bytes] = Deferred(lambda _: self._cut())

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > ANSWER_LIMIT:
            self._cut()
            self._end(Failure(Temporary(f"{self.upstream} answered with more than {ANSWER_LIMIT} bytes")))
        else:
            self._chunks.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if reason.check(ResponseDone, PotentialDataLoss):
            self._end(b"".join(self._chunks))
        else:
            self._end(Failure(Temporary(f"{self.upstream} broke off in the middle of its answer")))

    def _cut(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def _end(self, result: Any) -> None:
        if not self.finished.called:
            self.finished.callback(result)


def _time_is_up(_: object, timeout: float) -> None:
    # An exchange that is cancelled ends in several ways, by how far it had come: this makes them one.
    raise TimeoutError(timeout)


def _innermost(error: BaseException) -> BaseException:
    """What happened on the wire: Twisted wraps it in `ResponseNeverReceived([…])`."""
    reasons = getattr(error, "reasons", None)
    return _innermost(reasons[0].value) if reasons else error


def _plain(error: BaseException) -> str:
    """What happened, in words for people who do not know Twisted's; its own where there are no others."""
    words = next((words for kind, words in _WORDS if isinstance(error, kind)), str(error))
    return words or type(error).__name__


# Some of these are kinds of others: the first one counts.
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (ConnectionRefusedError, "nothing listens there"),
    (DNSLookupError, "this machine finds no address for the name (DNS)"),
    (NoRouteError, "this machine has no way to its network"),
    (ConnectTimeout, f"nothing answered for {CONNECT_TIMEOUT:g} s, as where a firewall is between"),
    (ConnectionClosed, "the connection was broken off before an answer came"),
)


def http_client_of_strangers(reactor: Any) -> HTTPClient:
    """An HTTP client that trusts whom everybody trusts, and keeps no connection."""
    pool = HTTPConnectionPool(reactor, persistent=False)
    return HTTPClient(Agent(reactor, BrowserLikePolicyForHTTPS(), connectTimeout=CONNECT_TIMEOUT, pool=pool))


def http_client(reactor: Any, ca_file: str = "") -> tuple[HTTPClient, HTTPConnectionPool]:
    """An HTTP client with verified TLS and a pool that keeps as many connections as we have calls at once.

    *ca_file* holds certificates that are trusted besides the system's.
    """
    pool = HTTPConnectionPool(reactor)
    # Twisted's default of 2 would open a new connection for almost every call of a burst.
    pool.maxPersistentPerHost = 64
    policy = BrowserLikePolicyForHTTPS(_MoreTrust(ca_file) if ca_file else None)
    return HTTPClient(Agent.usingEndpointFactory(reactor, _Endpoints(reactor, policy), pool)), pool


@implementer(IAgentEndpointFactory)
@frozen
class _Endpoints:
    """Where servers are connected to. Made once for each: Twisted's own agent makes a TLS context for every request.

    So the certificates that are trusted are read once for each, too, and again when the settings are.
    """

    reactor: Any
    policy: IPolicyForHTTPS
    _made: dict[tuple[bytes, bytes, int], IStreamClientEndpoint] = field(factory=dict, init=False)

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:  # the name is IAgentEndpointFactory's
        server = uri.scheme, uri.host, uri.port
        if server not in self._made:
            self._made[server] = self._make(uri)
        return self._made[server]

    def _make(self, uri: URI) -> IStreamClientEndpoint:
        endpoint = HostnameEndpoint(self.reactor, uri.host, uri.port, timeout=CONNECT_TIMEOUT)
        if uri.scheme == b"http":
            return endpoint
        return wrapClientTLS(self.policy.creatorForNetloc(uri.host, uri.port), endpoint)


@implementer(IOpenSSLTrustRoot)
@frozen
class _MoreTrust:
    """The system's certificate authorities and those of a file. Twisted has one or the other."""

    ca_file: str

    def _addCACertsToContext(self, context: Context) -> None:  # the name is IOpenSSLTrustRoot's
        context.set_default_verify_paths()
        context.load_verify_locations(self.ca_file)
