"""Values as the operator wrote them, with the place to name in a message, and what is found to be wrong with them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from attrs import Factory, define, field, frozen


class SettingsError(Exception):
    """The settings cannot be used. Every problem is one line that says where, what is wrong, and what to do.

    *elsewhere*: nothing is wrong with them but that systemd gives some secrets to the daemon only.
    """

    def __init__(self, problems: tuple[str, ...], *, elsewhere: bool = False) -> None:
        self.problems = in_order(problems)
        self.elsewhere = elsewhere
        super().__init__("\n".join(self.problems))


_PLACE = re.compile(r"(.+?):(?:(\d+):)? ")


def in_order(problems: Sequence[str]) -> tuple[str, ...]:
    """Those of a file line by line, what is missing in it last; then those of the next source."""
    places = [found.groups() if (found := _PLACE.match(problem)) else (problem, None) for problem in problems]
    sources = list(dict.fromkeys(source for source, _ in places))
    keys = [(sources.index(source), int(line) if line else math.inf) for source, line in places]
    return tuple(problem for _, problem in sorted(zip(keys, problems, strict=True), key=lambda pair: pair[0]))


@define(eq=False)
class Findings:
    """What reading the settings found, so that the operator learns of everything at once."""

    problems: list[str] = Factory(list)
    warnings: list[str] = Factory(list)
    elsewhere: list[str] = Factory(list)  # those of the problems that the daemon does not have

    def error(self) -> SettingsError:
        return SettingsError(tuple(self.problems), elsewhere=self.problems == self.elsewhere)


class Shape(Enum):
    """What a value looks like; the words stand in messages."""

    NOTHING = "nothing"
    TEXT = "text"  # numbers and dates too: the key's type reads the text
    FLAG = "true or false"
    LIST = "a list"
    MAPPING = "a mapping"


@frozen
class Written:
    """A value as it was written. Its text may be a secret, so it stays out of repr()."""

    place: str  # `settings.yaml:3`, an environment variable, or an option
    shape: Shape
    text: str = field(default="", repr=False)
    items: tuple[Written, ...] = ()
    entries: tuple[tuple[str, Written], ...] = ()
    directory: Path = Path()  # that the names of secrets' files are relative to

    @property
    def empty(self) -> bool:
        """Whether there is nothing to read: `bbRefreshToken:` or `bbRefreshToken: ''`."""
        return self.shape is Shape.NOTHING or (self.shape is Shape.TEXT and not self.text)


@frozen
class Given:
    """What was given for one key."""

    written: Written
    label: str = ""  # the key as it was written; empty where the place names it already
    in_file: bool = False  # the text names a file that holds the value

    def where(self, part: Written | None = None) -> str:
        """Begins every message about the value, or about *part* of it."""
        place = (part or self.written).place
        return f"{place}: {self.label}" if self.label else place
