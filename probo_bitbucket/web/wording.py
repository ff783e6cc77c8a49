"""How states and times read on pages: in words and signs, never by a colour alone."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import frozen

from probo_bitbucket import origins
from probo_bitbucket.flow.oversight.verdict import Grade
from probo_bitbucket.model import BuildState, DeliveryState, PullRequestState, StatusState
from probo_bitbucket.store.views.outcome import Outcome

if TYPE_CHECKING:
    from markupsafe import Markup


@frozen
class Badge:
    """*tone* is a class of the style sheet: good, bad, warn, busy or quiet."""

    tone: str
    sign: str
    word: str


_BADGES: dict[tuple[type[StrEnum], str], Badge] = {
    (type(state), state): badge
    for state, badge in (
        (DeliveryState.WAITING, Badge("busy", "…", "waiting")),
        (DeliveryState.ACCEPTED, Badge("good", "✓", "accepted")),
        (DeliveryState.REFUSED, Badge("quiet", "–", "refused")),
        (DeliveryState.IGNORED, Badge("quiet", "–", "ignored")),
        (DeliveryState.FAILED, Badge("bad", "✕", "given up")),
        (PullRequestState.OPEN, Badge("busy", "○", "open")),
        (PullRequestState.MERGED, Badge("good", "✓", "merged")),
        (PullRequestState.DECLINED, Badge("quiet", "✕", "declined")),
        (PullRequestState.SUPERSEDED, Badge("quiet", "–", "superseded")),
        (Outcome.WAITING, Badge("busy", "…", "waiting")),
        (Outcome.RUNNING, Badge("busy", "●", "running")),
        (Outcome.SUCCEEDED, Badge("good", "✓", "succeeded")),
        (Outcome.FAILED, Badge("bad", "✕", "failed")),
        (Outcome.STOPPED, Badge("quiet", "■", "stopped")),
        (Outcome.CANCELLED, Badge("quiet", "–", "cancelled")),
        (Outcome.SKIPPED, Badge("quiet", "–", "skipped")),
        (Outcome.REMOVED, Badge("quiet", "■", "taken down")),
        (Grade.OK, Badge("good", "✓", "fine")),
        (Grade.WARNING, Badge("warn", "!", "look at it")),
        (Grade.WRONG, Badge("bad", "✕", "wrong")),
        (StatusState.INPROGRESS, Badge("busy", "●", "in progress")),
        (StatusState.SUCCESSFUL, Badge("good", "✓", "successful")),
        (StatusState.FAILED, Badge("bad", "✕", "failed")),
        (StatusState.STOPPED, Badge("quiet", "■", "stopped")),
    )
}  # by their types, too: two states of different kinds that read the same are equal

# What a build waits for, or why it is none.
STAGES = {
    BuildState.QUEUED: "wanted",
    BuildState.READY: "configuration read",
    BuildState.STARTING: "sent to the Container Manager",
    BuildState.RUNNING: "started",
    BuildState.ENDED: "ended",
    BuildState.INVALID: "not started: its configuration has to be mended",
    BuildState.REFUSED: "refused by the Container Manager",
    BuildState.SKIPPED: "not wanted by its author",
    BuildState.CANCELLED: "no longer wanted",
    BuildState.REMOVED: "taken down",
    BuildState.FAILED: "given up",
}


def grade(stored: str) -> Grade:
    return Grade(stored)


_REMEDY = re.compile(r"probo-bitbucket hooks (add|repair|remove) (\S+)")


def remedy(advice: str, place: str) -> str:
    """*advice* for the row of *place*, which has a button for what the command line has a command for."""
    found = _REMEDY.fullmatch(advice)
    if found is None:
        return advice
    word = found[1].capitalize()
    return f"press {word}" if found[2] == place else f"press {word} beside {found[2]}"


def linked(origin: str) -> Markup:
    """What had something built or ended, with a link to the delivery in it."""
    from markupsafe import Markup, escape  # Jinja2 brings it, which is imported as late

    number = origins.delivery_of(origin)
    before, words, after = origin.partition(f"delivery {number}")
    link = Markup('<a href="/deliveries/{}">{}</a>').format(number, words) if words else ""
    return escape(before) + link + escape(after)


def badge(state: StrEnum) -> Badge:
    """The badge of a delivery's, pull request's or status' state, or of a build's outcome."""
    return _BADGES[type(state), state]


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def clock(at: float) -> str:
    """22 Nov 2026, 21:46:03"""
    return f"{datetime.fromtimestamp(at, UTC):%-d %b %Y, %H:%M:%S}"


_UNITS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def ago(at: float, now: float) -> str:
    """3 min ago; or in 3 min, for a time that is to come."""
    passed = now - at
    if abs(passed) < 1:
        return "now"
    return f"{_rounded(passed)} ago" if passed > 0 else f"in {_rounded(-passed)}"


def _rounded(seconds: float) -> str:
    size, unit = next((size, unit) for size, unit in _UNITS if seconds >= size)
    return f"{int(seconds / size)} {unit}"


def span(seconds: float) -> str:
    """42 ms, 1.3 s, 75 s, 12 min"""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else _rounded(seconds)
