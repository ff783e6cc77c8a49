"""What the routes of the simulated Container Manager and coordinator have in common: JSON in and out, and errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from klein import Klein
from twisted.python.failure import Failure
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException

from probo_bitbucket.sandbox.answers import answer_json
from probo_bitbucket.sandbox.build_plan import NodeError


class Refused(Exception):
    """A request that is answered with an error: HTTP status and document."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        super().__init__(status, document)
        self.status = status
        self.document = document


def on_error(app: Klein, kind: type[Exception], answer: Callable[[Any, Request, Any], Any]) -> None:
    """Have *answer* called with the owner of the routes, the request and the error, wherever one is raised."""

    def handler(self: Any, request: Any, failure: Failure) -> Any:
        return answer(self, request, failure.value)

    app.handle_errors(kind)(handler)


def answer_errors(app: Klein) -> None:
    """Answer what both refuse as both do."""
    on_error(app, Refused, lambda _, request, error: answer_json(request, error.document, error.status))
    on_error(app, NodeError, lambda _, request, error: answer_json(request, {"error": str(error)}, 500))
    on_error(app, HTTPException, lambda _, request, __: answer_json(request, _unknown_route(request), 404))


def parameters(request: Request) -> dict[str, str]:
    """Return what is in the query; of a repeated parameter the last."""
    query = parse_qs(request.uri.partition(b"?")[2].decode("latin-1"), keep_blank_values=True)
    return {name: values[-1] for name, values in query.items()}


def posted_mapping(request: Request) -> dict[str, Any]:
    """Return the posted mapping; an empty one for other JSON. Raises Refused for what is not JSON."""
    try:
        document = json.loads(request.content.read() if request.content else b"")
    except ValueError as error:
        raise Refused(400, {"code": "InvalidContent", "message": f"Invalid JSON: {error}"}) from None
    return document if isinstance(document, dict) else {}


def _unknown_route(request: Request) -> dict[str, str]:
    return {"code": "ResourceNotFound", "message": f"{request.path.decode('latin-1')} does not exist"}
