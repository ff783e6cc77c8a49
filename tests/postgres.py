"""A private PostgreSQL: a cluster in a temporary directory that answers on a Unix socket only."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

from tests.canary_watch import watch

_PORT = 5432  # no port is opened: it is a part of the socket's name
_SETTINGS = "-c listen_addresses='' -c unix_socket_directories={socket} -c max_connections=50 -c shared_buffers=16MB"


class Cluster:
    """A PostgreSQL server that can be started, stopped and started again. `remove` it at the end."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # PostgreSQL refuses to run as root, and a socket's path may have 107 bytes.
        self._as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self.directory = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        if self._as_user:
            shutil.chown(self.directory, "postgres")
        self._names = count()
        self._urls: list[str] = []
        self._run("initdb", "-A", "trust", "-U", "probo", "-E", "UTF8", "--no-locale", "--no-sync")

    def start(self) -> None:
        """Fires up the server and waits until it takes connections."""
        options = _SETTINGS.format(socket=self.directory)
        self._run("pg_ctl", "-l", str(self.directory / "log"), "-o", options, "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: `fast` lets nobody finish, `immediate` is a crash. Returns when it is gone."""
        self._run("pg_ctl", "-m", mode, "-w", "stop")

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """For a while none of its processes does anything, while its sockets stay open."""
        server = int((self.directory / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(server, signal.SIGSTOP)  # first, so that it starts no more of them
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        processes = [server, *map(int, children)]
        try:
            for process in processes:
                os.kill(process, signal.SIGSTOP)
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

    def new_database(self) -> str:
        """Make an empty database; return its URL as the settings take it."""
        name = f"probo_{next(self._names)}"
        self._execute(f"CREATE DATABASE {name}")
        self._urls.append(f"postgresql://probo@/{name}?host={self.directory}&port={_PORT}")
        return self._urls[-1]

    def drop_database(self, url: str) -> None:
        """Delete a database, and end what is still connected to it."""
        watch.search_postgresql(url)
        self._urls.remove(url)
        name = url.partition("@/")[2].partition("?")[0]
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def remove(self) -> None:
        """Stop the server if it runs, and delete all its files."""
        if (self.directory / "data" / "postmaster.pid").exists():
            for url in self._urls:
                watch.search_postgresql(url)
            self.stop("immediate")
        shutil.rmtree(self.directory)

    def _execute(self, statement: str) -> None:
        with psycopg.connect(
            host=str(self.directory), port=_PORT, user="probo", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement.encode())

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_user, str(self._programs / program), "-D", str(self.directory / "data"), *arguments]
        # Not a pipe: the server would keep it open.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(command, stdout=output, stderr=output, cwd=self.directory, check=False)
            output.seek(0)
            assert done.returncode == 0, output.read().decode()


class NotInstalled(Exception):
    """There is no PostgreSQL."""


def installed() -> Path:
    """The directory of PostgreSQL's programs. Raises NotInstalled."""
    in_path = shutil.which("initdb")
    # Debian keeps them out of the PATH, to have several versions side by side.
    found = [Path(in_path)] if in_path else sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise NotInstalled("PostgreSQL is not installed (no initdb in the PATH or in /usr/lib/postgresql)")
    return found[-1].resolve().parent


def programs() -> Path:
    """The directory of PostgreSQL's programs. Where there is none, skips the test; in CI that is a failure."""
    try:
        return installed()
    except NotInstalled as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


def running_cluster() -> Iterator[Cluster]:
    """The body of a fixture: a cluster that runs."""
    cluster = Cluster(programs())
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()
