"""How much memory the daemon takes while 200 clients dawdle and 1,000 bodies of 20 MB come in: `make memory`.

Starts a daemon of its own, and ends with status 1 where its memory was ever above the limit or a body was answered with
anything but 413.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import repeat
from pathlib import Path
from threading import Event, Thread

LIMIT = 150  # MiB
DAWDLERS = 200
BODIES = 1000
SIZE = 20_000_000  # bytes
AT_ONCE = 20

ROOT = Path(__file__).parent.parent
HEAD = b"POST /bitbucket-webhook HTTP/1.1\r\nHost: x\r\nX-Event-Key: pullrequest:created\r\n"
PIECE = b" " * 50_000


def main() -> None:
    port = _free_port()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as directory, _daemon(Path(directory), port) as process:
        before = _peak(process.pid)
        with _dawdlers(port), ThreadPoolExecutor(AT_ONCE) as pool:
            answers = Counter(pool.map(_send, repeat(port, BODIES), range(BODIES)))
        peak = _peak(process.pid)
    _say(f"{DAWDLERS} slow clients, {BODIES} bodies of {SIZE} bytes, {AT_ONCE} at once, in {_since(begun)} s")
    _say(f"memory before {before:.0f} MiB, at most {peak:.0f} MiB (limit: {LIMIT}); answers: {dict(answers)}")
    sys.exit(peak > LIMIT or set(answers) != {413})


@contextmanager
def _daemon(directory: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The real one, in a process of its own, once it listens."""
    environ = {
        "PROBO_BITBUCKET_PORT": str(port),
        "PROBO_BITBUCKET_HOSTNAME": "127.0.0.1",
        "PROBO_BITBUCKET_API_URL": "http://127.0.0.1:9",
        "PROBO_BITBUCKET_DATA_DIR": str(directory),
        "PYTHONPATH": str(ROOT),
    }
    twistd = Path(sys.executable).with_name("twistd")
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [twistd, "-n", "--pidfile=", "probo-bitbucket"], cwd=directory, env=os.environ | environ, stdout=log
        )
    try:
        while b"daemon.listening" not in (directory / "log").read_bytes():
            assert process.poll() is None, (directory / "log").read_text()
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _dawdlers(port: int) -> Iterator[None]:
    """Clients that send a byte of their bodies every second, and come again when they are cut off."""
    over = Event()

    def dawdle() -> None:
        clients = [_begin(port) for _ in range(DAWDLERS)]
        while not over.wait(1):
            for number, client in enumerate(clients):
                try:
                    client.sendall(b" ")
                except OSError:
                    client.close()
                    clients[number] = _begin(port)

    thread = Thread(target=dawdle)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _begin(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    # Twisted keeps bodies of less than 100,000 bytes in memory, and larger ones in a temporary file.
    client.sendall(HEAD + b"Content-Length: 99999\r\n\r\n" + PIECE + PIECE[:49_000])
    return client


def _send(port: int, number: int) -> int:
    """The status of the answer to a body; every other one comes in chunks, and does not say how long it is."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        with suppress(OSError):  # the answer may come before the end
            client.sendall(HEAD + (b"Transfer-Encoding: chunked" if number % 2 else b"Content-Length: %d" % SIZE))
            client.sendall(b"\r\nConnection: close\r\n\r\n")
            for _ in range(SIZE // len(PIECE)):
                client.sendall(b"%x\r\n%s\r\n" % (len(PIECE), PIECE) if number % 2 else PIECE)
            client.sendall(b"0\r\n\r\n" if number % 2 else b"")
        answer = client.makefile("rb").readline()
    return int(answer.split()[1]) if answer else 0


def _peak(pid: int) -> float:
    """The most memory that a process ever had, in MiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _since(begun: float) -> int:
    return round(time.monotonic() - begun)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
