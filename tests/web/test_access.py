"""Who may come in: the rules, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.web.http_headers import Headers

from probo_bitbucket.config.types import Network
from probo_bitbucket.web.access import PROXY_TRACES, Rules, parse_address, peer_address
from tests.canaries import canary


def networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


LOOPBACK = networks("127.0.0.0/8", "::1")
HERE, PROXY, STRANGER = "127.0.0.1", "10.0.0.1", "203.0.113.9"


def internally(peer: str, headers: Mapping[str, str], *trusted: str) -> bool:
    rules = Rules(LOOPBACK, (), networks(*trusted))
    return not rules.objection(parse_address(peer), Headers({name: [text] for name, text in headers.items()}))


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_may_call_the_internal_routes(peer: str) -> None:
    assert internally(peer, {})


@pytest.mark.parametrize("peer", ["10.0.0.1", "203.0.113.9", "2001:db8::1", "::ffff:203.0.113.9", "fe80::1%eth0", ""])
def test_nobody_else_may(peer: str) -> None:
    assert not internally(peer, {})


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": HERE},
        {"X-Forwarded-For": ""},
        {"X-Real-IP": HERE},
        {"Forwarded": f"for={HERE}"},
        {"Forwarded": "proto=https"},
    ],
)
def test_what_came_through_an_unknown_proxy_is_never_local(headers: dict[str, str]) -> None:
    assert not internally(HERE, headers)
    assert not internally(HERE, headers, PROXY)


@pytest.mark.parametrize("name", PROXY_TRACES)
def test_a_trace_of_a_proxy_is_enough_for_not_being_local(name: str) -> None:
    for value in (HERE, "https", ""):
        assert not internally(HERE, {name: value})
        assert not internally(HERE, {name: value}, HERE)
        assert internally(PROXY, {name: value, "X-Forwarded-For": HERE}, PROXY)
        assert not internally(PROXY, {name: HERE, "X-Forwarded-For": STRANGER}, PROXY)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Forwarded-For": HERE},
        {"X-Forwarded-For": f"{STRANGER}, {HERE}, {PROXY}"},  # what stands before the right-most is hearsay
        {"X-Forwarded-For": f"{HERE}:4711"},
        {"X-Forwarded-For": "[::1]:4711"},
        {"X-Real-IP": HERE},
        {"Forwarded": f"for={STRANGER}, FOR={HERE};proto=https"},
        {"Forwarded": 'proto=https; for="[::1]:4711"'},
        {"Forwarded": f'for="127\\.0.0.1";host="a, for={STRANGER}"'},  # in quotes: a part of the name
        {"Forwarded": f'for={HERE};host="a\\", for={STRANGER}";;proto="";'},
        {"Forwarded": f"for={HERE}", "X-Forwarded-For": HERE, "X-Real-IP": "::1"},
    ],
)
def test_a_trusted_proxy_is_believed(headers: dict[str, str]) -> None:
    assert internally(HERE if not headers else PROXY, headers, PROXY)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": STRANGER},
        {"X-Forwarded-For": f"{HERE}, {STRANGER}"},
        {"X-Forwarded-For": f"{HERE}, {STRANGER}, {PROXY}"},
        {"X-Forwarded-For": f"{HERE}, unknown"},
        {"X-Forwarded-For": f"{HERE},"},
        {"X-Forwarded-For": "localhost"},
        {"X-Real-IP": STRANGER},
        {"Forwarded": f"for={HERE}, for={STRANGER}"},
        {"Forwarded": f'for="{HERE}, for={STRANGER}'},
        {"Forwarded": f"for={HERE}, by=10.0.0.2"},
        {"Forwarded": "for=_hidden"},
        {"Forwarded": f'for={STRANGER};host="a, for={HERE}"'},
        {"Forwarded": f'for={STRANGER};host="a\\", for={HERE}'},
        {"Forwarded": f"for={STRANGER};for={HERE}"},
        {"Forwarded": f"for={HERE};FOR={HERE}"},
        {"Forwarded": f"for={HERE} {STRANGER}"},
        {"Forwarded": f"for={HERE};{STRANGER}"},
        {"Forwarded": f'for="{HERE}"{STRANGER}'},
        {"Forwarded": f'for="\\"{HERE}\\""'},
        {"Forwarded": f"for={HERE},"},
        {"Forwarded": ""},
        {"X-Forwarded-For": f'"{HERE}"'},
        {"Forwarded": f"for={HERE}", "X-Forwarded-For": STRANGER},  # the first is the client's own invention
        {"X-Real-IP": HERE, "X-Forwarded-For": STRANGER},
    ],
)
def test_a_client_cannot_make_a_trusted_proxy_say_that_it_is_local(headers: dict[str, str]) -> None:
    assert not internally(PROXY, headers, PROXY)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


TRICKY = st.text(st.sampled_from('",;=\\ \tfor127.[]:x'))
ADDRESSES = st.ip_addresses().map(str)
OTHER_PAIRS = st.builds("{}={}".format, st.sampled_from(["by", "host", "proto", "x-for"]), TRICKY.map(quoted))


@st.composite
def elements(draw: st.DrawFn) -> tuple[str, str]:
    """An element of `Forwarded` as a proxy may write it, and the address that it names."""
    address = draw(ADDRESSES)
    name = f"[{address}]:4711" if ":" in address else address
    pairs = [*draw(st.lists(OTHER_PAIRS, max_size=3)), f"{draw(st.sampled_from(['for', 'FOR']))}={quoted(name)}"]
    return draw(st.sampled_from([";", " ; "])).join(draw(st.permutations(pairs))), address


def origin(*lines: str) -> str:
    """Where a request comes from that a trusted proxy has passed on."""
    headers = Headers({"Forwarded": list(lines)})
    (found,) = Rules(LOOPBACK, (), networks(PROXY)).origins(parse_address(PROXY), headers)
    return str(found)


@given(st.lists(elements(), min_size=1, max_size=3))
def test_the_last_element_names_the_origin_whatever_is_in_quotes(written: list[tuple[str, str]]) -> None:
    texts = [text for text, _ in written]
    expected = str(parse_address(written[-1][1]))
    assert expected == PROXY or origin(", ".join(texts)) == origin(*texts) == expected


@given(TRICKY)
@example(f'for={HERE};host="')
def test_nothing_before_what_the_proxy_wrote_makes_another_origin_of_it(before: str) -> None:
    assert origin(f"{before}, for={STRANGER}") in (STRANGER, "None")
    assert origin(before, f"for={STRANGER}") == STRANGER


def test_several_headers_of_a_kind_are_one_list() -> None:
    rules = Rules(LOOPBACK, (), networks(PROXY))
    assert rules.objection(parse_address(PROXY), Headers({"X-Forwarded-For": [HERE, STRANGER]}))
    assert not rules.objection(parse_address(PROXY), Headers({"X-Forwarded-For": [STRANGER, HERE]}))


def test_a_proxy_that_is_trusted_is_not_local_for_that() -> None:
    assert not internally(PROXY, {}, PROXY)
    assert not internally(PROXY, {"X-Forwarded-For": PROXY}, PROXY)


@pytest.mark.parametrize(
    ("peer", "forwarded", "admitted"),
    [
        ("104.192.136.1", None, True),
        (STRANGER, None, False),
        (STRANGER, "104.192.136.1", False),  # anybody can write that
        ("104.192.136.1", STRANGER, True),  # its own network is behind a proxy: not our concern
        (PROXY, "104.192.136.1", True),
        (PROXY, f"104.192.136.1, {STRANGER}", False),
        (PROXY, None, False),
    ],
)
def test_the_webhook_can_be_kept_to_some_networks(peer: str, forwarded: str | None, admitted: bool) -> None:
    rules = Rules(LOOPBACK, networks("104.192.136.0/21"), networks(PROXY))
    headers = Headers({} if forwarded is None else {"X-Forwarded-For": [forwarded]})
    assert (rules.objection_to_delivery(parse_address(peer), headers) == "") is admitted


def test_the_webhook_is_open_to_all_otherwise() -> None:
    assert not Rules(LOOPBACK, (), ()).objection_to_delivery(
        parse_address(STRANGER), Headers({"X-Forwarded-For": ["junk"]})
    )


def test_a_unix_socket_is_this_machine() -> None:
    assert str(peer_address(UNIXAddress(None))) == "127.0.0.1"
    assert str(peer_address(IPv4Address("TCP", "192.0.2.1", 4711))) == "192.0.2.1"
    assert str(peer_address(IPv6Address("TCP", "::ffff:192.0.2.1", 4711))) == "192.0.2.1"
    assert peer_address(object()) is None


TOKEN = canary("sixteen-letters-at-least")


@pytest.mark.parametrize(
    ("path", "right", "rest"),
    [
        (f"/t/{TOKEN}/auth_lookup", True, "/auth_lookup"),
        (f"/t/{TOKEN}/builds/a/status/A%2FB", True, "/builds/a/status/A%2FB"),
        (f"/t/{TOKEN}x/auth_lookup", False, "/auth_lookup"),
        ("/t//auth_lookup", False, "/auth_lookup"),
        ("/t/\xff/auth_lookup", False, "/auth_lookup"),
        (f"/t/{TOKEN}", None, f"/t/{TOKEN}"),
        (f"/{TOKEN}/auth_lookup", None, f"/{TOKEN}/auth_lookup"),
        ("/auth_lookup", None, "/auth_lookup"),
    ],
)
def test_a_token_is_the_first_part_of_the_path(path: str, right: bool | None, rest: str) -> None:
    assert Rules((), (), (), TOKEN).token_in(path.encode("latin-1")) == (right, rest.encode("latin-1"))


def test_without_a_token_in_the_settings_no_path_has_one() -> None:
    assert Rules((), (), ()).token_in(b"/t//auth_lookup") == (None, b"/t//auth_lookup")


def test_a_header_that_is_no_utf_8_names_nobody() -> None:
    headers = Headers({b"x-forwarded-for": [b"\xff"]})
    for trusted in ((), networks(PROXY)):
        assert Rules(LOOPBACK, (), trusted).objection(parse_address(PROXY), headers)
    assert Rules(LOOPBACK, (), networks(PROXY)).origins(parse_address(PROXY), headers) == [None]
