"""Calls to other servers: what every answer means, and that none can hold us or fill us."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import pytest
from attrs import define, field
from hyperlink import EncodedURL
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from probo_bitbucket import upstream
from probo_bitbucket.breaker import Breaker
from probo_bitbucket.errors import NotFound, Permanent, RateLimited, Temporary, Unanswered, Unauthorized, UpstreamError
from probo_bitbucket.upstream import REQUEST_TIMEOUT, USER_AGENT, Answer, Upstream, _outgoing, http_client
from tests.immediate import run
from tests.wire import Wire

STALLED_BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"


def answer(status: int = 200, body: bytes = b"", **headers: str) -> Answer:
    return Answer("Bitbucket", status, Headers({n.replace("_", "-"): [v] for n, v in headers.items()}), body)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_an_answer_of_2xx_is_returned(status: int) -> None:
    assert answer(status).checked().status == status


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, Permanent),
        (302, Permanent),
        (400, Permanent),
        (401, Unauthorized),
        (403, Permanent),
        (404, NotFound),
        (408, Temporary),
        (410, Permanent),
        (422, Permanent),
        (429, RateLimited),
        (500, Temporary),
        (503, Temporary),
        (555, Temporary),
    ],
)
def test_every_other_status_has_its_kind_of_error(status: int, kind: type[UpstreamError]) -> None:
    with pytest.raises(UpstreamError) as caught:
        answer(status).checked()
    assert type(caught.value) is kind
    assert str(caught.value) == f"Bitbucket answered {status}"


@pytest.mark.parametrize("status", [301, 403, 404])
def test_a_permanent_error_keeps_its_status(status: int) -> None:
    with pytest.raises(Permanent) as caught:
        answer(status).checked()
    assert caught.value.status == status


@pytest.mark.parametrize("status", [408, 429, 503])
def test_an_error_that_passes_says_when_to_come_back(status: int) -> None:
    with pytest.raises(Temporary) as caught:
        answer(status, retry_after="7").checked()
    assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "no such commit"}}', ": no such commit"),
        (b'{"error": "bad"}', ": bad"),
        (b'{"message": "gone"}', ": gone"),
        (b'{"error": {"message": ["odd"]}}', ""),
        (b'{"error": ""}', ""),
        (b'{"error": null}', ""),
        (b'["error"]', ""),
        (b"<html>error</html>", ""),
        (b"[" * 100_000, ""),
        (b"", ""),
    ],
)
def test_the_words_of_the_answer_are_part_of_the_error(body: bytes, words: str) -> None:
    with pytest.raises(Permanent) as caught:
        answer(400, body).checked()
    assert str(caught.value) == f"Bitbucket answered 400{words}"


def test_long_words_are_cut() -> None:
    with pytest.raises(Permanent) as caught:
        answer(400, b'{"error": "' + b"x" * 5_000 + b'"}').checked()
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), ("120", 120), (" 5 ", 5), ("", None), ("soon", None), ("-1", None), ("1.5", None), ("²", None)],
)
def test_retry_after_in_seconds(value: str, seconds: float | None) -> None:
    assert answer(retry_after=value).retry_after() == seconds


def test_retry_after_as_a_date() -> None:
    seconds = answer(retry_after=formatdate(time.time() + 90, usegmt=True)).retry_after()
    assert seconds is not None
    assert 85 < seconds <= 90


def test_a_date_in_the_past_means_now() -> None:
    assert answer(retry_after="Wed, 21 Oct 2015 07:28:00 GMT").retry_after() == 0


def test_no_retry_after() -> None:
    assert answer().retry_after() is None


@pytest.mark.parametrize("value", ["9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_nobody_can_have_us_wait_for_ever(value: str) -> None:
    assert answer(retry_after=value).retry_after() == upstream.LONGEST_WAIT


@given(
    st.text(max_size=40)
    | st.from_regex(r"\A(Mon, )?\d{1,25} (Jan|Feb|Foo) -?\d{1,25} \d{1,25}:\d\d(:\d\d)? (GMT|[+-]\d{4,20})\Z")
)
def test_no_retry_after_is_an_accident(value: str) -> None:
    seconds = answer(retry_after=value.replace("\n", " ").replace("\r", " ")).retry_after()
    assert seconds is None or 0 <= seconds <= upstream.LONGEST_WAIT


def test_a_header_that_is_no_utf_8_is_no_accident() -> None:
    odd = Answer("Bitbucket", 429, Headers({b"retry-after": [b"\xff"], b"x-ratelimit-nearlimit": [b"\xff"]}), b"")
    assert (odd.retry_after(), odd.header("x-ratelimit-nearlimit")) == (None, "\xff")


@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", b"", b"{", b"[" * 100_000, b"\xff"])
def test_what_is_not_json_may_heal(body: bytes) -> None:
    with pytest.raises(Temporary, match="answered 200 with something that is not JSON"):
        answer(200, body).json()


def test_an_answer_does_not_show_its_body() -> None:
    assert "token" not in repr(answer(200, b"a token"))


def asking(wire: Wire, clock: Clock | None = None) -> Upstream:
    return Upstream("Bitbucket", wire.client, clock or Clock())


def test_a_request_has_our_name_and_its_own_headers() -> None:
    wire = Wire()
    wire.say(200)
    run(asking(wire).request("GET", "http://api/x", headers={"Authorization": "Bearer c4n4ry"}))
    assert wire.asked[0].headers["user-agent"] == [USER_AGENT]
    assert wire.asked[0].authorization == "Bearer c4n4ry"


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://api/a%2Fb/{c}?d=e&f=%7Bg%7D", "http://api/a%2Fb/%7Bc%7D?d=e&f=%7Bg%7D"),
        ("http://api/a%2Fb/c?d=e&f=%7Bg%7D", "http://api/a%2Fb/c?d=e&f=%7Bg%7D"),
        ("http://bücher.example/ü b", "http://xn--bcher-kva.example/%C3%BC%20b"),
    ],
)
def test_a_url_is_encoded_where_something_of_it_is_not(url: str, sent: str) -> None:
    wire = Wire()
    wire.say(200)
    run(asking(wire).request("GET", url))
    assert wire.asked[0].url == sent


@pytest.mark.parametrize(
    ("url", "short"),
    [
        ("https://api.bitbucket.org/2.0/repositories/acme/site/src/a%2Fb/c.yaml?page=2&q=%22x%22", True),
        ("http://127.0.0.1:3020/startbuild", True),
        ("http://localhost:3020", True),
        ("http://api/a[b]", False),
        ("http://api/100%", False),
        ("http://api/a#b", False),
        ("http://API/a", False),
        ("http://somebody@api/a", False),
    ],
)
def test_only_what_needs_no_encoding_goes_past_it(url: str, short: bool) -> None:
    assert isinstance(_outgoing(url), EncodedURL) is short


def test_what_goes_past_the_encoding_has_the_parts_that_it_would_have() -> None:
    text = "https://api.bitbucket.org:8443/2.0/user%2Fname?page=2"
    url, slow = _outgoing(text), EncodedURL.from_text(text)
    assert isinstance(url, EncodedURL)
    assert (url.scheme, url.host, url.port, url.path, url.query) == (
        slow.scheme,
        slow.host,
        slow.port,
        slow.path,
        slow.query,
    )
    assert url.set("page", "3").to_uri().to_text() == "https://api.bitbucket.org:8443/2.0/user%2Fname?page=3"


def test_json_and_forms_are_sent_as_what_they_are() -> None:
    wire = Wire()
    wire.say(200)
    run(asking(wire).request("POST", "http://api/x", json={"a": "ü"}))
    run(asking(wire).request("POST", "http://api/x", form={"a": "ü&"}))
    assert wire.asked[0].headers["content-type"] == ["application/json"]
    assert wire.asked[0].body == '{"a":"ü"}'.encode()
    assert wire.asked[1].headers["content-type"] == ["application/x-www-form-urlencoded"]
    assert wire.asked[1].form == {"a": "ü&"}


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    wire = Wire()
    wire.say(302, location="http://elsewhere/")
    found = run(asking(wire).request("GET", "http://api/x", headers={"Authorization": "Bearer c4n4ry"}))
    assert (found.status, found.header("location")) == (302, "http://elsewhere/")
    assert len(wire.asked) == 1


def test_server_errors_open_the_breaker_and_other_answers_close_it() -> None:
    wire = Wire()
    for status in (502, 503, 500, 404, 504):
        wire.say(status)
    asked = asking(wire)
    failures = []
    for _ in range(5):
        run(asked.request("GET", "http://api/x"))
        failures.append(asked.breaker.failures)
    assert failures == [1, 2, 2, 0, 1]


def test_nothing_is_sent_while_the_breaker_is_open() -> None:
    wire, clock = Wire(), Clock()
    wire.say(503)
    asked = Upstream("Bitbucket", wire.client, clock)
    asked.breaker = Breaker(clock, "Bitbucket", threshold=1)
    run(asked.request("GET", "http://api/x"))
    with pytest.raises(Temporary):
        run(asked.request("GET", "http://api/x"))
    assert len(wire.asked) == 1


@define(eq=False, slots=False)
class Peer(Protocol):
    """Says *words* to whoever asks, and goes away after them if it *leaves*."""

    words: bytes
    leaves: bool
    asked: Deferred[None] = field(factory=Deferred)
    left: Deferred[None] = field(factory=Deferred)

    def dataReceived(self, data: bytes) -> None:
        if self.asked.called:
            return
        assert self.transport is not None
        self.transport.write(self.words)
        if self.leaves:
            self.transport.loseConnection()
        self.asked.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.left.callback(None)


class OnTheWire(TestCase):
    """Against a server that does what no good one does."""

    timeout = 20

    async def setUp(self) -> None:  # type: ignore[override] # trial waits for coroutines, too
        self.clock = Clock()
        http, self.pool = http_client(reactor)
        self.upstream = Upstream("Bitbucket", http, self.clock)

    async def tearDown(self) -> None:  # type: ignore[override]
        await self.pool.closeCachedConnections()

    async def serve(self, words: bytes, *, leaves: bool = False) -> tuple[Peer, str]:
        peer = Peer(words, leaves)
        factory = Factory.forProtocol(lambda: peer)
        factory.noisy = False
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        return peer, f"http://127.0.0.1:{port.getHost().port}/x"

    async def failing(self, exchange: Any) -> Temporary:
        try:
            await exchange
        except Temporary as error:
            return error
        raise AssertionError("the request succeeded")

    def body_begins(self) -> Deferred[None]:
        """Fires when the headers of an answer are there."""
        begins: Deferred[None] = Deferred()
        read = upstream._read

        def notice(response: IResponse, name: str) -> Deferred[bytes]:
            reactor.callLater(0, begins.callback, None)  # once it is waited for
            return read(response, name)

        self.patch(upstream, "_read", notice)
        return begins

    async def given_up(self, words: bytes, until: Deferred[None] | None = None, whose: str = "acme/slow") -> None:
        """Assert that a peer that says no more than *words* is left at the deadline."""
        peer, url = await self.serve(words)
        exchange = Deferred.fromCoroutine(self.upstream.request("GET", url, whose=whose))
        await (until or peer.asked)
        self.clock.advance(REQUEST_TIMEOUT - 1)
        self.assertNoResult(exchange)
        self.clock.advance(1)
        error = await self.failing(exchange)
        self.assertIsInstance(error, Unanswered)
        self.assertEqual(str(error), "Bitbucket did not answer within 30 s")
        await peer.left

    async def test_a_peer_that_never_answers_is_left_at_the_deadline(self) -> None:
        await self.given_up(b"")
        self.assertEqual(self.upstream.breaker.failures, 0)

    async def test_a_peer_that_answers_nobody_is_down(self) -> None:
        for number in range(3):
            await self.given_up(b"", whose=f"acme/{number}")
        self.assertEqual(self.upstream.breaker.failures, 1)

    async def test_a_peer_that_does_not_answer_what_is_nobodys_own_has_failed(self) -> None:
        await self.given_up(b"", whose="")
        self.assertEqual(self.upstream.breaker.failures, 1)

    async def test_a_peer_that_stalls_in_the_headers_is_left_at_the_deadline(self) -> None:
        await self.given_up(b"HTTP/1.1 200 OK\r\nContent-")

    async def test_a_peer_that_stalls_in_the_body_is_left_at_the_deadline(self) -> None:
        await self.given_up(STALLED_BODY, self.body_begins())

    async def test_half_an_answer_is_none(self) -> None:
        _, url = await self.serve(STALLED_BODY, leaves=True)
        error = await self.failing(self.upstream.request("GET", url))
        self.assertEqual(str(error), "Bitbucket broke off in the middle of its answer")
        self.assertEqual(self.upstream.breaker.failures, 1)

    async def test_an_answer_without_a_length_ends_with_its_connection(self) -> None:
        _, url = await self.serve(b"HTTP/1.1 200 OK\r\n\r\n12345", leaves=True)
        self.assertEqual((await self.upstream.request("GET", url)).body, b"12345")

    async def test_what_is_too_large_is_not_read_to_its_end(self) -> None:
        self.patch(upstream, "ANSWER_LIMIT", 1000)
        peer, url = await self.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1001)
        error = await self.failing(self.upstream.request("GET", url))
        self.assertEqual(str(error), "Bitbucket answered with more than 1000 bytes")
        await peer.left

    async def test_what_is_no_http_fails_in_words(self) -> None:
        _, url = await self.serve(b"SSH-2.0-OpenSSH_9.2\r\n", leaves=True)
        error = await self.failing(self.upstream.request("GET", url))
        self.assertRegex(str(error), r"Bitbucket at 127\.0\.0\.1:\d+ could not be reached: .+")

    async def test_a_refused_connection_fails_in_words_and_counts_against_the_upstream(self) -> None:
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory())
        number = port.getHost().port
        await port.stopListening()
        error = await self.failing(self.upstream.request("GET", f"http://127.0.0.1:{number}/x"))
        self.assertIn(f"127.0.0.1:{number} could not be reached: nothing listens there", str(error))
        self.assertEqual(self.upstream.breaker.failures, 1)

    async def test_a_caller_who_gives_up_while_nothing_comes_cuts_the_connection(self) -> None:
        await self.cancelled(b"", None)

    async def test_a_caller_who_gives_up_in_the_body_cuts_the_connection(self) -> None:
        await self.cancelled(STALLED_BODY, self.body_begins())

    async def cancelled(self, words: bytes, until: Deferred[None] | None) -> None:
        peer, url = await self.serve(words)
        exchange = Deferred.fromCoroutine(self.upstream.request("GET", url))
        await (until or peer.asked)
        exchange.cancel()
        self.failureResultOf(exchange, CancelledError)
        self.assertEqual(self.upstream.breaker.failures, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        await peer.left
