"""The doors: where the settings say to listen, and what is behind each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, cast

from attrs import evolve, frozen
from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.tcp import makeBinding
from twisted.python.failure import Failure

from probo_bitbucket.config import Settings
from probo_bitbucket.web.access import Rules
from probo_bitbucket.web.gate import Gate, Rooms, Shut
from probo_bitbucket.web.site import CONNECTION_LIMIT, BoundedSite
from probo_bitbucket.web.tls import Certificate


class CannotListen(CannotListenError):
    """Nobody could reach us where the settings say: which endpoint, why, and which setting.

    In this order, because twistd shows the first 100 bytes only when it goes into the background.
    """

    def __init__(self, door: Door, reason: str, port: int | str | None = None) -> None:
        super().__init__(door.endpoint, port, reason)
        self._words = f"{door.endpoint}: {reason} (setting `{door.setting}`)"

    def __str__(self) -> str:
        return self._words


@frozen
class Door:
    """A port that is to be opened, and who stands behind it."""

    setting: str  # that says so
    endpoint: str
    site: BoundedSite
    shared: bool = False  # with other daemons of this machine

    @property
    def gate(self) -> Gate:
        return cast(Gate, self.site.resource)

    def certificate(self) -> Certificate | None:
        """What an endpoint of TLS shows; None for others. Raises CannotListen."""
        if not self.endpoint.startswith("ssl:"):
            return None
        try:
            return Certificate(self.endpoint)
        except Exception as error:
            raise self._unusable(error) from error

    def open(self, reactor: Any) -> OpenDoor:
        """Listen, at once.

        Raises CannotListen, before the process goes into the background: a daemon that listens nowhere must not live.
        """
        certificate = self.certificate()
        listening = _Listening(reactor, self.shared)
        try:
            port = certificate.listen(listening, self.site) if certificate else self._listen(listening)
        except CannotListenError as error:
            raise CannotListen(self, _reason(error), error.port) from error
        except Exception as error:
            raise self._unusable(error) from error
        return OpenDoor(self, port, certificate)

    def _listen(self, reactor: Any) -> IListeningPort:
        ports: list[IListeningPort] = []
        failures: list[Failure] = []
        listening = serverFromString(reactor, self.endpoint).listen(self.site)
        listening.addCallbacks(ports.append, failures.append)
        if failures:
            failures[0].raiseException()
        return ports[0]

    def _unusable(self, error: Exception) -> CannotListen:
        """Endpoints read files, descriptors and plugins: each has errors of its own."""
        match error:
            case KeyError() | IndexError() if self.endpoint.startswith("systemd:"):
                reason = "systemd has opened no such socket: is probo-bitbucket.socket active?"
            case TypeError():
                reason = "a part of it is missing, unknown or one too many (in an IPv6 address write \\: for a colon)"
            case OSError(strerror=str(words), filename=name):
                reason = f"{words}: {os.fsdecode(error.filename2 or name)}" if name else words
            case _:
                reason = f"{type(error).__name__}: {error}"
        return CannotListen(self, reason)


def _reason(error: CannotListenError) -> str:
    """Why the system lets nobody listen; Twisted itself refuses a unix socket that another process has."""
    if isinstance(error.socketError, OSError):
        return error.socketError.strerror or str(error.socketError)
    return f"{error.socketError} {os.fsdecode(error.port)}.lock, which a running process has"


@frozen
class _Listening:
    """A reactor for endpoints. Where *shared*, others may listen on the same port, too (SO_REUSEPORT).

    While the daemon is busy, as many wait as it lets in, if the system allows it; where there is no room to wait, TCP
    tries again after a second, and a unix socket refuses.
    """

    reactor: Any
    shared: bool

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reactor, name)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        return self.reactor.listenTCP(self._at(interface, port), factory, _queue(backlog), interface)

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = "") -> Any:
        return self.reactor.listenSSL(self._at(interface, port), factory, contextFactory, _queue(backlog), interface)

    def listenUNIX(self, address: str, factory: Any, backlog: int = 50, **options: Any) -> Any:
        return self.reactor.listenUNIX(address, factory, _queue(backlog), **options)

    def _at(self, interface: str, port: int) -> Any:
        """Twisted looks at the interface beside it to know an IPv6 address."""
        return makeBinding(interface, port, reuseAddress=True, reusePort=self.shared)


def _queue(backlog: int) -> int:
    return max(backlog, CONNECTION_LIMIT)


@frozen
class OpenDoor:
    """A door, and the port that it is at."""

    door: Door
    port: IListeningPort
    certificate: Certificate | None

    @property
    def address(self) -> str:
        """Where it is, as people write it."""
        host: Any = self.port.getHost()
        if isinstance(host, UNIXAddress):
            return f"unix:{os.fsdecode(host.name or b'')}"
        return f"[{host.host}]:{host.port}" if isinstance(host, IPv6Address) else f"{host.host}:{host.port}"

    def hand_to(self, door: Door, certificate: Certificate | None) -> None:
        """Let those behind *door* answer from the next request on, also where a connection is open already."""
        self.door.site.become(door.site)
        if self.certificate and certificate:
            self.certificate.become(certificate)

    def shut(self) -> None:
        """Let nobody in any more who is connected already. What was let in before is answered."""
        self.door.site.resource = Shut()

    async def close(self) -> None:
        await maybeDeferred(self.port.stopListening)


def doors(settings: Settings, rooms: Rooms) -> Iterator[Door]:
    """Both rooms behind one door; or the internal routes behind doors of their own, where the settings name such."""
    rules = Rules(
        settings.internal_access, settings.webhook_networks, settings.trusted_proxies, settings.internal_token
    )

    def site(rooms: Rooms) -> BoundedSite:
        return BoundedSite(Gate(rooms, rules), rules)

    def door(setting: str, endpoint: str, site: BoundedSite) -> Door:
        return Door(setting, endpoint, site, settings.share_port)

    outer = site(evolve(rooms, internal=None) if settings.internal_listen else rooms)
    if not settings.listen:
        host = quoteStringArgument(settings.hostname)
        yield door("port", f"tcp:{settings.port}:interface={host}", outer)
    for endpoint in settings.listen:
        yield door("listen", endpoint, outer)
    inner = site(evolve(rooms, webhook=None))
    for endpoint in settings.internal_listen:
        yield door("internalListen", endpoint, inner)
