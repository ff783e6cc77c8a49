"""What all routes of the API have in common: who may call them, and how they answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from klein import Klein
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from probo_bitbucket.sandbox.answers import Refused, answer_error, answer_json, on_error, page, partial
from probo_bitbucket.sandbox.gate import Gate
from probo_bitbucket.sandbox.repository import NoSuchCommit

if TYPE_CHECKING:
    from probo_bitbucket.sandbox.bitbucket import BitbucketCloud

Handler = Callable[..., Any]  # returns a document, the bytes of an answer it began, or None for 204


class Routes:
    """The routes of *cloud*'s API."""

    def __init__(self, cloud: BitbucketCloud, gate: Gate) -> None:
        self.cloud = cloud
        self.gate = gate
        self.app = Klein()
        on_error(self.app, Refused, answer_error)
        on_error(self.app, NoSuchCommit, _no_such_commit)
        on_error(self.app, HTTPException, _no_route)

    def route(self, path: str, method: str = "GET", status: int = 200) -> Callable[[Handler], Handler]:
        """Serve *path* by a handler(request, parts of the path)."""

        def decorate(handler: Handler) -> Handler:
            def serve(request: Request, **parts: Any) -> bytes:
                return _answered(request, handler(request, **parts), status)

            self.app.route(path, methods=[method], endpoint=f"{method} {path}")(serve)
            return handler

        return decorate

    def repository_route(
        self, path: str, scope: str, method: str = "GET", status: int = 200
    ) -> Callable[[Handler], Handler]:
        """Serve *path* below a repository by a handler(request, repository, parts of the path)."""

        def decorate(handler: Handler) -> Handler:
            @self.route(f"/repositories/<workspace>/<slug>{path}", method, status)
            def serve(request: Request, workspace: str, slug: str, **parts: Any) -> Any:
                repository = self.gate.repository(request, scope, f"{workspace}/{slug}")
                return handler(request, repository, **parts)

            return handler

        return decorate

    def page(self, request: Request, values: list[Any], **limits: int) -> Any:
        """The page of *values* that was asked for."""
        return page(request, f"{self.cloud.url}{request.path.decode('latin-1')}", values, **limits)


def _answered(request: Request, result: Any, status: int) -> bytes:
    if isinstance(result, bytes):
        return result
    if result is None:
        request.setResponseCode(204)
        return b""
    return answer_json(request, partial(request, result), status)


def _no_such_commit(request: Request, error: NoSuchCommit) -> bytes:
    revision = str(error)
    return answer_error(request, Refused(404, f"Commit not found: {revision}", data={"shas": [revision]}))


def _no_route(request: Request, error: HTTPException) -> bytes:
    """Redirects to tidier paths are none of Bitbucket's habits: they are 404 here."""
    code = 405 if isinstance(error, MethodNotAllowed) else 404
    return answer_error(request, Refused(code, "Resource not found"))
