"""How many connections there may be, who gets the last ones, and how long one may say nothing."""

from __future__ import annotations

from io import BytesIO
from ipaddress import ip_network
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.pages import notFound

from probo_bitbucket.web.access import Rules
from probo_bitbucket.web.channel import FRESH
from probo_bitbucket.web.site import CONNECTION_LIMIT, CROWD, CROWDED_BODY, IDLE, RESERVED, SHARE, BoundedSite

HERE, PROXY, STRANGER, ANOTHER = (
    IPv4Address("TCP", host, 4711) for host in ("127.0.0.1", "10.0.0.1", "203.0.113.9", "203.0.113.10")
)
RULES = Rules((ip_network("127.0.0.0/8"),), (), (ip_network("10.0.0.1"),))


class Entry:
    """A site that nobody has to call over a network."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.clock = Clock()
        self.site = BoundedSite(notFound(), rules)
        self.site.reactor = self.clock

    def connect(self, peer: Any = HERE) -> tuple[Any, StringTransport] | None:
        """A channel and its transport; None where the connection is closed at once."""
        channel = self.site.buildProtocol(peer)
        if channel is None:
            return None
        transport = StringTransport(peerAddress=peer)
        transport.abortConnection = transport.loseConnection  # type: ignore[method-assign]
        channel.makeConnection(transport)
        return channel, transport

    def admitted(self, *peers: Any) -> int:
        """How many of *peers* get in."""
        return sum(self.connect(peer) is not None for peer in peers)


def strangers(count: int) -> list[IPv4Address]:
    return [IPv4Address("TCP", f"198.51.{number >> 8}.{number & 255}", 1) for number in range(count)]


def test_a_stranger_gets_a_share_and_others_get_in_beside_it() -> None:
    entry = Entry()
    assert entry.admitted(*[STRANGER] * (SHARE + 5)) == SHARE
    assert entry.admitted(ANOTHER, HERE, PROXY) == 3


def test_a_share_is_free_again_once_a_connection_is_closed() -> None:
    entry = Entry()
    channels = [entry.connect(STRANGER) for _ in range(SHARE)]
    assert channels[0]
    channels[0][0].connectionLost(None)
    assert entry.admitted(STRANGER, STRANGER) == 1


def test_all_addresses_of_an_ipv6_network_are_one_stranger() -> None:
    entry = Entry()
    neighbours = [IPv6Address("TCP", f"2001:db8::{number:x}", 1) for number in range(SHARE + 5)]
    assert entry.admitted(*neighbours) == SHARE
    assert entry.admitted(IPv6Address("TCP", "2001:db8:0:1::1", 1)) == 1
    assert Entry().admitted(*[IPv6Address("TCP", "::ffff:203.0.113.9", 1)] * (SHARE + 5)) == SHARE


def test_strangers_cannot_take_the_last_places() -> None:
    entry = Entry()
    assert entry.admitted(*strangers(CONNECTION_LIMIT)) == CONNECTION_LIMIT - RESERVED
    assert entry.admitted(*[PROXY] * 2) == 0
    assert entry.admitted(*[HERE] * CONNECTION_LIMIT) == RESERVED


def test_who_speaks_for_others_has_no_share() -> None:
    places = CONNECTION_LIMIT - RESERVED
    assert Entry().admitted(*[PROXY] * CONNECTION_LIMIT) == places
    assert Entry(Rules((), (), ())).admitted(*[UNIXAddress(None)] * CONNECTION_LIMIT) == places
    assert Entry().admitted(*[UNIXAddress(None)] * CONNECTION_LIMIT) == CONNECTION_LIMIT


def test_other_rules_count_for_the_next_connection() -> None:
    entry = Entry()
    entry.site.become(BoundedSite(notFound(), Rules((ip_network("203.0.113.9"),), (), ())))
    assert entry.admitted(*[STRANGER] * (SHARE + 5)) == SHARE + 5


def test_who_connects_and_says_nothing_is_soon_gone() -> None:
    entry = Entry()
    connected = entry.connect()
    assert connected
    entry.clock.advance(FRESH - 1)
    assert not connected[1].disconnecting
    entry.clock.advance(1)
    assert connected[1].disconnecting


def test_who_has_asked_once_may_be_silent_for_longer() -> None:
    entry = Entry()
    connected = entry.connect()
    assert connected
    channel, transport = connected
    channel.dataReceived(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert transport.value().startswith(b"HTTP/1.1 404 ")
    entry.clock.advance(IDLE - 1)
    assert not transport.disconnecting
    entry.clock.advance(1)
    assert transport.disconnecting


def test_in_a_crowd_the_memory_holds_small_bodies_only() -> None:
    entry = Entry()

    def in_memory(length: int) -> bool:
        """Whether a body of so many bytes is, while it comes in over one more connection."""
        connected = entry.connect()
        assert connected
        connected[0].dataReceived(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n{" % length)
        content = connected[0].requests[-1].content
        if not isinstance(content, BytesIO):
            content.close()
            return False
        return True

    assert [in_memory(length) for length in (CROWDED_BODY, CROWDED_BODY + 1, 99_999)] == [True, True, True]
    assert entry.admitted(*[HERE] * CROWD) == CROWD
    assert [in_memory(length) for length in (CROWDED_BODY, CROWDED_BODY + 1, 99_999)] == [True, False, False]
