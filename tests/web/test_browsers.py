"""What a page of a stranger gets out of the routes that programs use, in the browser of somebody who is let in."""

from __future__ import annotations

import socket
from typing import Any, ClassVar

from tests.staged import StageTestCase
from tests.web.wire import exchange, status

REBOUND = "evil.example:3012"  # a name that its owner points to our address
ROUTES = (
    "GET /auth_lookup?refreshToken=x",
    "GET /pull-request/acme/site/1",
    "GET /branches/acme/site",
    "GET /commits/acme/site",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "POST /update",
    "POST /builds/hash",
    "POST /builds/x/status/Acme%2Fenv",
)
FIREFOX = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
BROWSERS: dict[str, tuple[str, ...]] = {
    "its origin looks like ours": (f"Origin: http://{REBOUND}",),
    "it says that it is the same origin": ("Sec-Fetch-Site: same-origin",),
    "typed by the user": ("Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"),
    "some of what it sends": ("Sec-Fetch-Mode: cors",),
    "a GET over plain HTTP": (FIREFOX,),
    "a GET of a script that names a program": ("User-Agent: curl/8.5.0", "Accept-Language: en"),
    "a GET of a script that hides its language": ("User-Agent: curl/8.5.0", "Accept-Language:"),
}
PROGRAMS: dict[str, tuple[str, ...]] = {
    "the Container Manager and the Reaper": ("Accept: application/json", "Content-Type: application/json"),
    "Prometheus": ("User-Agent: Prometheus/2.53.0", "Accept-Encoding: gzip", "Accept: text/plain;version=0.0.4"),
    "curl": ("User-Agent: curl/8.5.0", "Accept: */*"),
}


class FromPagesOfStrangers(StageTestCase):
    settings: ClassVar[dict[str, Any]] = {"dashboardHosts": "probo.example.com"}

    async def ask(self, line: str, host: str, headers: tuple[str, ...]) -> int:
        lines = (f"{line} HTTP/1.1", f"Host: {host}", "Connection: close", "Content-Length: 0", *headers, "", "")
        return status(await exchange(self.handler.port, "\r\n".join(lines).encode()))

    async def test_a_browser_that_calls_a_name_of_a_stranger_is_refused(self) -> None:
        for name, headers in BROWSERS.items():
            for route in ROUTES:
                self.assertEqual(await self.ask(route, REBOUND, headers), 403, (name, route))

    async def test_a_person_is_told_on_a_page_which_setting_takes_the_name(self) -> None:
        answered = await self.call("GET", "/", headers={"Host": "probo.example.org", "Accept": "text/html"})
        self.assertEqual(answered.status, 403)
        self.assertEqual(answered.headers.getRawHeaders("content-type"), ["text/html; charset=utf-8"])
        self.assertIn("`dashboardHosts`", answered.body.decode())

    async def test_programs_call_by_any_name(self) -> None:
        for name, headers in PROGRAMS.items():
            for route in ROUTES[1:]:  # what a refresh token of nobody gets is 403, too
                self.assertNotEqual(await self.ask(route, REBOUND, headers), 403, (name, route))

    async def test_a_browser_that_calls_a_name_of_ours_gets_its_answer(self) -> None:
        for host in ("localhost:3012", "127.0.0.1:3012", socket.gethostname(), "probo.example.com"):
            for headers in ((FIREFOX,), ("Sec-Fetch-Site: cross-site",), (f"Origin: http://{host}",)):
                self.assertEqual(await self.ask("GET /branches/acme/site", host, headers), 200, (host, headers))

    async def test_nothing_is_posted_from_a_page_of_another_site(self) -> None:
        for headers in (("Origin: http://evil.example",), ("Origin: null",), ("Sec-Fetch-Site: cross-site",)):
            for route in ROUTES[-3:]:
                self.assertEqual(await self.ask(route, "localhost:3012", headers), 403, (headers, route))
