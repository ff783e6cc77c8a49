"""The pages of the simulators."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from twisted.web.resource import Resource
from twisted.web.server import Request

from probo_bitbucket.sandbox.answers import Refused, answer

HTML = "text/html; charset=utf-8"
_POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'"
_ASSETS = {"sandbox.css": "text/css", "sandbox.js": "text/javascript"}

_environment = Environment(
    loader=PackageLoader("probo_bitbucket.sandbox", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: Any) -> bytes:
    """The page in UTF-8."""
    return _environment.get_template(template).render(**values).encode()


def show(request: Request, template: str, **values: Any) -> bytes:
    """Answer with a page that nothing of other sites is part of."""
    request.setHeader("Content-Security-Policy", _POLICY)
    return answer(request, render(template, **values), HTML)


def show_refusal(request: Request, refused: Refused) -> bytes:
    return answer(request, render("error.html", message=refused.message), HTML, refused.status)


def go_to(request: Request, path: str) -> bytes:
    """Answer a form with the page at *path*."""
    request.setResponseCode(303)
    request.setHeader("Location", path)
    return b""


def add_assets(root: Resource) -> None:
    """Serve what the pages load."""
    for name, content_type in _ASSETS.items():
        root.putChild(name.encode(), _Asset(files(__package__).joinpath(name).read_bytes(), content_type))


class _Asset(Resource):
    def __init__(self, content: bytes, content_type: str) -> None:
        super().__init__()
        self._content = content
        self._type = content_type

    def render_GET(self, request: Request) -> bytes:
        return answer(request, self._content, self._type)
