"""A node: the real daemon in a process of its own, which can be killed and is started again."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from twisted.protocols.portforward import ProxyFactory

ROOT = Path(__file__).parents[2]


class Node:
    """A daemon with *settings*, on a port of its own, which it keeps. What it logs is appended to *log*.

    Its clock is *skew* seconds fast.
    """

    def __init__(self, settings: Path, log: Path, bug: str, skew: float) -> None:
        self.port = _free_port()
        self.starts = 0
        self.bug = bug  # from the next start on
        self._arguments = [str(skew), "-n", "--pidfile=", "probo-bitbucket", "-c", str(settings), "--port"]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(0.1)  # a frozen one takes no more connections when its backlog is full
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def tend(self) -> None:
        """Start the daemon if it does not run, as systemd would."""
        if not self.runs:
            self.starts += 1
            command = [sys.executable, "-m", "tests.chaos.launcher", self.bug, *self._arguments, str(self.port)]
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)

    def kill(self) -> None:
        """End the daemon with SIGKILL; it is gone when this returns."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Let the daemon do nothing, as on a machine that is out of memory, until it is thawed."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)


class Balancer(ProxyFactory):
    """A load balancer: hands each connection to the next node that listens."""

    noisy = False

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.host = "127.0.0.1"
        self._count = len(nodes)
        self._turns = cycle(nodes)

    @property
    def port(self) -> int:  # type: ignore[override]
        """The port of the next node that listens; where none does, of one that will refuse."""
        for _ in range(self._count):
            node = next(self._turns)
            if node.listens:
                break
        return node.port


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
