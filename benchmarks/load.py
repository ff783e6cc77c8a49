"""Load: asks a server over many connections, each the next request as soon as it has its answer.

`python -m benchmarks.load PORT CONNECTIONS SECONDS FILE [again]`, in a process of its own, so that it does not take the
time of what it measures. FILE holds whole requests as a msgpack list of bytes, which are sent one after the other, and
over *again*; it ends when they or the seconds are used up, and prints an Outcome as JSON.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import cycle
from pathlib import Path

import msgspec


class Outcome(msgspec.Struct):
    """What came back. Times are seconds."""

    seconds: float
    statuses: dict[int, int]
    latencies: list[float]

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.statuses.get(200, 0) / self.seconds

    def check(self) -> None:
        """Raises ValueError where anything but a 200 came back: what that costs is not what is measured."""
        if set(self.statuses) != {200}:
            raise ValueError(f"answers by status: {self.statuses}")

    def percentile(self, share: float) -> float:
        return sorted(self.latencies)[int(share * (len(self.latencies) - 1))]


class Connection:
    """Sends a request and reads its answer, again and again."""

    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._requests = requests
        self._received = b""
        self._began = 0.0

    def ask(self) -> bool:
        """Send the next request; False when there is none."""
        request = next(self._requests, None)
        if request is None:
            return False
        self._received, self._began = b"", time.perf_counter()
        self.socket.sendall(request)
        return True

    def hear(self) -> tuple[int, float] | None:
        """Status and latency, once the answer is complete. Raises ConnectionError where it breaks off."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server hung up")
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            return None
        return int(head[9:12]), time.perf_counter() - self._began


def _content_length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


def run(port: int, connections: int, seconds: float, requests: Iterable[bytes]) -> Outcome:
    """Raises ConnectionError where the server hangs up."""
    todo = iter(requests)
    statuses: Counter[int] = Counter()
    latencies: list[float] = []
    began = time.perf_counter()
    asking = [connection for connection in _connections(port, connections, todo) if connection.ask()]
    with selectors.DefaultSelector() as selector:
        for connection in asking:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        while selector.get_map():
            for key, _ in selector.select():
                if heard := key.data.hear():
                    statuses[heard[0]] += 1
                    latencies.append(heard[1])
                    if time.perf_counter() - began > seconds or not key.data.ask():
                        selector.unregister(key.fileobj)
                        key.data.socket.close()
    return Outcome(time.perf_counter() - began, dict(statuses), latencies)


def _connections(port: int, count: int, requests: Iterator[bytes]) -> Iterator[Connection]:
    return (Connection(port, requests) for _ in range(count))


if __name__ == "__main__":
    port, connections, seconds, file, *again = sys.argv[1:]
    requests: list[bytes] = msgspec.msgpack.decode(Path(file).read_bytes())
    outcome = run(int(port), int(connections), float(seconds), cycle(requests) if again else requests)
    sys.stdout.buffer.write(msgspec.json.encode(outcome))
