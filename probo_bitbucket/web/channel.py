"""Connections: how many there are, and how long each may take to say what it wants."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from probo_bitbucket.config.types import Network

FRESH = 10  # seconds that a new connection may wait with its first byte, and take for TLS before it
RECEIVE = 30.0  # seconds from the first byte of a request to its last, and from our last byte to the peer's hanging up

_log = Logger()


class BoundedChannel(HTTPChannel):
    """One connection. Twisted's own limits hold too: 500 headers, 16 KiB for all of them and the URL together.

    Twisted's timeout is for a peer that is silent; one that sends a byte a second would keep its place for ever.
    """

    site: Any
    transport: Any
    neighbourhood: Network | None = None  # whose connections are counted together
    _silent = True
    _receiving = True
    _deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self.site.connections.add(self)
        self.timeOut = FRESH
        super().connectionMade()

    def timeoutConnection(self) -> None:
        self.loseConnection()  # without the line that Twisted logs: there can be many

    def dataReceived(self, data: bytes) -> None:
        if self._silent:
            self._silent = False
            self.setTimeout(self.site.timeOut)
        if self._receiving:
            self._start_deadline()
        super().dataReceived(data)

    def headerReceived(self, line: bytes) -> bool:
        name, _, value = line.partition(b":")
        # Python refuses to read numbers of more than 4,300 digits, and Twisted does not expect that.
        if name.strip().lower() == b"content-length" and len(value.strip()) > 18:
            self._respondToBadRequestAndDisconnect()
            return False
        return bool(super().headerReceived(line))

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: ARG002  Twisted's name
        self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
        self.loseConnection()

    def allContentReceived(self) -> None:
        self._stop_deadline()
        self._receiving = False
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        self._receiving = True
        super().requestDone(request)

    def loseConnection(self) -> None:
        self._start_deadline()
        super().loseConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._stop_deadline()
        self.site.connections.discard(self)
        super().connectionLost(reason)

    def _start_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self.callLater(RECEIVE, self._overdue)

    def _stop_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def _overdue(self) -> None:
        _log.info(
            "Slow client cut off",
            event="http.too_slow",
            client=getattr(self.transport.getPeer(), "host", "unix socket"),
        )
        self.transport.abortConnection()
