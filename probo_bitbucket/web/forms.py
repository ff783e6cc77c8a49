"""What browsers send: the parts and the query of an address, and the fields of a form."""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlencode

from twisted.web.http import Request

from probo_bitbucket.bodies import BodyError
from probo_bitbucket.web.answers import BodyTooLarge

FORM_LIMIT = 8 * 1024  # bytes

T = TypeVar("T")


def decoded(part: str) -> str:
    """A part of a path, percent-decoded. Raises BodyError where there is NUL in it, which no database takes."""
    text = unquote(part)
    if "\0" in text:
        raise BodyError("there is NUL in the address")
    return text


def query(request: Request) -> dict[str, str]:
    return _pairs(request.uri.partition(b"?")[2])


def form(request: Any) -> dict[str, str]:
    """The fields of the form that was sent. Raises BodyTooLarge."""
    body = request.content.read(FORM_LIMIT + 1)
    if len(body) > FORM_LIMIT:
        raise BodyTooLarge("that is more than this form can hold")
    return _pairs(body)


def number(text: str, what: str) -> int:
    """Read a whole number. Raises BodyError, which names *what* it should have been."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BodyError(f"{what} must be a whole number")
    return int(text)


def address(path: str, /, **fields: object) -> str:
    """*path* with a query of the fields that are not empty."""
    given = {name: value for name, value in fields.items() if value}
    return f"{path}?{urlencode(given)}" if given else path


def _pairs(encoded: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(encoded.decode("latin-1"), keep_blank_values=True, max_num_fields=20))
    except ValueError as error:
        raise BodyError("these are more than 20 fields") from error
