"""How the simulated Bitbucket answers: JSON, pages of values, errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlencode

from klein import Klein
from twisted.web.server import Request

E = TypeVar("E", bound=Exception)


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.extra = extra


def on_error(app: Klein, kind: type[E], respond: Callable[[Request, E], bytes]) -> None:
    """Let *respond* answer wherever an error of *kind* is raised."""

    def handler(request: Any, failure: Any) -> bytes:
        return respond(request, failure.value)

    app.handle_errors(kind)(handler)


def not_found(what: str) -> Refused:
    return Refused(404, f"{what} not found")


def answer_json(request: Request, document: Any, status: int = 200) -> bytes:
    """Begin the answer and return its body."""
    return answer(request, json.dumps(document).encode(), "application/json; charset=utf-8", status)


def answer(request: Request, body: bytes, content_type: str, status: int = 200) -> bytes:
    request.setResponseCode(status)
    request.setHeader("Content-Type", content_type)
    request.setHeader("Content-Length", str(len(body)))
    return body


def answer_error(request: Request, refused: Refused) -> bytes:
    error = {"message": refused.message, **refused.extra}
    return answer_json(request, {"type": "error", "error": error}, refused.status)


def query(request: Request) -> dict[str, list[str]]:
    """The arguments after the question mark."""
    return parse_qs(request.uri.partition(b"?")[2].decode("latin-1"), keep_blank_values=True)


def form(request: Request) -> dict[str, str]:
    """The fields of a posted form; of a repeated one the last."""
    content_type = request.getHeader("Content-Type") or ""
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise Refused(400, "Expected a form")
    fields = parse_qs(_body(request).decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in fields.items()}


def json_body(request: Request) -> Any:
    """The posted JSON. Raises Refused."""
    content_type = request.getHeader("Content-Type") or ""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Refused(400, "Content-Type must be application/json")
    try:
        return json.loads(_body(request))
    except ValueError:
        raise Refused(400, "Bad request: the body is not JSON") from None


def _body(request: Request) -> bytes:
    return request.content.read() if request.content else b""


def partial(request: Request, document: Any) -> Any:
    """*document*, with nothing but the `fields` that the query asks for where it does: `next,values.id`."""
    asked = [name for text in query(request).get("fields", []) for name in text.split(",")]
    return _only(document, [name.split(".") for name in asked]) if asked else document


def _only(value: Any, paths: list[list[str]]) -> Any:
    if isinstance(value, list):
        return [_only(each, paths) for each in value]
    if not isinstance(value, dict) or [] in paths:
        return value
    names = {path[0] for path in paths} & set(value)
    return {
        name: _only(value[name], [path[1:] for path in paths if path[0] == name]) for name in value if name in names
    }


def page(request: Request, url: str, values: Sequence[Any], default: int = 10, largest: int = 100) -> dict[str, Any]:
    """The page of *values* that the query asks for. *url* is this listing's, for the link to the next page."""
    arguments = query(request)
    length = _number(arguments, "pagelen", default)
    number = _number(arguments, "page", 1)
    if length > largest:
        raise Refused(400, "Invalid pagelen")
    end = number * length
    document = {"values": list(values[end - length : end]), "pagelen": length, "page": number, "size": len(values)}
    if end < len(values):
        arguments["page"] = [str(number + 1)]
        document["next"] = f"{url}?{urlencode(arguments, doseq=True)}"
    return document


def _number(arguments: dict[str, list[str]], name: str, default: int) -> int:
    text = arguments.get(name, [str(default)])[-1]
    if not text.isdecimal() or int(text) < 1:
        raise Refused(400, f"Invalid {name}")
    return int(text)
