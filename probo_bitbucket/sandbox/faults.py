"""What can go wrong at a simulated upstream, and when."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Protocol, cast

from attrs import field, frozen
from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.python.failure import Failure
from twisted.web.server import Request

JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html; charset=utf-8"}


class Effect(Protocol):
    """What happens to a request. *proceed* answers it as if there were no fault."""

    def apply(self, request: Request, clock: IReactorTime, proceed: Callable[[], None]) -> None: ...


@frozen
class Answer:
    """An answer of the fault's own; the request has no effect."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(factory=dict)

    def apply(self, request: Request, clock: IReactorTime, proceed: Callable[[], None]) -> None:
        del clock, proceed
        _begin(request, self.status, self.headers, len(self.body))
        request.write(self.body)
        request.finish()


@frozen
class Truncated:
    """An answer that breaks off before all that its Content-Length announces."""

    def apply(self, request: Request, clock: IReactorTime, proceed: Callable[[], None]) -> None:
        del clock, proceed
        body = b'{"half": "of an ans'
        _begin(request, 200, JSON, len(body) + 100)
        request.write(body)
        request.loseConnection()


@frozen
class Hang:
    """No answer, ever; the connection stays open."""

    def apply(self, request: Request, clock: IReactorTime, proceed: Callable[[], None]) -> None:
        """Leave the request as it is."""


@frozen
class Cut:
    """The connection is reset; the request has no effect."""

    def apply(self, request: Request, clock: IReactorTime, proceed: Callable[[], None]) -> None:
        del clock, proceed
        _cut(request)


@frozen
class LoseAnswer:
    """The request takes effect, but the connection is reset instead of an answer."""

    def apply(self, request: Request, clock: IReactorTime, proceed: Callable[[], None]) -> None:
        del clock
        request.write = _drop  # type: ignore[method-assign]
        request.finish = partial(_cut, request)  # type: ignore[method-assign]
        proceed()


@frozen
class Slow:
    """The right answer, *seconds* late."""

    seconds: float

    def apply(self, request: Request, clock: IReactorTime, proceed: Callable[[], None]) -> None:
        later(request, clock, self.seconds, proceed)


@frozen(eq=False)
class Fault:
    """An effect on the requests whose method and path match."""

    effect: Effect
    path: str = ".*"  # regular expression for the whole percent-encoded path, without the query
    method: str = ".*"  # regular expression
    times: int | None = None  # how often; None: until it is removed
    chance: float = 1.0  # share of the matching requests that are hit

    def matches(self, method: str, path: str) -> bool:
        return bool(re.fullmatch(self.method, method) and re.fullmatch(self.path, path))


class Faults:
    """The faults of one upstream. The oldest one that matches a request decides."""

    def __init__(self) -> None:
        self._random = Random(0)  # noqa: S311 - the same run every time is wanted
        self._left: dict[Fault, int | None] = {}

    def __contains__(self, fault: Fault) -> bool:
        return fault in self._left

    def add(self, fault: Fault) -> Fault:
        self._left[fault] = fault.times
        return fault

    def remove(self, fault: Fault) -> None:
        """Take *fault* away; nothing happens if it is used up already."""
        self._left.pop(fault, None)

    def clear(self) -> None:
        self._left.clear()

    def take(self, method: str, path: str) -> Effect | None:
        """Return what shall happen to this request and count it, or None."""
        for fault in self._left:
            if fault.matches(method, path) and self._random.random() < fault.chance:
                self._count(fault)
                return fault.effect
        return None

    def _count(self, fault: Fault) -> None:
        left = self._left[fault]
        if left is None:
            return
        self._left[fault] = left - 1
        if left <= 1:
            del self._left[fault]


def later(request: Request, clock: IReactorTime, seconds: float, call: Callable[[], None]) -> None:
    """Call *call* in *seconds*, unless the client has gone by then."""
    delayed = clock.callLater(seconds, call)

    def client_gone(_reason: Failure) -> None:
        if delayed.active():
            delayed.cancel()

    request.notifyFinish().addErrback(client_gone)


def _begin(request: Request, status: int, headers: Mapping[str, str], length: int) -> None:
    request.setResponseCode(status)
    for name, value in headers.items():
        request.setHeader(name, value)
    request.setHeader("Content-Length", str(length))


def _cut(request: Request) -> None:
    cast(ITCPTransport, request.channel.transport).abortConnection()


def _drop(data: bytes) -> None:
    """Take what would have been the answer."""
