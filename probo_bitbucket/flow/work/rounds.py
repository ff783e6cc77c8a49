"""Rounds: does something again and again while the service runs, whatever happens in one round."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import define
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from probo_bitbucket.store import StoreUnavailable


@define(eq=False, slots=False)
class Rounds(Service):
    """Calls *work* every *interval* seconds, the first time at once. A round that takes longer delays the next."""

    name: str
    work: Callable[[], Awaitable[None]]
    interval: float
    clock: IReactorTime

    log = Logger()

    def __attrs_post_init__(self) -> None:
        self._call = LoopingCall(self._round)
        self._call.clock = self.clock
        self._current: Deferred[None] = succeed(None)

    def startService(self) -> None:
        super().startService()
        self._call.start(self.interval, now=True)

    def stopService(self) -> Deferred[None]:
        """Cancels the round that is going on."""
        super().stopService()
        self._call.stop()
        self._current.cancel()
        return self._current

    def _round(self) -> Deferred[None]:
        self._current = Deferred.fromCoroutine(self._guarded())
        return self._current

    async def _guarded(self) -> None:
        try:
            await self.work()
        except CancelledError:
            pass  # the service stops
        except StoreUnavailable as error:
            self.log.warn("The store is not available", event="store.unavailable", reason=str(error))
        except Exception:  # noqa: BLE001 (the next round must come)
            self.log.failure("A round failed", event="round.failed", step=self.name)
