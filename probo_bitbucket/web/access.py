"""Who may come in: decided by the address of the peer, by what proxies tell of it, and by a token in the path."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Protocol

from attrs import field, frozen
from twisted.internet import address as twisted_address

from probo_bitbucket.config.types import Network

Address = IPv4Address | IPv6Address

# What tells that a request came through a proxy. Each holds a list of addresses, the nearest last.
PROXY_HEADERS = ("x-forwarded-for", "forwarded", "x-real-ip")
# What tells that, too, and names no address, or one that is not read: each product has names of its own for it.
PROXY_TRACES = (
    "via",
    "x-forwarded",
    "x-forwarded-by",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-envoy-external-address",
    "cf-connecting-ip",
    "fastly-client-ip",
    "true-client-ip",
)

_LOOPBACK = IPv4Address("127.0.0.1")
_TRACES = tuple(name.encode() for name in PROXY_TRACES)
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::\d+)?|([\d.]+):\d+")
# A pair of `Forwarded`, or nothing in its place, and what ends it. The *+ keep the time in proportion to the length.
_PAIR = re.compile(
    r"""[ \t]*+(?:(?P<name>[\w!#$%&'*+.^`|~-]+)=(?:"(?P<quoted>(?:[^"\\]|\\.)*+)"|(?P<plain>[^\s",;=]+)))?"""
    r"""[ \t]*+(?P<end>[,;]|\Z)""",
    re.ASCII,
)
_TOKEN_PATH = re.compile(rb"/t/([^/]*)(/.*)", re.DOTALL)


class Headers(Protocol):
    """Twisted's, as far as they are needed."""

    def getRawHeaders(self, name: bytes) -> Iterable[bytes] | None: ...


def peer_address(peer: object) -> Address | None:
    """The address of a connection's other end; None where it has none. A unix socket's is this machine."""
    if isinstance(peer, twisted_address.UNIXAddress):
        return _LOOPBACK
    return parse_address(getattr(peer, "host", ""))


@lru_cache(maxsize=128)  # the same few call all the time
def parse_address(text: str) -> Address | None:
    """Read an address as proxies write it: with a port or without, in brackets or not. None where it is none."""
    text = text.strip()
    if found := _WITH_PORT.fullmatch(text):
        text = found[1] or found[2] or ""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _chains(headers: Headers) -> list[list[str]]:
    """For each kind of header that tells of proxies: the addresses that it names, the nearest last.

    Where there are traces of a proxy only, the nearest address is one that cannot be told.
    """
    # Asked for by a text, Twisted decodes what came as UTF-8, and fails where it is none.
    given = {name: headers.getRawHeaders(name.encode()) for name in PROXY_HEADERS}
    lines = {name: [line.decode("latin-1") for line in came] for name, came in given.items() if came is not None}
    if not lines and any(headers.getRawHeaders(name) is not None for name in _TRACES):
        return [[""]]
    return [
        [address for line in came for address in (_forwarded_for(line) if name == "forwarded" else line.split(","))]
        for name, came in lines.items()
    ]


def _forwarded_for(line: str) -> list[str]:
    """The address in each element of `Forwarded` (RFC 7239); empty where it names none, or several.

    A line that breaks the rules may hide anything: it has one element, which names none.
    """
    addresses, named, position = [], [], 0
    while pair := _PAIR.match(line, position):
        position = pair.end()
        if (pair["name"] or "").lower() == "for":
            named.append(pair["plain"] or re.sub(r"\\(.)", r"\1", pair["quoted"]))
        if pair["end"] != ";":
            addresses.append(named[0] if len(named) == 1 else "")
            named = []
        if not pair["end"]:
            return addresses
    return [""]


def _within(address: Address | None, networks: Iterable[Network]) -> bool:
    return address is not None and any(
        address.version == network.version and address in network for network in networks
    )


@frozen
class Rules:
    """As the settings have them."""

    internal: tuple[Network, ...]
    webhook: tuple[Network, ...]  # empty: from anywhere
    trusted_proxies: tuple[Network, ...]
    token: str = field(default="", repr=False)

    def objection(self, peer: Address | None, headers: Headers) -> str:
        """Why the internal routes are closed to a request; empty where they are open."""
        if _chains(headers) and not self._is_proxy(peer):
            return "it came through a proxy that is not among `trustedProxies`"
        if not self._all_within(self.origins(peer, headers), self.internal):
            return "its address is not among `internalAccess`"
        return ""

    def objection_to_delivery(self, peer: Address | None, headers: Headers) -> str:
        """Why the webhook is closed to a request; empty where it is open."""
        if self.webhook and not self._all_within(self.origins(peer, headers), self.webhook):
            return "its address is not among `webhookNetworks`"
        return ""

    def is_internal(self, peer: object) -> bool:
        """Whether the other end of a connection may call the internal routes, where it speaks for itself."""
        return _within(peer_address(peer), self.internal)

    def neighbourhood(self, peer: object) -> Network | None:
        """Those who share a number of connections with *peer*. None for whoever may be many: our own, and proxies.

        An IPv6 address has 2^64 more beside it, which are the same client's.
        """
        address = peer_address(peer)
        if address is None or isinstance(peer, twisted_address.UNIXAddress):
            return None
        if self._is_proxy(address) or _within(address, self.internal):
            return None
        return ip_network((address, 64 if address.version == 6 else 32), strict=False)

    def origins(self, peer: Address | None, headers: Headers) -> list[Address | None]:
        """Where a request comes from; None stands for an address that cannot be told.

        Several kinds of headers can disagree: the client may have sent one that the proxy passed on. So each counts.
        """
        chains = _chains(headers) if self._is_proxy(peer) else []
        return [self._origin(chain) for chain in chains] or [peer]

    def _origin(self, chain: list[str]) -> Address | None:
        """The right-most address that is no proxy of ours: those before it are its word only."""
        for text in reversed(chain):
            address = parse_address(text)
            if not self._is_proxy(address):
                break
        return address

    def _is_proxy(self, address: Address | None) -> bool:
        return _within(address, self.trusted_proxies)

    @staticmethod
    def _all_within(addresses: Iterable[Address | None], networks: Iterable[Network]) -> bool:
        return all(_within(address, networks) for address in addresses)

    def token_in(self, path: bytes) -> tuple[bool | None, bytes]:
        """Whether the token in `/t/<token>/…` is right, None where there is none; and the path without it."""
        found = _TOKEN_PATH.fullmatch(path) if self.token else None
        if found is None:
            return None, path
        return hmac.compare_digest(found[1], self.token.encode()), found[2]
