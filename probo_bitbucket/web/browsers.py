"""Requests that a browser may have sent for somebody else's page: told from our own, and refused.

Whoever sits at a machine that is let in also opens pages of strangers there. These can have the browser send us forms
(cross-site request forgery), and, under a name of theirs that they point to our address, read our answers (DNS
rebinding). Under such a name Origin and Sec-Fetch-Site look like our own, or do not come at all.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Collection
from functools import wraps
from ipaddress import ip_address
from typing import Any

from attrs import frozen

# Browsers send these; Probo's programs, Prometheus and curl do not. Over plain HTTP a page's GET under its own name has
# neither Origin nor Sec-Fetch-*; and it may name another User-Agent, but cannot do without Accept-Language.
_OF_BROWSERS = (b"origin", b"sec-fetch-site", b"sec-fetch-mode", b"accept-language")

Handler = Callable[..., Awaitable[bytes]]
Route = tuple[str, str, Handler]  # method, path, and what answers


class Stranger(Exception):
    """A request that no page of ours sent, or that went to a name that is not ours."""


@frozen
class OwnPages:
    """Lets through what calls us by an address, `localhost`, this machine's name or one of *names*."""

    names: Collection[str]

    def guarded(self, route: Route) -> Route:
        """*route*, where only our own pages, and programs, get to its handler; to others Stranger is raised."""
        method, path, handler = route

        @wraps(handler)
        async def checked(request: Any, **parts: str) -> bytes:
            self.check_name(request)
            if method != "GET":
                check_sender(request)
            return await handler(request, **parts)

        return method, path, checked

    def of_programs(self, route: Route) -> Route:
        """*route*, which programs call under whatever name they know; a browser gets there as if it were guarded."""
        method, path, handler = route
        _, _, guarded = self.guarded(route)

        @wraps(handler)
        def checked(request: Any, **parts: str) -> Awaitable[bytes]:
            return (guarded if _from_browser(request) else handler)(request, **parts)

        return method, path, checked

    def check_name(self, request: Any) -> None:
        host = _header(request, b"host").partition(":")[0]  # the gate lets no other colons through
        if not (_is_address(host) or host in ("localhost", socket.gethostname().lower(), *self.names)):
            raise Stranger(f"{host[:80]!r} is not a name of this server; the setting `dashboardHosts` takes more")


def check_sender(request: Any) -> None:
    """Raises Stranger where a browser says that the request comes from another site than this one."""
    site, origin, host = (_header(request, name) for name in (b"sec-fetch-site", b"origin", b"host"))
    own = site == "same-origin" if site else origin in ("", f"http://{host}", f"https://{host}")
    if not own:
        raise Stranger("the request comes from a page of another site")


def _from_browser(request: Any) -> bool:
    named = _header(request, b"user-agent").startswith("mozilla/")
    return named or any(map(request.requestHeaders.hasHeader, _OF_BROWSERS))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _header(request: Any, name: bytes) -> str:
    return str((request.getHeader(name) or b"").decode("latin-1").lower())
