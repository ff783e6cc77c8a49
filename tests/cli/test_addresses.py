"""Where a command looks for the daemon, by its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from probo_bitbucket import config
from probo_bitbucket.cli.addresses import Address, addresses


def found(folder: Path, **given: Any) -> list[tuple[str, int, str, bool]]:
    path = folder / "settings.yaml"
    path.write_bytes(msgspec.json.encode({"api": {"url": "http://localhost:3020"}, **given}))
    return [_told(each) for each in addresses(config.load([path], {}, {}))]


def _told(address: Address) -> tuple[str, int, str, bool]:
    return address.host, address.port, address.path, address.tls


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("tcp:3013", ("127.0.0.1", 3013, "", False)),
        ("tcp:3013:interface=10.1.2.3", ("10.1.2.3", 3013, "", False)),
        ("tcp:port=3013:interface=0.0.0.0", ("127.0.0.1", 3013, "", False)),
        (r"tcp6:3013:interface=\:\:", ("::1", 3013, "", False)),
        ("tcp6:3013", ("::1", 3013, "", False)),
        ("ssl:443:privateKey=/k.pem:certKey=/c.pem", ("127.0.0.1", 443, "", True)),
        ("unix:/run/internal.sock:mode=660", ("", 0, "/run/internal.sock", False)),
        (r"unix:address=/run/a\:b.sock", ("", 0, "/run/a:b.sock", False)),
    ],
)
def test_an_endpoint_is_called_where_it_listens(
    tmp_path: Path, endpoint: str, address: tuple[str, int, str, bool]
) -> None:
    assert found(tmp_path, internalListen=endpoint) == [address]


@pytest.mark.parametrize("endpoint", ["systemd:domain=INET:index=0", "tcp:0"])
def test_what_only_the_daemon_knows_is_passed_over(tmp_path: Path, endpoint: str) -> None:
    assert found(tmp_path, internalListen=["tcp:3013", endpoint]) == [("127.0.0.1", 3013, "", False)]


def test_internal_routes_of_their_own_come_before_the_port_of_the_webhook(tmp_path: Path) -> None:
    assert found(tmp_path, port=3012, internalListen="unix:/a.sock") == [("", 0, "/a.sock", False)]
    assert found(tmp_path, listen="tcp:3014") == [("127.0.0.1", 3014, "", False)]
    assert found(tmp_path, port=3012) == [("127.0.0.1", 3012, "", False)]
    assert found(tmp_path, port=3012, hostname="10.1.2.3") == [("10.1.2.3", 3012, "", False)]
    assert found(tmp_path, port=0) == []
