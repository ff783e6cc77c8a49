"""Raw bytes to a server and back: what a well-behaved client would not send."""

from __future__ import annotations

from typing import cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure


class Wire(Protocol):
    """Collects what comes; `closed` fires with all of it when the server hangs up."""

    def __init__(self) -> None:
        self.received = b""
        self.closed: Deferred[bytes] = Deferred()

    def send(self, data: bytes) -> None:
        cast(ITransport, self.transport).write(data)

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(self.received)


async def connect(server: int | str) -> Wire:
    """A connection to a port of this machine, or to a unix socket."""
    description = f"tcp:127.0.0.1:{server}" if isinstance(server, int) else f"unix:{server}"
    return cast(Wire, await connectProtocol(clientFromString(reactor, description), Wire()))


async def exchange(server: int | str, request: bytes) -> bytes:
    """All that *server* says to *request* until it hangs up."""
    wire = await connect(server)
    wire.send(request)
    return await wire.closed


def status(answer: bytes) -> int:
    """The status of an answer; 0 where there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0
