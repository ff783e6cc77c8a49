"""Pages: HTML that runs nothing, loads nothing and can be framed by nobody, but for the files that go with it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

from twisted.web.http import Request

from probo_bitbucket.flow.oversight.glance import queue_name
from probo_bitbucket.web import wording

if TYPE_CHECKING:
    from jinja2 import Environment

ASSETS_PATH = "/pages"

_FOLDER = "pages"
_CSS, _JAVASCRIPT = b"text/css; charset=utf-8", b"text/javascript; charset=utf-8"
_ASSETS = {
    "style.css": _CSS,
    "dashboard.css": _CSS,
    "copy.js": _JAVASCRIPT,
    "live.js": _JAVASCRIPT,
    "icon.svg": b"image/svg+xml",
}
_ASSET_LIFE = 300  # seconds

_HEADERS = {
    b"content-type": b"text/html; charset=utf-8",
    b"content-security-policy": b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    b"img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    b"x-frame-options": b"DENY",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",  # without it, forms of ours could not be told from a stranger's
    b"cache-control": b"no-store",
}

_FILTERS = ("badge", "grade", "remedy", "linked", "iso", "clock", "ago", "span")


@cache
def _environment() -> Environment:
    """The templates. Imported with the first page that somebody looks at: Jinja2 takes 3 MiB."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("probo_bitbucket", _FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(wording, name) for name in _FILTERS}
    environment.filters["queue_name"] = queue_name
    environment.globals["stages"] = wording.STAGES
    return environment


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> bytes:
    """Set status and headers of a page, and return its body."""
    path, internal = request.path.decode("latin-1"), cast(Any, request).internal
    return _as_page(
        request, status, _environment().get_template(template).render(path=path, internal=internal, **values)
    )


def _as_page(request: Request, status: int, text: str) -> bytes:
    body = text.encode()
    request.setResponseCode(status)
    for name, value in _HEADERS.items():
        request.setHeader(name, value)
    request.setHeader(b"content-length", b"%d" % len(body))
    return body


def trouble(request: Request, status: int, what: str, back: str = "") -> bytes:
    """A page in place of the one that was asked for. *back* is the page that the browser came from, if it is known."""
    return page(request, "trouble.html", status=status, what=what, said="", back=back)


def forbidden(request: Request) -> bytes:
    """The same page for everybody and every path."""
    return _as_page(request, 403, _text_of("forbidden.html"))


@cache
def _text_of(name: str) -> str:
    return files("probo_bitbucket").joinpath(_FOLDER, name).read_text("utf-8")


def from_browser(request: Request) -> bool:
    """Whether who asks can show a page."""
    return b"text/html" in (request.getHeader(b"accept") or b"")


def wants_page(request: Request) -> bool:
    """Whether a browser asks, to which our pages are open."""
    return cast(Any, request).internal and from_browser(request)


def see_other(request: Request, path: str) -> bytes:
    """Send the browser to another page of ours."""
    request.setResponseCode(303)
    request.setHeader(b"location", path.encode())
    request.setHeader(b"cache-control", b"no-store")
    request.setHeader(b"content-length", b"0")
    return b""


def asset(request: Request, name: str) -> bytes | None:
    """A file that goes with the pages; None where there is no such file."""
    if name not in _ASSETS:
        return None
    body = files("probo_bitbucket").joinpath(_FOLDER, name).read_bytes()
    request.setHeader(b"content-type", _ASSETS[name])
    request.setHeader(b"x-content-type-options", b"nosniff")
    request.setHeader(b"cache-control", b"max-age=%d" % _ASSET_LIFE)
    request.setHeader(b"content-length", b"%d" % len(body))
    return body
