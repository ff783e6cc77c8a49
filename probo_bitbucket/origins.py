"""Origins: what had a build made, or ended it, in words for people that lead back to a delivery.

Builds keep them, and so does what follows from a build; the store looks deliveries up by them.
"""

from __future__ import annotations

import re

OPERATOR = "an operator"
WEB_APP = "the web app"
REHEARSAL = "a rehearsal"

_FOUND = ", found by reconciliation"
_REBUILD = "rebuild of "
_DELIVERY = re.compile(r"\bdelivery (\d+)")
_AROUND_DELIVERY = re.compile(r"\Acomment \d+ of |,.*")


def delivery(id: int, *, found: bool = False) -> str:
    """A delivery, which Bitbucket may not have sent: we *found* what it tells."""
    return f"delivery {id}{_FOUND if found else ''}"


def comment(id: int, told_by: str) -> str:
    """A comment, and what told of it."""
    return f"comment {id} of {told_by}"


def rebuild(first: str) -> str:
    """Of a build that is made once more, and of those after it: what asked for the *first*."""
    return f"{_REBUILD}{first.removeprefix(_REBUILD)}"


def is_delivery(origin: str) -> bool:
    """Whether nobody asked by hand: a delivery alone did."""
    return origin.startswith("delivery ")


def delivery_of(origin: str) -> int | None:
    """The delivery that something began with: of `delivery 17, found by …` as of `rebuild of delivery 17`."""
    found = _DELIVERY.search(origin)
    return int(found[1]) if found else None


def teller(origin: str) -> str:
    """What told of it, and nothing more: `delivery 17`, also where that was found, or told of a comment."""
    return _AROUND_DELIVERY.sub("", origin)
