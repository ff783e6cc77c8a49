"""No input ends the process or leaves a request unanswered."""

from __future__ import annotations

from tests.staged import Answered, StageTestCase

POSTS = ("/bitbucket-webhook", "/update", "/builds/hash", "/builds/1/status/ProboCI%2Fenv")
GETS = ("/auth_lookup", "/pull-request/acme/site/1", "/branches/acme/site", "/commits/acme/site")
JUNK = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b"true",
    b"-0.0e99999",
    b'"',
    b"{",
    b"\x00",
    b"\xff\xfe\x00",
    b"\xef\xbb\xbf{}",
    b'{"update": {}, "build": {}}',
    b'{"update": null, "build": null}',
    b'{"update": {"state": "\\ud800"}, "build": {}}',
    b'{"project": {"slug": "../.."}, "sha": "0000000"}',
    b'{"project": [], "sha": 7}',
    b"[" * 200_000,
    b'{"a":' * 100_000,
    b"7" * 100_000,
)
HEADERS = (
    {"Content-Type": "application/x-www-form-urlencoded"},
    {"Content-Type": "multipart/form-data"},
    {"Content-Type": "multipart/form-data; boundary="},
    {"Content-Type": "application/json; charset=utf-7"},
    {"Content-Type": ";;;"},
    {"Content-Encoding": "gzip"},
    {"X-Event-Key": "pullrequest:created" * 500},
    {"X-Attempt-Number": "\u0661"},
    {"Expect": "200-maybe"},
    {"Host": "..."},
    {"Host": "[::"},
    {"Host": "\u00fc"},
    {"Host": "x" * 300},
)
PATHS = (
    "/%",
    "/%00",
    "/%ff%fe",
    "/../../etc/passwd",
    "/builds//status/",
    "/builds/%00/status/%00",
    "/builds/%ff/status/%ff",
    "/builds/1/status/",
    "/builds/1/status/a/b",
    "/pull-request/acme/site/",
    "/pull-request/%2e%2e/site/1",
    "/pull-request/acme/site%2f..%2fother/1",
    "/pull-request/acme/site/1%3Fx=y",
    "/pull-request/acme/site/-1",
    "/pull-request/acme/site/999999999999",
    "/pull-request/acme/site/%D9%A1",
    "/branches/acme/%00",
    "/branches/acme/site?refreshToken=%ff",
    "/commits/acme/site?sha=%00&sha=..%2f..",
    "/auth_lookup?refreshToken=%ff%00",
    "/auth_lookup?refreshToken=probo-bitbucket.a.b.c",
    "/auth_lookup?refreshToken=" + "x" * 10_000,
    "/auth_lookup?type=github&refreshToken=x",
    "/auth_lookup?&&&=&refreshToken",
)


class Survival(StageTestCase):
    async def check_survived(self) -> None:
        """Whatever was sent before: a pull request is built."""
        pull_request = self.repository.open_pull_request()
        assert set((await self.built(pull_request)).values()) == {"SUCCESSFUL"}
        self.check_container_manager()

    async def test_junk_in_a_body_is_answered_in_json_and_as_the_senders_fault(self) -> None:
        for path in POSTS:
            for body in JUNK:
                answer = await self.call("POST", path, body, {"X-Event-Key": "pullrequest:created"})
                _is_refusal(answer)
        await self.check_survived()

    async def test_signed_junk_is_answered_in_json_and_as_the_senders_fault(self) -> None:
        for body in JUNK:
            _is_refusal(await self.deliver("pullrequest:created", body))
        await self.check_survived()

    async def test_odd_headers_are_answered_in_json(self) -> None:
        for path in (*POSTS, *GETS):
            for headers in HEADERS:
                answer = await self.call("POST" if path in POSTS else "GET", path, b"{}", headers)
                assert isinstance(answer.json, dict | list), (path, headers)
                assert answer.status < 500, (path, headers, answer)
        await self.check_survived()

    async def test_odd_paths_are_answered_in_json(self) -> None:
        for path in PATHS:
            for method in ("GET", "POST"):
                _is_refusal(await self.call(method, path, b"{}"))
        await self.check_survived()

    async def test_bytes_in_a_path_that_are_not_utf_8_are_answered_400(self) -> None:
        for path in (b"/\xff\xfe", b"/builds/\xff/status/\xff", b"/auth_lookup?refreshToken=\xff"):
            heard = await self.raw(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert heard.startswith(b"HTTP/1.1 40"), heard
        await self.check_survived()

    async def test_what_is_not_http_gets_an_answer_or_a_closed_connection(self) -> None:
        for sent in (b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"):
            assert b"HTTP/1.1 5" not in await self.raw(sent)
        await self.check_survived()

    async def test_a_method_of_odd_bytes_is_answered(self) -> None:
        heard = await self.raw(b"\xff\xfe /auth_lookup HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert heard.startswith(b"HTTP/1.1 4"), heard
        await self.check_survived()

    async def test_an_unknown_route_is_answered_in_the_form_of_the_node_handlers(self) -> None:
        for method in ("GET", "POST", "DELETE"):
            answer = await self.call(method, "/nope")
            assert answer.status == 404
            assert answer.json == {"code": "ResourceNotFound", "message": "/nope does not exist"}
        await self.check_survived()

    async def test_the_wrong_method_is_answered_with_the_right_one(self) -> None:
        for path, right in (*((path, "POST") for path in POSTS), *((path, "GET") for path in GETS)):
            answer = await self.call("DELETE", path)
            assert answer.status == 405
            assert right in answer.headers.getRawHeaders("allow", [""])[0]
            assert answer.json["code"] == "MethodNotAllowed"
        await self.check_survived()

    async def test_no_route_ever_redirects(self) -> None:
        for path in (*POSTS, *GETS):
            for variant in (f"{path}/", f"/{path}", path.upper()):
                for method in ("GET", "POST"):
                    assert not 300 <= (await self.call(method, variant, b"{}")).status < 400, variant
        await self.check_survived()

    async def test_a_body_that_is_too_large_is_answered_413_however_large_it_is(self) -> None:
        for megabytes in (5, 40):
            for path in POSTS:
                answer = await self.call("POST", path, b" " * (megabytes * 1024 * 1024))
                assert answer.status == 413
                assert "bytes" in answer.json["error"]
        await self.check_survived()

    async def test_a_body_that_is_too_large_and_of_unannounced_length_is_answered_413(self) -> None:
        head = b"POST /update HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        heard = await self.raw(head + chunk * 24 + b"0\r\n\r\n")
        assert heard.startswith(b"HTTP/1.1 413"), heard[:200]
        await self.check_survived()

    async def test_a_client_that_hangs_up_before_its_answer_harms_nobody(self) -> None:
        for path in (*POSTS, *GETS):
            method = "POST" if path in POSTS else "GET"
            sent = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode()
            await self.hang_up_after(sent)
        await self.check_survived()


def _is_refusal(answer: Answered) -> None:
    assert 400 <= answer.status < 500, answer
    assert answer.json.get("error") or answer.json.get("code"), answer
