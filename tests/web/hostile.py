"""Requests that nobody honest sends, as data: a name, and the bytes. Each ends with the server hanging up."""

from __future__ import annotations

import gzip

HEAD = b"Host: localhost\r\nConnection: close\r\n"
EVENT = b"X-Event-Key: pullrequest:created\r\n"


def post(path: str, body: bytes, headers: bytes = b"") -> bytes:
    return b"POST %s HTTP/1.1\r\n%s%sContent-Length: %d\r\n\r\n%s" % (path.encode(), HEAD, headers, len(body), body)


def get(target: bytes, headers: bytes = b"") -> bytes:
    return b"GET %s HTTP/1.1\r\n%s%s\r\n" % (target, HEAD, headers)


def head(lines: bytes) -> bytes:
    return b"POST /bitbucket-webhook HTTP/1.1\r\n" + HEAD + EVENT + lines + b"\r\n"


def chunked(*chunks: bytes) -> bytes:
    return head(b"Transfer-Encoding: chunked\r\n") + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)


FRAMES = {
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\n" + HEAD + b"\r\n",
    "space in the target": get(b"/a b"),
    "NUL in the target": get(b"/\0"),
    "broken UTF-8 in the path": get(b"/branches/%ff%fe/x"),
    "raw bytes in the path": get(b"/branches/\xff\xfe/x"),
    "NUL in the path": get(b"/branches/a%00b/x"),
    "NUL in the id of a build": get(b"/api/builds/a%00b"),
    "NUL in the id of a build on a page": get(b"/builds/a%00b"),
    "NUL in the id of a build that is to be built again": post("/api/builds/a%00b/rebuild", b""),
    "NUL in the key of a status": post("/api/builds/a/statuses/b%00c/send-again", b""),
    "NUL in the name of a repository": get(b"/api/pull-requests/acme/a%00b/1"),
    "NUL in the name of a repository on a page": get(b"/pull-requests/acme/a%00b/1"),
    "NUL in what the Reaper asks for": get(b"/pull-request/acme/a%00b/1?provider_id=1"),
    "NUL in a refresh token": get(b"/auth_lookup?refreshToken=a%00b"),
    "NUL in a cursor": get(b"/api/builds?after=1%00,a%00b"),
    "line breaks in the path": get(b"/branches/a%0d%0aSet-Cookie:x/x"),
    "dots in the path": get(b"/branches/../../etc/passwd"),
    "slash in a segment": get(b"/branches/acme%2F..%2F../x"),
    "backslashes": get(b"/branches/..\\..\\x/y"),
    "only slashes": post("//////", b""),
    "odd host": b"GET /branches/acme HTTP/1.1\r\nConnection: close\r\nHost: [::1\xff/..\r\n\r\n",
    "absolute target": get(b"http://[::1/auth_lookup"),
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\n" + HEAD + b"\r\n",
    "unknown method": b"BREW /bitbucket-webhook HTTP/1.1\r\n" + HEAD + b"\r\n",
    "broken method": b"G\xffT / HTTP/1.1\r\n" + HEAD + b"\r\n",
    "long URL": get(b"/auth_lookup?refreshToken=" + b"a" * 20_000),
    "long URL in pieces": get(b"/auth_lookup?" + b"&".join(b"a=%d" % n for n in range(5_000))),
    "long header": head(b"X: " + b"a" * 20_000 + b"\r\n"),
    "many headers": head(b"".join(b"X-%d: 1\r\n" % n for n in range(600))),
    "header without a colon": head(b"nothing\r\n"),
    "header without a name": head(b": x\r\n"),
    "event key that is no UTF-8": post("/bitbucket-webhook", b"{}", b"X-Event-Key: \xff\r\n"),
    "signature that is no UTF-8": head(b"X-Hub-Signature: \xff\r\n"),
    "encoding that is no UTF-8": head(b"Content-Encoding: \xff\r\n"),
    "proxy header that is no UTF-8": get(b"/auth_lookup", b"X-Forwarded-For: \xff\r\n"),
    "header with NUL": head(b"X-Event-Key: a\0b\r\n"),
    "bare CR in a header": head(b"X: a\rY: b\r\n"),
    "header folded for ever": head(b"X: a\r\n" + b" b\r\n" * 8_000),
    "negative length": head(b"Content-Length: -1\r\n"),
    "length that is no number": head(b"Content-Length: 1e3\r\n"),
    "length of 5,000 digits": head(b"Content-Length: " + b"9" * 5_000 + b"\r\n"),
    "two lengths": head(b"Content-Length: 1\r\nContent-Length: 2\r\n"),
    "length and chunks": head(b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
    "unknown transfer encoding": head(b"Transfer-Encoding: gzip, chunked\r\n"),
    "chunk of no size": head(b"Transfer-Encoding: chunked\r\n") + b"zz\r\nabc\r\n0\r\n\r\n",
    "chunk of endless size": head(b"Transfer-Encoding: chunked\r\n") + b"f" * 4_000 + b"\r\n",
    "chunk extension without end": head(b"Transfer-Encoding: chunked\r\n") + b"1;" + b"a" * 40_000,
    "chunks of nothing": chunked(b""),
    "5 MiB in chunks": chunked(*[b" " * 65_536] * 80, b""),
    "5 MiB": post("/bitbucket-webhook", b" " * 5 * 1024 * 1024, EVENT),
    "5 MiB to another route": post("/update", b" " * 5 * 1024 * 1024),
}

_PULL_REQUEST = (
    '{"repository":{"full_name":%s},"pullrequest":{"id":%s,"state":"OPEN","title":%s,"source":'
    '{"repository":{"full_name":%s},"branch":{"name":%s},"commit":{"hash":%s}}}}'
)


def pull_request(
    full_name: str = '"acme/site"',
    id: str = "1",
    title: str = '"t"',
    source: str = '"acme/site"',
    branch: str = '"b"',
    commit: str = '"0123456789ab"',
) -> bytes:
    """A delivery; each argument is the JSON of a value."""
    return (_PULL_REQUEST % (full_name, id, title, source, branch, commit)).encode("utf-8", "surrogatepass")


BODIES = {
    "nothing": b"",
    "not JSON": b"<html>",
    "only a bracket": b"{",
    "deep lists": b"[" * 200_000,
    "deep mappings": b'{"repository":' * 100_000,
    "closed deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep in an unknown field": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"," + pull_request()[1:],
    "a list": b"[]",
    "null": b"null",
    "a number": b"1",
    "a number of 5,000 digits": b"9" * 5_000,
    "a number that is too large": b"1e999999",
    "not a number": b"NaN",
    "two bodies": pull_request() * 2,
    "broken UTF-8": pull_request(title='"\udcff"'),
    "UTF-16": pull_request().decode().encode("utf-16"),
    "a BOM": b"\xef\xbb\xbf" + pull_request(),
    "a bare NUL": pull_request(title='"a\0b"'),
    "half a surrogate": pull_request(title='"\\ud800"'),
    "an id of 5,000 digits": pull_request(id="9" * 5_000),
    "an id beyond 64 bits": pull_request(id="18446744073709551616"),
    "a negative id": pull_request(id="-1"),
    "a broken id": pull_request(id="1.5"),
    "an id that is text": pull_request(id='"1; drop table builds"'),
    "a mapping for a title": pull_request(title="{}"),
    "a repository out of the workspace": pull_request('"acme/../other"'),
    "a repository with a query": pull_request('"acme/site?x=1"'),
    "a repository with a blank": pull_request('"acme/site -rf"'),
    "a repository for a shell": pull_request('"acme/$(reboot)"'),
    "a repository of two lines": pull_request('"acme/site\\n2026 info forged"'),
    "a source for a shell": pull_request(source='"acme/`reboot`"'),
    "a commit for a shell": pull_request(commit='"0123456;reboot"'),
    "a commit with a path": pull_request(commit='"../../../etc"'),
    "a commit that ends its line": pull_request(commit='"0123456789ab\\n"'),
    "an empty branch": pull_request(branch='""'),
}

PACKED = {
    "not gzip": b"plain",
    "half of a gzip": gzip.compress(pull_request())[:-20],
    "1 GiB of zeros, almost": gzip.compress(bytes(64 * 1024 * 1024)),
    "gzip in gzip": gzip.compress(gzip.compress(pull_request())),
}

# Odd, but whoever owns a repository may call its things so. They must do no harm on their way through.
TEXTS = (
    "<script>alert(1)</script>",
    "'; DROP TABLE builds; --",
    "line one\n2026-11-22T10:00:00.123Z info  forged by=title",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egnp.exe",
    "NUL \0 inside",
    "{{7*7}} ${jndi:ldap://x} %s %n {0.__class__}",
    "$(reboot) `reboot` ; reboot | reboot",
    "../../etc/passwd",
    "\U0001f4a5" * 200,
)
