"""Where the daemon's internal routes are, by its settings: connections to try, one after the other."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPSConnection
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from probo_bitbucket.config import Whereabouts

PATIENCE = 300.0  # seconds; a repair of many webhooks takes as long as Bitbucket needs

_COLON = re.compile(r"(?<!\\):")
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  what is listened on, as it is called


@frozen
class Address:
    """*name* is for people."""

    name: str
    host: str = ""
    port: int = 0
    path: str = ""  # of a unix socket
    tls: bool = False

    def connection(self) -> HTTPConnection:
        if self.path:
            return _UnixConnection(self.path)
        if not self.tls:
            return HTTPConnection(self.host, self.port, timeout=PATIENCE)
        # The certificate is for the name by which others call this machine.
        return HTTPSConnection(self.host, self.port, timeout=PATIENCE, context=ssl._create_unverified_context())  # noqa: S323


def addresses(settings: Whereabouts) -> Iterator[Address]:
    """The addresses at which the settings put the internal routes, as far as they can be called."""
    endpoints = settings.internal_listen or settings.listen
    if not endpoints and settings.port:
        host = _EVERYWHERE.get(settings.hostname, settings.hostname)
        yield Address(f"{host} port {settings.port}", host, settings.port)
    for endpoint in endpoints:
        if address := _address(endpoint):
            yield address


def _address(endpoint: str) -> Address | None:
    """Read an endpoint as Twisted describes it; None for one that only the daemon itself can know, as `systemd:`."""
    kind, *parts = (re.sub(r"\\(.)", r"\1", part) for part in _COLON.split(endpoint))
    given = dict(part.split("=", 1) for part in parts if "=" in part)
    first = next((part for part in parts if "=" not in part), "")
    if kind == "unix":
        path = given.get("address", first)
        return Address(path, path=path)
    port = given.get("port", first)
    if kind not in ("tcp", "tcp4", "tcp6", "ssl") or not port.isdigit() or port == "0":
        return None
    interface = given.get("interface", "::" if kind == "tcp6" else "")
    host = _EVERYWHERE.get(interface, interface)
    return Address(f"{host} port {port}", host, int(port), tls=kind == "ssl")


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
