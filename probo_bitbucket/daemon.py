"""The daemon: everything that runs, started in words and stopped in time."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, Logger

from probo_bitbucket.store import StoreUnavailable
from probo_bitbucket.store.migrate import StoreTooNew
from probo_bitbucket.web.doors import CannotListen

STOP_SECONDS = 10  # what is in flight then is in the store, and goes on after the next start

_log = Logger()


class Terminal:
    """What was standard error when the process started; twistd takes it away from one that goes to the background."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.dup(2), "w")

    def say(self, line: str) -> None:
        self._file.write(f"{line}\n")

    def close(self) -> None:
        """Let go of it: whoever started the daemon may wait for its end."""
        self._file.close()


class NotStarted(Exception):
    """Ends a start in the background. twistd tells it after what we have told the terminal, and not in our words."""


def _say_nothing(*_: object) -> None:
    pass


class Daemon(MultiService):
    """Everything that runs. Gives the application its log, and does not let a stop take for ever.

    *terminal* is told why a start failed. In the foreground *pid_file* has to go then: twistd leaves it.
    """

    def __init__(
        self,
        observer: ILogObserver,
        clock: IReactorTime,
        *,
        foreground: bool = True,
        terminal: Terminal | None = None,
        pid_file: Path | None = None,
    ) -> None:
        super().__init__()
        self._observer = observer
        self._clock = clock
        self._foreground = foreground
        self._terminal = terminal
        self._pid_file = pid_file

    def setServiceParent(self, parent: Any) -> None:
        """Called by twistd after it made the application, and before it looks there for a log observer."""
        parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Open store and ports. Where that fails the process ends with status 1, and does not stay as a deaf one."""
        try:
            super().privilegedStartService()
        except (StoreUnavailable, StoreTooNew, CannotListen) as error:
            words = "Cannot listen" if isinstance(error, CannotListen) else "Cannot open the store"
            self._end(words, str(error))
        if self._terminal:
            self._terminal.close()

    def _end(self, words: str, reason: str) -> NoReturn:
        _log.critical(words, event="daemon.deaf", reason=reason)
        if self._terminal:
            self._terminal.say(f"{words}: {reason}")
            self._terminal.close()
        if not self._foreground:
            sys.excepthook = _say_nothing  # its traceback would go into the log, where all is said
            raise NotStarted("see above")  # whoever started twistd would wait for ever for one that just exits
        if self._pid_file:
            self._pid_file.unlink(missing_ok=True)
        sys.exit(1)  # without the traceback

    def stopService(self) -> Deferred[Any]:
        """Stop all parts, the last one first. Fires after STOP_SECONDS at the latest."""
        stopped = maybeDeferred(super().stopService)
        _log.info("Stopping", event="daemon.stopping")
        overdue = deferLater(self._clock, STOP_SECONDS, self._tell_overdue)
        stopped.addCallback(lambda _: overdue.cancel())
        return DeferredList([stopped, overdue], fireOnOneCallback=True, consumeErrors=True)

    def _tell_overdue(self) -> None:
        _log.error("Not all parts stopped in time", event="daemon.overdue", seconds=STOP_SECONDS)
