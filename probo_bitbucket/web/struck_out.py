"""Bodies of deliveries for people to read: laid out, with whatever may be a secret struck out."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from probo_bitbucket.logs import HIDDEN, redact

_TELLING = re.compile(r"passw|secret|token|authorization|api[_-]?key|private[_-]?key|credential", re.IGNORECASE)
_IN_URL = re.compile(r"(?<=://)[^\s/@]+(?=@)")  # https://user:password@host
# …?access_token=value; in HTML the & is written &amp; and after # are the tokens of OAuth's implicit grant.
_IN_QUERY = re.compile(
    r"(?<=[?&;#])((?:[\w.-]*(?:token|secret|password|passwd|signature|apikey)|(?:[\w.-]*[_.-])?(?:key|code|jwt|sig))=)"
    r"[^&#\s\"'<>()]+",
    re.IGNORECASE | re.ASCII,
)
_ATLASSIAN = re.compile(r"\bAT(?:ATT|BB|CTT|SCTT)[\w=-]{12,}", re.ASCII)  # the forms of Atlassian's own tokens


def strike_out(body: bytes) -> str:
    """*body* as indented JSON; as one JSON text where it is none."""
    try:
        document = _struck(msgspec.json.decode(body))
    except (msgspec.DecodeError, RecursionError):
        document = _strike(body.decode("utf-8", "replace"))
    return msgspec.json.format(msgspec.json.encode(document)).decode()


def _struck(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {_strike(key): _struck(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_struck(inner, name) for inner in value]
    if isinstance(value, str):
        return HIDDEN if value and _TELLING.search(name) else _strike(value)
    return value


def _strike(text: str) -> str:
    text = _IN_URL.sub(HIDDEN, redact(text))
    return _ATLASSIAN.sub(HIDDEN, _IN_QUERY.sub(rf"\g<1>{HIDDEN}", text))
