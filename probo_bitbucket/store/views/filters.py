"""Filters of a list, and what the words in the search field mean."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from attrs import evolve, frozen

_TARGET = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)?(?:#(?P<number>\d{1,9}))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_BUILD = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@frozen
class Filter:
    """What is to be shown; what is empty does not restrict it. *failed*: only what was given up on or went wrong,
    and the deliveries that led to it.

    *noise*: also the deliveries that tell nobody anything.
    """

    state: str = ""
    repository: str = ""
    pull_request: int | None = None
    failed: bool = False
    commit: str = ""  # the first digits of its hash
    build: str = ""
    words: str = ""
    noise: bool = False

    @property
    def restricts(self) -> bool:
        """Whether anything is left out that tells something."""
        return evolve(self, noise=False) != Filter()

    def search(self, text: str) -> Filter:
        """This filter, and what *text* asks for: `acme/site#7`, `#7`, a commit, a build's id, or words."""
        text = text.strip()
        if _BUILD.fullmatch(text.lower()):
            return evolve(self, build=text.lower())
        if _COMMIT.fullmatch(text.lower()):
            return evolve(self, commit=text.lower())
        found = _TARGET.fullmatch(text)
        if found is None or not text:
            return evolve(self, words=text)
        number = int(found["number"]) if found["number"] else self.pull_request
        return evolve(self, repository=found["repository"] or self.repository, pull_request=number)


def begins_with(column: sa.ColumnElement[Any], digits: str) -> sa.ColumnElement[bool]:
    """Whether a hexadecimal number begins with *digits*, by the column's index."""
    return column.between(digits, f"{digits}g")


def mentions(columns: list[sa.ColumnElement[Any]], words: str) -> sa.ColumnElement[bool]:
    """Whether each of *words* is in one of the *columns*, in whatever case."""
    each = (sa.or_(*(column.icontains(word, autoescape=True) for column in columns)) for word in words.split())
    return sa.and_(*each)
