"""The life of a handler: it opens its doors and its store, works, takes other settings on, and stops in order.

A reload is what several nodes on one store do every day: new parts take work on, and the old ones end what they have
in hand. Only the store, the ports and what was counted pass from the ones to the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, cast

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, DeferredLock
from twisted.logger import Logger, globalLogPublisher

from probo_bitbucket.assembly import Foundation, Parts, assemble
from probo_bitbucket.config import Settings
from probo_bitbucket.flow.work.resumption import tell_waiting
from probo_bitbucket.metrics import Metrics
from probo_bitbucket.store import StoreUnavailable, Transaction, nodes
from probo_bitbucket.web.doors import CannotListen, Door, OpenDoor

LAST_REQUESTS = 8.0  # seconds that requests on their way may take to end; as long as a worker waits for its work
LAST_REFRESH = 2.0  # seconds that a token refresh may take to end when everything else has stopped


class Handler(Service):
    """Everything, in the order of its life: the listening port, the store, the workers."""

    log = Logger()

    def __init__(self, settings: Settings, reactor: Any) -> None:
        self.settings = settings
        self._reactor = reactor
        self._foundation = Foundation(settings, reactor)
        self._parts = assemble(settings, self._foundation, reactor)
        self._open: list[OpenDoor] = []
        self._changing = DeferredLock()
        self._retiring: set[Deferred[None]] = set()  # the parts from before a reload

    @property
    def port(self) -> int:
        """The first port that is listened on, which the system chose where the settings say 0."""
        return int(cast(Any, self._open[0].port).getHost().port)

    @property
    def metrics(self) -> Metrics:
        """What happened since the start."""
        return self._foundation.metrics

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        globalLogPublisher.addObserver(self.metrics)
        # Where a port is in use, nothing has been started yet. Requests are answered once the reactor has its turn.
        self._open = self._opened(self._parts.doors)
        self._foundation.open(self._begin)

    def startService(self) -> None:
        super().startService()
        self._start(self._open)

    async def reload(self, settings: Settings) -> None:
        """Go on with other *settings*, without dropping a request or work in hand.

        Raises CannotListen or StoreUnavailable; the settings from before count on then.
        """
        async with self._changing:
            if self.running:
                await self._change(self._with_our_store(settings))

    def stopService(self) -> Deferred[None]:
        """Stop to listen, let what is on its way end, put back the rest, and close the store: in this order."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def _begin(self, tx: Transaction) -> None:
        self._parts.begin(tx)
        tell_waiting(tx, self._reactor.seconds())

    def _opened(self, doors: Iterable[Door]) -> list[OpenDoor]:
        """All of *doors*, open; none is where one cannot be: CannotListen."""
        opened: list[OpenDoor] = []
        try:
            for door in doors:
                opened.append(door.open(self._reactor))
        except CannotListen:
            for each in opened:
                each.port.stopListening()
            raise
        return opened

    def _start(self, opened: Iterable[OpenDoor]) -> None:
        for worker in self._parts.workers:
            worker.startService()
        for each in opened:
            self.log.info("Listening on {address}", address=each.address, event="daemon.listening")

    def _with_our_store(self, settings: Settings) -> Settings:
        if settings.database_url != self.settings.database_url:
            self.log.warn(
                "The database (database or dataDir) is another one now, which counts after a restart",
                event="settings.postponed",
            )
        return evolve(settings, database=self.settings.database, data_dir=self.settings.data_dir)

    async def _change(self, settings: Settings) -> None:
        parts = assemble(settings, self._foundation, self._reactor)
        known = {each.door.endpoint: each for each in self._open}
        renewed = [(door, door.certificate()) for door in parts.doors if door.endpoint in known]
        opened = self._opened(door for door in parts.doors if door.endpoint not in known)
        try:
            await self._foundation.store.transact(parts.take_over)
        except Exception:
            await DeferredList([Deferred.fromCoroutine(each.close()) for each in opened])
            raise
        kept = [(known.pop(door.endpoint), door, certificate) for door, certificate in renewed]
        for each, door, certificate in kept:
            each.hand_to(door, certificate)
        former, unwanted = self._parts, list(known.values())
        self._open = [*(each for each, _, _ in kept), *opened]
        self._parts, self.settings = parts, settings
        self._start(opened)
        self._see_off(former, unwanted)

    def _see_off(self, parts: Parts, doors: Iterable[OpenDoor]) -> None:
        """Let *parts* end beside those that took over. A stop waits for them, too."""
        for each in doors:
            each.shut()
        retiring = Deferred.fromCoroutine(self._retire(parts, doors))
        self._retiring.add(retiring)
        retiring.addBoth(lambda _: self._retiring.discard(retiring))

    async def _retire(self, parts: Parts, doors: Iterable[OpenDoor]) -> None:
        """End *parts* that others have taken over from, and close the *doors* that nobody wants any more."""
        try:
            for each in doors:
                await each.close()
            await self._end(parts, doors)
        except Exception:  # noqa: BLE001 (the new ones work)
            self.log.failure("What there was before a reload did not end well", event="daemon.unsettled")

    async def _end(self, parts: Parts, doors: Iterable[OpenDoor]) -> None:
        """Let what *parts* have in hand end, hang up on who is at *doors* still, and put back the rest."""
        answers = [gate.at_rest().addTimeout(LAST_REQUESTS, self._reactor) for gate in parts.gates]
        works = [worker.stopService() for worker in parts.workers]
        await DeferredList([*answers, *works], consumeErrors=True)
        for each in doors:
            each.door.site.hang_up()  # who asked only now could begin a refresh that nobody waits for any more
        refreshes = [chain.at_rest().addTimeout(LAST_REFRESH, self._reactor) for chain in parts.chains]
        await DeferredList(refreshes, consumeErrors=True)
        with suppress(StoreUnavailable):  # the leases end by themselves
            await self._foundation.store.transact(nodes.release, parts.node)
        await parts.pool.closeCachedConnections()

    async def _stop(self) -> None:
        async with self._changing:
            await DeferredList([Deferred.fromCoroutine(each.close()) for each in self._open])
            await DeferredList([*self._retiring, Deferred.fromCoroutine(self._end(self._parts, self._open))])
            await self._foundation.close()
            globalLogPublisher.removeObserver(self.metrics)
