"""The scene: the two simulators in this process, and what is measured in processes of its own, on a core of its own.

This process and what it starts have the other core, once `keep_away` was called.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from benchmarks.load import Outcome
from probo_bitbucket.sandbox.faults import JSON, Answer, Fault
from probo_bitbucket.sandbox.stage import Stage

FAR = 0.08  # seconds that Bitbucket takes to answer
ROOT = Path(__file__).parents[1]
START_LIMIT = 30.0  # seconds
IDLE = 0.05  # seconds of processor time in one second
DATABASE = "probo-bitbucket.db"
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, OTHER_CORE = CORES[0], CORES[-1]  # of what is measured, and of all else; the same where there is but one

# What can be measured: the command that runs it, but for settings and port.
TWISTD = str(Path(sys.executable).with_name("twistd"))
OURS = (TWISTD,)
UNWRITTEN = (sys.executable, "-m", "benchmarks.unwritten")
NODE_LIKE = (sys.executable, "-m", "benchmarks.node_like")
BARE = (sys.executable, "-m", "benchmarks.bare")


def keep_away() -> None:
    """Leave the server's core to what is measured."""
    os.sched_setaffinity(0, {OTHER_CORE})


class CannotMeasure(Exception):
    """Something that a measurement needs is not here. The message names it."""


class DidNotStart(Exception):
    """The end of what the server said."""


class Daemon:
    """A server in a process of its own. Raises DidNotStart."""

    def __init__(self, command: Sequence[str], settings: Path, port: int, core: int = SERVER_CORE) -> None:
        self.port = port
        options = [str(settings), str(self.port)]
        if command not in (NODE_LIKE, BARE):
            options = ["-n", "--pidfile=", "probo-bitbucket", "-c", str(settings), "--port", str(self.port)]
        began = time.perf_counter()
        with settings.with_name("log").open("ab") as log:
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            self._process = subprocess.Popen([*command, *options], cwd=ROOT, env=environment, stdout=log, stderr=log)
        os.sched_setaffinity(self._process.pid, {core})
        while not self._listens():
            if self._process.poll() is not None or time.perf_counter() - began > START_LIMIT:
                raise DidNotStart(settings.with_name("log").read_text()[-2000:])
            time.sleep(0.005)
        self.started_in = time.perf_counter() - began  # seconds

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def memory(self) -> float:
        """MiB that are resident now."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20

    @property
    def processor_time(self) -> float:
        """Seconds."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


class Scene(Stage):
    """The stage without a daemon of its own: daemons are started on it."""

    def __init__(self, reactor: Any, **settings: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="benchmark-")
        self.folder = Path(self._folder.name)
        self.clock = reactor
        super().__init__(reactor, self.folder / "data", rateLimit=1_000_000, **settings)
        self.cloud.rate_limit.limit = 10**9
        self._number = 0

    def start_handler(self) -> None:
        """Builds are taken, and not run: what they would report is not what is measured."""
        body = msgspec.json.encode({"status": "build started", "steps": 2})
        self.container_manager.server.faults.add(Fault(Answer(200, body, JSON), path="/startbuild"))

    async def daemon(
        self, command: Sequence[str], core: int = SERVER_CORE, port: int | None = None, **settings: Any
    ) -> Daemon:
        """Start a server with a data directory of its own, unless *settings* name one."""
        self._number += 1
        folder = self.folder / f"daemon-{self._number}"
        folder.mkdir(mode=0o700)
        written = {"dataDir": str(folder / "data"), **settings}
        path = folder / "settings.yaml"
        path.touch(mode=0o600)
        path.write_bytes(msgspec.json.encode({**self.written, **written}))
        return await deferToThread(Daemon, command, path, port or free_port(), core)

    async def load(
        self,
        daemon: Daemon,
        connections: int,
        seconds: float,
        requests: Sequence[bytes],
        cores: Sequence[int] = (OTHER_CORE,),
        *,
        again: bool = False,
    ) -> Outcome:
        """Ask *daemon* from a process of its own, which has these *cores*: each request once, or over *again*.

        Raises CannotMeasure.
        """
        if shutil.which("taskset") is None:
            raise CannotMeasure("taskset is not installed")
        path = self.folder / "requests"
        path.write_bytes(msgspec.msgpack.encode(list(requests)))
        confined = ["taskset", "--cpu-list", ",".join(map(str, cores))]
        command = [
            *confined,
            sys.executable,
            "-m",
            "benchmarks.load",
            str(daemon.port),
            str(connections),
            str(seconds),
            str(path),
            *(["again"] if again else ()),
        ]
        done = await deferToThread(subprocess.run, command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
        return msgspec.json.decode(done.stdout, type=Outcome)

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Raises TimeoutError."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError
            await deferLater(self.clock, 0.005)

    async def until_idle(self, daemon: Daemon) -> None:
        """Wait until *daemon* has nothing to do but to look for work."""
        before = -1.0
        while daemon.processor_time - before > IDLE:
            before = daemon.processor_time
            await deferLater(self.clock, 1.0)

    async def close(self) -> None:
        await super().close()
        self._folder.cleanup()


def request(method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """A whole HTTP request, as Bitbucket or the Container Manager would send it."""
    sent = {"Host": "localhost", **(headers or {})}
    if body:
        sent |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    head = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
    return "\r\n".join([*head, "", ""]).encode() + body


def free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])
