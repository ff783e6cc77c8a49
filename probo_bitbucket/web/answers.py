"""Answers in JSON, and what each kind of error is answered with."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from probo_bitbucket.bodies import BodyError
from probo_bitbucket.errors import NotFound, Permanent, Temporary, UpstreamError
from probo_bitbucket.flow.builds.again import NotThere
from probo_bitbucket.flow.builds.anew import NotNow
from probo_bitbucket.flow.builds.requests import NotWanted
from probo_bitbucket.flow.credentials.accounts import NotOurs
from probo_bitbucket.flow.deliveries.signatures import BadSignature, Doubtful
from probo_bitbucket.flow.forwarding.trail import GoingRound
from probo_bitbucket.model import InvalidName
from probo_bitbucket.store import StoreUnavailable
from probo_bitbucket.store.views.paging import BadCursor
from probo_bitbucket.upstream import LOOP_DETECTED
from probo_bitbucket.web.browsers import Stranger
from probo_bitbucket.web.pages import trouble, wants_page

RETRY_AFTER = 5  # seconds after which the store may be back

_log = Logger()


class BodyTooLarge(Exception):
    """A body of more bytes than this route takes."""


# The first that fits counts: an error is listed before what it is a kind of.
_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (BodyTooLarge, 413),
    (BodyError, 400),
    (InvalidName, 400),
    (BadSignature, 401),
    (Doubtful, 503),
    (NotOurs, 403),
    (NotWanted, 403),
    (Stranger, 403),
    (NotThere, 404),
    (NotNow, 409),
    (GoingRound, LOOP_DETECTED),
    (BadCursor, 400),
    (NotFound, 404),
    (Permanent, 502),
    (Temporary, 503),
    (UpstreamError, 502),
    (StoreUnavailable, 503),
)


def answer(request: Request, status: int, document: Any) -> bytes:
    """Set status and headers of an answer, and return its body."""
    body = msgspec.json.encode(document)
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"content-length", b"%d" % len(body))
    return body


def error_answer(request: Request, failure: Failure) -> bytes:
    """The answer to a request that ended with an error. Only what is unexpected is logged with its traceback."""
    error = failure.value
    if isinstance(error, HTTPException):
        return _http_error(request, error)
    status = status_of(error)
    if isinstance(error, StoreUnavailable):
        request.setHeader(b"retry-after", b"%d" % RETRY_AFTER)
        _log.error("The store is not available", event="store.unavailable", reason=str(error))
        return answer(request, status, {"error": "the store is not available"})
    if status == 500:
        _log.failure("A request failed unexpectedly", failure, event="http.failed", path=request.path.decode("latin-1"))
        return answer(request, status, {"error": "internal error"})
    if isinstance(error, Stranger) and wants_page(request):
        return trouble(request, status, str(error))
    return answer(request, status, {"error": str(error)})


def status_of(error: BaseException | None) -> int:
    """The status that a kind of error is answered with."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def _http_error(request: Request, error: HTTPException) -> bytes:
    """Routes that do not exist: a page for people, and for programs the form that the Node handlers' server had."""
    status, code, message = 404, "ResourceNotFound", f"{request.path.decode('latin-1')} does not exist"
    if isinstance(error, MethodNotAllowed):
        request.setHeader(b"allow", ", ".join(error.valid_methods or ()).encode())
        status, code, message = 405, "MethodNotAllowed", f"{request.method.decode('latin-1')} is not allowed"
    if wants_page(request):
        return trouble(request, status, message)
    return answer(request, status, {"code": code, "message": message})
