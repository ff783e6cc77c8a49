"""The server's outer skin: what it takes at all, and what it tells of itself."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from tempfile import TemporaryFile
from typing import Any, cast

from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from probo_bitbucket.config.types import Network
from probo_bitbucket.web.access import Rules
from probo_bitbucket.web.channel import BoundedChannel

CONNECTION_LIMIT = 512
RESERVED = 64  # of these, for peers that may call the internal routes: strangers cannot lock them out
SHARE = 64  # connections that a stranger may have open
BODY_LIMIT = 4 * 1024 * 1024  # bytes; the Container Manager sends the whole build with every status
CROWD = 64  # connections from which on bodies go to files
CROWDED_BODY = 10_000  # bytes, … unless they have fewer than these; Twisted's own limit is 100,000
IDLE = 60.0  # seconds that a client may be silent

_log = Logger()


class BoundedRequest(Request):
    """Keeps no more than BODY_LIMIT bytes of a body, and knows whether there were more."""

    too_large = False
    internal = False  # whether all internal routes are open to it: the gate finds out
    tell_client: Callable[[], str]  # where it comes from, for the log: the gate knows how to find out
    _received = 0

    def gotLength(self, length: int | None) -> None:
        self.too_large = length is not None and length > BODY_LIMIT
        if self.too_large:
            self.content = BytesIO()  # nothing of it will be kept: no need for Twisted's temporary file
        elif length is not None and length > CROWDED_BODY and self._in_a_crowd():
            self.content = TemporaryFile()  # noqa: SIM115  Twisted closes it
        else:
            super().gotLength(length)

    def _in_a_crowd(self) -> bool:
        return len(cast(Any, self.channel).site.connections) > CROWD

    def handleContentChunk(self, data: bytes) -> None:
        self._received += len(data)
        self.too_large = self.too_large or self._received > BODY_LIMIT
        if not self.too_large:  # the rest is listened to all the same: whoever is cut off gets no answer
            super().handleContentChunk(data)


class BoundedSite(Site):
    """Takes at most CONNECTION_LIMIT connections, and of strangers, as *rules* tell them, no more than their share.

    Logs a request as one event for debugging. Never its query: refresh tokens travel there.
    """

    protocol: Any = BoundedChannel

    def __init__(self, resource: IResource, rules: Rules) -> None:
        # Twisted would look for form fields in every body, which takes longer than all the rest of a request.
        super().__init__(resource, requestFactory=BoundedRequest, timeout=IDLE, parsePOSTFormSubmission=False)
        self.rules = rules
        self.connections: set[BoundedChannel] = set()

    def become(self, other: BoundedSite) -> None:
        """Answer as *other* does from the next request on, and let in whom it lets in."""
        self.resource, self.rules = other.resource, other.rules

    def buildProtocol(self, addr: IAddress | None) -> Any:
        neighbourhood = self.rules.neighbourhood(addr)
        if self._is_full_for(addr, neighbourhood):
            _log.warn("Too many connections, one is closed", event="http.crowded", count=len(self.connections))
            return None
        channel: Any = super().buildProtocol(addr)
        channel.neighbourhood = neighbourhood
        return channel

    def _is_full_for(self, addr: IAddress | None, neighbourhood: Network | None) -> bool:
        if neighbourhood and sum(each.neighbourhood == neighbourhood for each in self.connections) >= SHARE:
            return True
        reserved = 0 if self.rules.is_internal(addr) else RESERVED
        return len(self.connections) >= CONNECTION_LIMIT - reserved

    def hang_up(self) -> None:
        """End the connections that are open."""
        for connection in tuple(self.connections):
            connection.loseConnection()

    def log(self, request: Request) -> None:  # type: ignore[override]
        _log.debug(
            "Request answered",
            event="http.answered",
            client=getattr(request.getClientAddress(), "host", "unix socket"),
            method=request.method.decode("latin-1"),
            path=request.path.decode("latin-1"),
            status=request.code,
        )
