"""What the daemon does on signals, besides ending on SIGTERM and SIGINT, which is Twisted's part."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorFromThreads

_ENDING = (signal.SIGTERM, signal.SIGINT)

Action = Callable[[], object]


class Signals(Service):
    """While it runs, a signal of *actions* makes the reactor call its action. From the stop on, none does anything."""

    def __init__(self, reactor: IReactorFromThreads, actions: Mapping[signal.Signals, Action]) -> None:
        self._reactor = reactor
        self._actions = actions
        self._before: dict[signal.Signals, Any] = {}

    def startService(self) -> None:
        super().startService()
        for number in self._actions:
            self._before[number] = signal.signal(number, self._on_signal)

    def stopService(self) -> None:
        super().stopService()
        for number, handler in self._before.items():
            # The default of most signals is to end the process, which is not how a stop shall end.
            signal.signal(number, signal.SIG_IGN if handler is signal.SIG_DFL else handler)
        for number in _ENDING:  # Twisted fails at the second one
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        # Anything can be half done at this moment: only the reactor may act.
        self._reactor.callFromThread(self._actions[signal.Signals(number)])
