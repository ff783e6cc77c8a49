"""Tells systemd how the daemon is: the sd_notify protocol, and the watchdog.

See sd_notify(3). Without `NOTIFY_SOCKET` in the environment everything here does nothing.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

_log = Logger()


def notify(address: str, *assignments: str) -> None:
    """Send *assignments* (`READY=1`) to the socket *address*; a leading @ means the abstract namespace.

    Raises OSError where nobody listens.
    """
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)  # a supervisor that does not read must not hold up the daemon
        sender.connect(address)
        sender.sendall("\n".join(assignments).encode())


class Notifier(Service):
    """READY when everything before it in the MultiService has started, STOPPING before any of that stops.

    While the reactor turns, WATCHDOG is sent twice in every `WATCHDOG_USEC` microseconds; a reactor that hangs sends
    none, and systemd restarts the daemon.
    """

    def __init__(self, clock: IReactorTime, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._watchdog = LoopingCall(self._tell, "WATCHDOG=1")
        self._watchdog.clock = clock
        self._interval = _watchdog_seconds(environ) / 2

    def startService(self) -> None:
        super().startService()
        self._tell("READY=1")
        if self._interval:
            self._watchdog.start(self._interval)

    def stopService(self) -> None:
        super().stopService()
        self._tell("STOPPING=1")
        # The watchdog goes on: what is in flight may take longer than its interval.

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Tell of a reload while the block runs."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            self._tell("READY=1")

    def _tell(self, *assignments: str) -> None:
        if self._address:
            try:
                notify(self._address, *assignments)
            except OSError as error:
                _log.warn("systemd was not told", event="systemd.deaf", reason=error)


def _watchdog_seconds(environ: Mapping[str, str]) -> float:
    """Return 0 where systemd does not watch, or watches another process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0
    return int(environ.get("WATCHDOG_USEC", "0")) / 1_000_000
