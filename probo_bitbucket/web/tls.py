"""TLS: what an `ssl:` endpoint shows of itself, read from its files, which others replace while the port stays open."""

from __future__ import annotations

from typing import Any

from OpenSSL.SSL import Context
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IOpenSSLContextFactory, IProtocolFactory
from twisted.internet.protocol import Factory
from zope.interface import implementer


@implementer(IOpenSSLContextFactory)
class Certificate:
    """Certificate and key of an `ssl:` endpoint, as they are now. Raises what reading them raises: many kinds.

    Twisted asks for the context again at every connection.
    """

    def __init__(self, endpoint: str) -> None:
        self._asked = _Asked()
        serverFromString(self._asked, endpoint).listen(Factory())
        self._context: Context = self._asked.tls.getContext()

    def getContext(self) -> Context:
        return self._context

    def become(self, renewed: Certificate) -> None:
        """Show what *renewed* has, from the next connection on."""
        self._context = renewed.getContext()

    def listen(self, reactor: Any, factory: IProtocolFactory) -> IListeningPort:
        """Listen where the endpoint says. Raises CannotListenError."""
        asked = self._asked
        port: IListeningPort = reactor.listenSSL(asked.port, factory, self, asked.backlog, asked.interface)
        return port


class _Asked:
    """Stands in for the reactor, to learn what an endpoint would ask of it."""

    def listenSSL(self, port: int, factory: Factory, contextFactory: Any, backlog: int, interface: str) -> None:
        del factory
        self.port, self.tls, self.backlog, self.interface = port, contextFactory, backlog, interface
