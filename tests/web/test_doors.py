"""Where the daemon listens: endpoints, TLS, sockets that systemd opened; and that it ends where it cannot."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import SkipTest, mock
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.pages import notFound

from probo_bitbucket import config
from probo_bitbucket.errors import Temporary
from probo_bitbucket.upstream import Upstream, http_client
from probo_bitbucket.web.access import Rules
from probo_bitbucket.web.doors import CannotListen, Door, OpenDoor
from probo_bitbucket.web.site import BoundedSite
from tests.waiting import until
from tests.web.certificates import write_certificates

RULES = Rules((), (), ())
TWISTD = Path(sys.executable).with_name("twistd")


class Tls(TestCase):
    timeout = 30

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.ca_file, key, certificate = write_certificates(Path(folder.name))
        endpoint = f"ssl:0:privateKey={key}:certKey={certificate}:interface=127.0.0.1"
        self.port = Door("listen", endpoint, BoundedSite(notFound(), RULES)).open(reactor).port
        self.addCleanup(self.port.stopListening)

    async def status(self, host: str, ca_file: str) -> int:
        http, pool = http_client(reactor, ca_file)
        try:
            return await self._status(http, f"https://{host}:{self.port.getHost().port}/")  # type: ignore[attr-defined]
        finally:
            await pool.closeCachedConnections()

    async def _status(self, http: HTTPClient, url: str) -> int:
        upstream = Upstream("the test", http, reactor)
        return (await upstream.request("GET", url)).status

    async def test_a_private_authority_is_trusted_where_the_settings_name_it(self) -> None:
        self.assertEqual(await self.status("localhost", str(self.ca_file)), 404)

    async def test_and_not_otherwise(self) -> None:
        for host, ca_file in (("localhost", ""), ("127.0.0.2", str(self.ca_file))):
            with pytest.raises(Temporary, match="could not be reached"):
                await self.status(host, ca_file)


class Opened(TestCase):
    """Doors that are opened for a test."""

    timeout = 30

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        _, self.key, self.certificate = write_certificates(self.folder)

    def opened(self, endpoint: str, *, shared: bool = False) -> tuple[Any, BoundedSite]:
        """The address, and the site that answers there."""
        site = BoundedSite(notFound(), RULES)
        port = Door("listen", endpoint, site, shared).open(reactor).port
        self.addCleanup(port.stopListening)
        return port.getHost(), site

    def tls(self, interface: str, port: str = "0") -> str:
        return f"ssl:{port}:interface={interface}:privateKey={self.key}:certKey={self.certificate}"


class Shared(Opened):
    """Ports that several daemons of one machine listen on."""

    async def test_each_daemon_gets_some_of_the_connections(self) -> None:
        for endpoint in ("tcp:{}:interface=127.0.0.1", self.tls("127.0.0.1", "{}")):
            address, first = self.opened(endpoint.format(0), shared=True)
            _, second = self.opened(endpoint.format(address.port), shared=True)
            while not (first.connections and second.connections):
                client = await deferToThread(socket.create_connection, ("127.0.0.1", address.port))
                self.addCleanup(client.close)

    def test_a_daemon_that_does_not_share_lets_no_other_listen(self) -> None:
        address, _ = self.opened("tcp:0:interface=127.0.0.1")
        with pytest.raises(CannotListen, match="Address already in use"):
            self.opened(f"tcp:{address.port}:interface=127.0.0.1", shared=True)


class Unix(Opened):
    """A socket in the file system, which belongs to one process."""

    def test_no_other_process_gets_it(self) -> None:
        endpoint = f"unix:{self.folder / 'socket'}"
        self.opened(endpoint)
        with pytest.raises(CannotListen, match=r"Cannot acquire lock .*/socket\.lock, which a running process has"):
            self.opened(endpoint)


class IPv6(Opened):
    """Addresses that Twisted has to be told apart from others."""

    def setUp(self) -> None:
        super().setUp()
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError as error:  # also in CI: nothing that could be installed is missing
            raise SkipTest("this machine has no IPv6") from error

    def test_it_is_listened_to(self) -> None:
        for endpoint in (r"tcp:0:interface=\:\:1", r"tcp6:0:interface=\:\:1", self.tls(r"\:\:1")):
            for shared in (False, True):
                address, _ = self.opened(endpoint, shared=shared)
                socket.create_connection(("::1", address.port)).close()


class Burst(Opened):
    """Many connect while the daemon does something else: it lets nobody in as long as a test runs."""

    def connect(self, family: int, address: Any) -> None:
        for _ in range(100):
            client = socket.socket(family)
            self.addCleanup(client.close)
            client.settimeout(0.5)  # TCP tries again after a second
            client.connect(address)

    def test_nobody_has_to_come_again(self) -> None:
        address, _ = self.opened("tcp:0:interface=127.0.0.1")
        self.connect(socket.AF_INET, ("127.0.0.1", address.port))

    def test_nor_where_the_port_is_shared(self) -> None:
        address, _ = self.opened("tcp:0:interface=127.0.0.1", shared=True)
        self.connect(socket.AF_INET, ("127.0.0.1", address.port))

    def test_nor_with_tls(self) -> None:
        address, _ = self.opened(self.tls("127.0.0.1"))
        self.connect(socket.AF_INET, ("127.0.0.1", address.port))

    def test_nor_at_a_unix_socket(self) -> None:
        address, _ = self.opened(f"unix:{self.folder / 'socket'}")
        self.connect(socket.AF_UNIX, address.name)


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("ssl:0:privateKey=/absent/key.pem", "No such file"),
        ("systemd:domain=INET:index=0", "systemd has opened no such socket"),
        ("systemd:domain=INET:name=absent", "systemd has opened no such socket"),
        ("nothing:1", "nothing"),
        ("tcp:many", "many"),
        ("tcp:0:interface=::1", "IPv6 address"),
        ("tcp:0:interfaces=127.0.0.1", "a part of it is missing, unknown or one too many"),
        ("unix:/absent/directory/socket", "No such file or directory: /absent/directory/socket.lock"),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_told_with_its_reason(endpoint: str, reason: str) -> None:
    with pytest.raises(CannotListen) as caught:
        Door("listen", endpoint, BoundedSite(notFound(), RULES)).open(reactor)
    assert str(caught.value).startswith(f"{endpoint}: ")
    assert str(caught.value).endswith("(setting `listen`)")
    assert reason in str(caught.value)


def test_a_file_that_holds_no_certificates_is_told_when_the_settings_are_read(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for path in (tmp_path / "empty.pem", tmp_path / "absent.pem"):
        with pytest.raises(config.SettingsError, match="a readable PEM file"):
            config.load([], {"PROBO_BITBUCKET_API_URL": "http://cm:3020"}, {"caFile": str(path)})


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A working directory with settings in it."""
    settings = tmp_path / "settings.yaml"
    settings.touch(mode=0o600)
    settings.write_text('hostname: 127.0.0.1\napi: {url: "http://127.0.0.1:9"}\ndataDir: ./data\n')
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}


@pytest.mark.parametrize("options", [["-n", "--pidfile="], ["--pidfile=a.pid"]])
def test_a_port_that_is_taken_ends_the_daemon_at_its_start(directory: Path, options: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [str(TWISTD), *options, "probo-bitbucket", "-c", "settings.yaml", "-p", str(port)]
        ended = subprocess.run(
            command, check=False, cwd=directory, env=environment(), capture_output=True, text=True, timeout=60
        )
    assert ended.returncode == 1
    assert f"tcp:{port}:interface=127.0.0.1: Address already in use" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    for log in directory.glob("*.log"):
        assert "Address already in use" in log.read_text()
        assert "Traceback" not in log.read_text()
    until(lambda: not (directory / "a.pid").exists(), "the daemon, which outlives its parent for a moment, to clear up")


# What systemd does between fork and exec: the first socket is descriptor 3, and LISTEN_PID the process itself.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_systemd_can_open_the_socket(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        daemon = [str(TWISTD), "-n", "--pidfile=", "probo-bitbucket", "-c", "settings.yaml"]
        process = subprocess.Popen(
            [sys.executable, "-c", ACTIVATE, str(opened.fileno()), *daemon],
            cwd=directory,
            env=environment(PROBO_BITBUCKET_LISTEN="systemd:domain=INET:name=web"),
            pass_fds=[opened.fileno()],
            stdout=subprocess.DEVNULL,
        )
        try:
            with pytest.raises(HTTPError, match="404"):
                urlopen(f"http://127.0.0.1:{opened.getsockname()[1]}/nothing", timeout=30)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (IPv4Address("TCP", "127.0.0.1", 3012), "127.0.0.1:3012"),
        (IPv6Address("TCP", "::1", 3012), "[::1]:3012"),
        (UNIXAddress(b"/run/probo/web.sock"), "unix:/run/probo/web.sock"),
        (UNIXAddress(None), "unix:"),
    ],
)
def test_the_log_tells_where_a_door_is_as_people_write_it(host: object, words: str) -> None:
    port = mock.Mock(getHost=lambda: host)
    assert OpenDoor(Door("listen", "", BoundedSite(notFound(), RULES)), port, None).address == words
