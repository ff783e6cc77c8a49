"""Canaries: secrets that can be recognised, and the places where they must not be heard.

Every secret in a test has MARK in it: those that a test writes down are made with `canary`, and those that the
simulators and the handler make up come from `recognisable`.
"""

from __future__ import annotations

import base64
import gc
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from twisted.logger import globalLogPublisher

from probo_bitbucket import logs
from probo_bitbucket.config import Settings
from probo_bitbucket.config.secrets import secrets_of
from probo_bitbucket.flow import setup
from probo_bitbucket.log_file import LogFile
from probo_bitbucket.log_output import FORMS
from probo_bitbucket.sandbox import credentials, stage
from probo_bitbucket.store import hooks, house
from probo_bitbucket.web import sessions

if TYPE_CHECKING:
    from pathlib import Path

    from tests.staged import StageTestCase

MARK = "c4n4ry"


def _spellings() -> Iterator[str]:
    """MARK, and what is left of it in Base64, where it can begin at three places of a group."""
    yield MARK
    for before in range(3):
        packed = base64.b64encode(b"x" * before + MARK.encode()).decode()
        yield packed[-(-8 * before // 6) : 8 * (before + len(MARK)) // 6]


_SONG = re.compile("|".join(_spellings()))

# The columns that secrets belong in. The house has the key that handles are signed with, and an update of another
# handler's has that one's tokens until it is passed on.
KEPT_IN: Mapping[str, tuple[str, ...]] = {
    "chains": ("refresh_token", "access_token"),
    "hand_ons": ("held",),
    "consumers": ("secret",),
    "hook_secrets": ("secret",),
    "house": ("value",),
    "forwarded": ("body",),
}


def canary(name: str) -> str:
    """A secret for a test."""
    return f"{MARK}-{name}"


def recognisable() -> None:
    """Let every secret have MARK in it that the simulators or the handler make up from now on."""
    marked: Any = SimpleNamespace(
        token_urlsafe=lambda size: canary(secrets.token_urlsafe(size)),
        # At its end: the beginning of one of them is no secret (see flow.trail).
        token_hex=lambda size: f"{secrets.token_hex(size)[: -len(MARK)]}{MARK}",
    )
    stage.SECRET, stage.HOOK_SECRET = canary("consumer-secret"), canary("hook-secret")
    vars(credentials)["secrets"] = marked  # codes, access tokens and refresh tokens
    vars(setup)["secrets"] = marked  # codes that open the set-up page
    vars(hooks)["random"] = marked  # webhooks' secrets
    vars(sessions)["secrets"] = marked  # cookies, tokens of the set-up page's forms, and `state`
    vars(house)["secrets"] = marked  # the key that handles are signed with, and the token of our own pages' forms


def songs(text: str) -> list[str]:
    """Where a canary sings in *text*, as it is or in Base64."""
    return [text[max(found.start() - 80, 0) : found.end() + 40] for found in _SONG.finditer(text)]


def shown(table: str, columns: Iterable[str], row: Iterable[object]) -> str:
    """A row of the store, without what stands in columns that secrets belong in."""
    values = {name: value for name, value in zip(columns, row, strict=True) if name not in KEPT_IN.get(table, ())}
    return f"{table}: {values}"


def keep_log(test: StageTestCase) -> Path:
    """The file that has the log of a test, at its finest level, in every form."""
    path = test.folder / "logs" / "bitbucket.log"
    for form in FORMS.values():
        observer = logs.LineObserver(LogFile(path).write, "trace", form)
        globalLogPublisher.addObserver(observer)
        test.addCleanup(globalLogPublisher.removeObserver, observer)
    return path


def forget_secrets_at_starts(test: StageTestCase) -> None:
    """Let a handler that is started know no secret but those of its settings, as a new process does."""
    start = test.stage.start_handler

    def start_handler() -> None:
        logs.secrets.__init__()  # type: ignore[misc]
        for secret in secrets_of(test.stage.settings()):
            logs.hide(secret)
        start()

    test.patch(test.stage, "start_handler", start_handler)


def reprs() -> Iterator[str]:
    """The repr and the text of every object of the handler that is alive."""
    gc.collect()
    seen = set()
    for thing in gc.get_objects():
        kind = type(thing)
        if str(kind.__module__).startswith("probo_bitbucket.") and ".sandbox" not in kind.__module__:
            seen.add(kind)
            yield f"{kind.__name__}: {thing!r} {thing}"
    assert Settings in seen
