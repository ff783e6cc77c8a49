"""The log for people: one line an event, with only the fields that were meant for it, and never a secret.

    2026-11-22T10:00:00.123Z info  build.started The build was started repository=acme/site pull_request=7

The name comes from the event's own field `event`, or else from the module that logs. A traceback follows its line,
indented; so whatever begins with a time in the first column begins an entry, and nothing else does.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from threading import Lock
from urllib.parse import quote

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from zope.interface import implementer

from probo_bitbucket.floods import Floods

HIDDEN = "‹hidden›"

# What a line may tell, in this order. An event can carry more, whole documents and tokens even: none of that is shown.
FIELDS = (
    "account", "delivery", "ending_delivery", "request", "event_key", "repository", "pull_request", "branch", "commit",
    "build", "context", "key", "state", "command", "client", "method", "path", "upstream", "status", "step", "work",
    "attempt", "retry_at", "seconds", "count", "file", "reason",
)  # fmt: skip

# They announce every connection that is made, every one that its client left open, and each of our ports: that has a
# line of its own, with its address.
_NOISE = ("Starting factory", "Stopping factory", "Timing out client", "BoundedSite starting on")

_LEVELS = {"trace": LogLevel.debug, "fatal": LogLevel.critical}  # the Node handlers' names for these; the others agree

_PASSING_SECRETS = 50  # of one account; access tokens live for two hours, and are not renewed so often in that time
_SHORT = 5  # characters; hidden wherever it occurs, a shorter secret would blank out parts of other words
_LONG = 16  # characters; what is shorter, such as a webhook's secret, can be a word that a text has by chance


class Secrets:
    """Texts that must not be shown, as they are or as they look in a URL or in a log line. For several threads."""

    def __init__(self) -> None:
        self._hiding = Lock()
        self._lasting: set[str] = set()
        self._passing: defaultdict[str, deque[str]] = defaultdict(partial(deque, maxlen=_PASSING_SECRETS))
        self._spellings: list[str] = []
        self._short: re.Pattern[str] | None = None

    def hide(self, secret: str, *, of: str = "") -> None:
        """Never show *secret* again. *Of* an account, it is forgotten when many newer ones of the same one came."""
        with self._hiding:
            self._hide(secret, of)

    def _hide(self, secret: str, of: str) -> None:
        if not secret or secret in self._lasting or secret in self._passing[of]:
            return
        if of:
            self._passing[of].append(secret)
        else:
            self._lasting.add(secret)
        known = {*self._lasting, *(secret for passing in self._passing.values() for secret in passing)}
        spellings = {spelling for text in known for spelling in _spellings(text)}
        ordered = sorted(spellings, key=len, reverse=True)  # one secret can be a part of another
        self._spellings = [spelling for spelling in ordered if len(spelling) >= _SHORT]
        self._short = _alone([spelling for spelling in ordered if len(spelling) < _SHORT])

    def redact(self, text: str) -> str:
        for spelling in self._spellings:
            text = text.replace(spelling, HIDDEN)
        return self._short.sub(HIDDEN, text) if self._short else text

    def redact_tokens(self, text: str) -> str:
        """*text* of others, for people who are to read it, without what is too long to be one of its words."""
        for spelling in self._spellings:
            if len(spelling) < _LONG:
                break  # the longest are first
            text = text.replace(spelling, HIDDEN)
        return text


def _spellings(secret: str) -> tuple[str, ...]:
    return secret, quote(secret, safe=""), escape(secret), escape(_backslashed(secret))


def _alone(texts: list[str]) -> re.Pattern[str] | None:
    """Finds *texts* where they are no part of a longer word."""
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, texts))})(?!\w)") if texts else None


def escape(text: str) -> str:
    """Write line breaks, control characters and whatever else a terminal might act on as Python would."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


_PLAIN = re.compile(r'[^ "=]+')


def _quoted(text: str) -> str:
    """Give *text* quotes where a reader could not tell where it ends."""
    if _PLAIN.fullmatch(text):
        return text
    return f'"{_backslashed(text)}"'


def _backslashed(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


_OURS = "probo_bitbucket."


def name_of(event: LogEvent) -> str:
    """The event's own name, or that of the module of ours that logs; one for all that Twisted says by itself."""
    name: str = event.get("event") or event["log_namespace"]
    if "event" in event or name.startswith(_OURS):
        return name.removeprefix(_OURS)
    return "twisted.failed" if event.get("log_failure") is not None else "twisted"


def fields_of(event: LogEvent) -> dict[str, object]:
    """What a line may tell of *event*."""
    return {field: value for field in FIELDS if (value := event.get(field)) is not None}


def _fields(event: LogEvent) -> Iterator[str]:
    for field, value in fields_of(event).items():
        yield f"{field}={_quoted(str(value))}"


def _traceback(event: LogEvent) -> Iterator[str]:
    if (failure := event.get("log_failure")) is not None:
        for line in failure.getTraceback().splitlines():
            yield f"    {escape(line)}"


def time_of(event: LogEvent) -> str:
    """When it happened: `2026-11-22T10:00:00.123Z`."""
    return datetime.fromtimestamp(event["log_time"], UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def format_event(event: LogEvent) -> str:
    """Return the lines of *event*, each with its line end, and without secrets."""
    level = event.get("log_level", LogLevel.info).name
    line = " ".join((time_of(event), f"{level:<5}", name_of(event), formatEvent(event), *_fields(event)))
    return secrets.redact("\n".join((escape(line), *_traceback(event), "")))


secrets = Secrets()
hide = secrets.hide
redact = secrets.redact
redact_tokens = secrets.redact_tokens


@implementer(ILogObserver)
class LineObserver:
    """Gives every event of *level*, a name of the settings, and above to *write*, in a *form* without secrets.

    Of those that strangers cause, one in a while and the number of the others.
    """

    def __init__(
        self, write: Callable[[bytes], object], level: str, form: Callable[[LogEvent], str] = format_event
    ) -> None:
        self._floods = Floods()
        self.use(write, level, form)

    def use(self, write: Callable[[bytes], object], level: str, form: Callable[[LogEvent], str]) -> None:
        """Do so from now on."""
        self._write = write
        self._form = form
        self._level = _LEVELS.get(level) or LogLevel.levelWithName(level)

    def __call__(self, event: LogEvent) -> None:
        if event.get("log_level", LogLevel.info) < self._level or _is_noise(event):
            return
        for told in self._floods.thinned(event):
            # A lone surrogate, out of a file name or out of JSON, cannot be encoded.
            self._write(self._form(told).encode("utf-8", "backslashreplace"))


def _is_noise(event: LogEvent) -> bool:
    return (event.get("log_text") or event.get("log_format") or "").startswith(_NOISE)  # the first is the old logging's
