"""What systemd is told, on real sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from probo_bitbucket.systemd import Notifier


class Manager:
    """systemd's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(f"@{tmp_path}" if request.param == "abstract" else str(tmp_path / "notify"))
    yield manager
    manager.close()


def test_start_and_stop_are_told(manager: Manager) -> None:
    notifier = Notifier(Clock(), {"NOTIFY_SOCKET": manager.address})
    assert manager.heard() == []
    notifier.startService()
    assert manager.heard() == ["READY=1"]
    notifier.stopService()
    assert manager.heard() == ["STOPPING=1"]


def test_the_watchdog_is_fed_twice_in_its_time(manager: Manager) -> None:
    clock = Clock()
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
    notifier = Notifier(clock, environ)
    notifier.startService()
    assert manager.heard() == ["READY=1", "WATCHDOG=1"]
    clock.pump([14.9, 0.1, 15])
    assert manager.heard() == ["WATCHDOG=1"] * 2
    notifier.stopService()
    clock.advance(15)
    assert manager.heard() == ["STOPPING=1", "WATCHDOG=1"]


def test_a_watchdog_for_another_process_is_not_fed(manager: Manager) -> None:
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}
    clock = Clock()
    Notifier(clock, environ).startService()
    clock.advance(60)
    assert manager.heard() == ["READY=1"]


def test_a_reload_ends_ready_also_when_it_fails(manager: Manager) -> None:
    notifier = Notifier(Clock(), {"NOTIFY_SOCKET": manager.address})
    with pytest.raises(KeyError), notifier.reloading():
        reloading, monotonic = manager.heard()[0].split("\n")
        raise KeyError
    assert reloading == "RELOADING=1"
    assert int(monotonic.removeprefix("MONOTONIC_USEC=")) > 0
    assert manager.heard() == ["READY=1"]


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(socket, "socket", lambda *kind: made.append(kind))
    clock = Clock()
    notifier = Notifier(clock, {})
    notifier.startService()
    assert clock.getDelayedCalls() == []
    notifier.stopService()
    assert made == []


def test_a_socket_that_is_gone_does_not_stop_the_daemon(tmp_path: Path) -> None:
    notifier = Notifier(Clock(), {"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.startService()
    assert notifier.running
