"""The life of a handler: it opens its doors and its store, works, and stops in order."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger, globalLogPublisher

from probo_bitbucket.assembly import assemble
from probo_bitbucket.config import Settings
from probo_bitbucket.metrics import Metrics
from probo_bitbucket.store import StoreUnavailable, nodes

LAST_REFRESH = 2.0  # seconds that a token refresh may take to end when everything else has stopped


def make_service(settings: Settings, reactor: Any) -> IService:
    """The daemon as *settings* describe it. It listens and works while it runs."""
    return Handler(settings, reactor)


class Handler(Service):
    """Everything, in the order of its life: the listening port, the store, the workers."""

    log = Logger()

    def __init__(self, settings: Settings, reactor: Any) -> None:
        self.settings = settings
        self._reactor = reactor
        self._parts = assemble(settings, reactor)
        self._ports: list[IListeningPort] = []

    @property
    def port(self) -> int:
        """The first port that is listened on, which the system chose where the settings say 0."""
        return int(cast(Any, self._ports[0]).getHost().port)

    @property
    def metrics(self) -> Metrics:
        """What happened since the start."""
        return self._parts.metrics

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        globalLogPublisher.addObserver(self.metrics)
        # Where a port is in use, nothing has been started yet. Requests are answered once the reactor has its turn.
        for door in self._parts.doors:
            self._ports.append(door.open(self._reactor))
        self._parts.open_store(self.settings)

    def startService(self) -> None:
        super().startService()
        for worker in self._parts.workers:
            worker.startService()
        for port in self._ports:
            self.log.info("Listening on {address}", address=port.getHost(), event="daemon.listening")

    async def _stop(self) -> None:
        await DeferredList([maybeDeferred(port.stopListening) for port in self._ports])
        await DeferredList([worker.stopService() for worker in self._parts.workers])
        refreshes = [chain.at_rest().addTimeout(LAST_REFRESH, self._reactor) for chain in self._parts.chains]
        await DeferredList(refreshes, consumeErrors=True)
        with suppress(StoreUnavailable):  # the leases end by themselves
            await self._parts.store.transact(nodes.release, self._parts.node)
        await self._parts.pool.closeCachedConnections()
        await self._parts.store.stop()
        globalLogPublisher.removeObserver(self.metrics)

    def stopService(self) -> Deferred[None]:
        """Stop to listen, let what is on its way end, put back the rest, and close the store: in this order."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())
