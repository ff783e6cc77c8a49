"""Build statuses, and what Bitbucket refuses of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from attrs import frozen

LIMITS = {"key": 40, "url": 450, "name": 255, "description": 255, "refname": 255}  # characters


class InvalidStatus(ValueError):
    """A status that Bitbucket answers with 400, in Bitbucket's words."""


class State(StrEnum):
    INPROGRESS = "INPROGRESS"
    SUCCESSFUL = "SUCCESSFUL"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


@frozen
class BuildStatus:
    """A status as it is shown."""

    state: State
    key: str
    url: str
    name: str
    description: str
    refname: str | None
    created_on: float
    updated_on: float


def parse_status(body: object, now: float, variables: Mapping[str, str]) -> BuildStatus:
    """Read a posted status. *variables* are for templates in its url. Raises InvalidStatus."""
    if not isinstance(body, dict):
        raise InvalidStatus("The body must be a JSON object.")
    key = _text(body, "key", required=True)
    return BuildStatus(
        state=_state(body),
        key=key,
        url=_url(_text(body, "url", required=True), variables),
        name=_text(body, "name") or key,
        description=_text(body, "description"),
        refname=_text(body, "refname") or None,
        created_on=now,
        updated_on=now,
    )


def _state(body: Mapping[str, Any]) -> State:
    value = _text(body, "state", required=True)
    if value not in set(State):
        raise InvalidStatus(f"state: Select a valid choice. {value} is not one of the available choices.")
    return State(value)


def _text(body: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    value = body.get(name)
    if value in (None, ""):
        if required:
            raise InvalidStatus(f"{name}: This field is required.")
        return ""
    if not isinstance(value, str):
        raise InvalidStatus(f"{name}: Not a valid string.")
    limit = LIMITS.get(name, len(value))
    if len(value) > limit:
        raise InvalidStatus(f"{name}: Ensure this value has at most {limit} characters (it has {len(value)}).")
    return value


def _url(template: str, variables: Mapping[str, str]) -> str:
    """Fill in what stands in braces. As in any URI template, an unknown variable is empty."""
    url = re.sub(r"\{([^{}]*)\}", lambda match: variables.get(match[1], ""), template)
    if "{" in url or "}" in url:
        raise InvalidStatus("url: The URL template is malformed.")
    if not re.fullmatch(r"https?://[^\s/]+\S*", url):
        raise InvalidStatus("url: Enter a valid URL.")
    return url
