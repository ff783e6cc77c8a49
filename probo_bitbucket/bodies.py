"""JSON bodies that others send: read into msgspec Structs, or refused in words that name the path."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

_T = TypeVar("_T")

_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`")
_EXPECTED = re.compile(r"Expected `(?P<wanted>[^`]+)`(?P<bound> [<>]=? \S+)?(?:, got `(?P<got>[^`]+)`)?")
_WORDS = {
    "object": "an object",
    "array": "a list",
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
}


class BodyError(ValueError):
    """A body that its reader cannot take. The message tells its sender what is missing or wrong."""


def decode(body: bytes, shape: type[_T], error: type[BodyError]) -> _T:
    """Read *body* as *shape*; fields that *shape* does not have are ignored. Raises *error*."""
    try:
        # msgspec would skip bad UTF-8 in ignored fields, but the body is stored and shown as a whole.
        return msgspec.json.decode(body.decode(), type=shape)
    except UnicodeDecodeError as wrong:
        raise error(f"the body is not UTF-8 (byte {wrong.start})") from wrong
    except msgspec.ValidationError as wrong:
        raise error(_explain(str(wrong))) from wrong
    except msgspec.DecodeError as wrong:
        raise error(f"the body is not JSON: {str(wrong).removeprefix('JSON is malformed: ')}") from wrong
    except RecursionError as wrong:
        raise error("the body is nested too deeply") from wrong


def clean(text: str | None, limit: int) -> str:
    """Return *text* without NUL, which no database takes, cut to *limit* characters; empty for None."""
    return (text or "").replace("\0", "")[:limit]


def _explain(message: str) -> str:
    """Say msgspec's *message* in our words: "`repository.full_name` is missing"."""
    problem, _, place = message.partition(" - at ")
    path = place.strip("`").removeprefix("$").removeprefix(".")
    if missing := _MISSING.fullmatch(problem):
        return f"`{path}.{missing['field']}` is missing" if path else f"`{missing['field']}` is missing"
    subject = f"`{path}`" if path else "the body"
    if expected := _EXPECTED.fullmatch(problem):
        got = f", not {_in_words(expected['got'])}" if expected["got"] else ""
        return f"{subject} must be {_in_words(expected['wanted'])}{expected['bound'] or ''}{got}"
    return f"{subject}: {problem}"


def _in_words(types: str) -> str:
    return " or ".join(_WORDS.get(name, name) for name in types.split(" | "))
