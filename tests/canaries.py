"""Canaries: secrets that can be recognised, and the places where they must not be heard.

Every secret in a test has MARK in it: those that a test writes down are made with `canary`, and those that the
simulators and the handler make up come from `recognisable`. A test with another one fails, unless it is marked with
`silent_secret` and why.
"""

from __future__ import annotations

import base64
import gc
import os
import re
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import attrs
from twisted.logger import globalLogPublisher

from probo_bitbucket import logs
from probo_bitbucket.config import Settings
from probo_bitbucket.config.secrets import secrets_of
from probo_bitbucket.config.written import Written
from probo_bitbucket.flow.credentials import setup
from probo_bitbucket.log_file import LogFile
from probo_bitbucket.log_output import FORMS
from probo_bitbucket.sandbox import credentials, stage
from probo_bitbucket.store import hooks, house
from probo_bitbucket.web import sessions

if TYPE_CHECKING:
    from tests.staged import StageTestCase

ROOT = Path(__file__).parent.parent
MARK = "c4n4ry"


def _spellings(text: str) -> Iterator[str]:
    """*text*, and what is left of it in Base64, where it can begin at three places of a group."""
    yield text
    for before in range(3):
        packed = base64.b64encode(b"x" * before + text.encode()).decode()
        yield packed[-(-8 * before // 6) : 8 * (before + len(text)) // 6]


# A sandbox that is a process of its own has secrets that are always the same.
_SUNG = (MARK, stage.SECRET, stage.HOOK_SECRET)
_SONG = re.compile("|".join(spelling for text in _SUNG for spelling in _spellings(text)))

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
    """Let every secret have MARK in it that is made up from now on, here and in the processes that are started here."""
    os.environ["PYTHONPATH"] = os.pathsep.join((str(ROOT / "tests" / "marked"), str(ROOT)))
    marked: Any = SimpleNamespace(
        token_urlsafe=lambda size: canary(secrets.token_urlsafe(size)),
        # At its end: the beginning of one of them is no secret (see flow.forwarding.trail).
        token_hex=lambda size: f"{secrets.token_hex(size)[: -len(MARK)]}{MARK}",
    )
    stage.SECRET, stage.HOOK_SECRET = canary("consumer-secret"), canary("hook-secret")
    vars(credentials)["secrets"] = marked  # codes, access tokens and refresh tokens
    vars(setup)["secrets"] = marked  # codes that open the set-up page
    vars(hooks)["random"] = marked  # webhooks' secrets
    vars(sessions)["secrets"] = marked  # cookies, tokens of the set-up page's forms, and `state`
    vars(house)["secrets"] = marked  # the key that handles are signed with, and the token of our own pages' forms


def secretive() -> Iterator[type[Any]]:
    """The classes of the handler and the simulators that keep secrets out of their repr."""
    modules = [vars(module) for name, module in sys.modules.items() if name.startswith("probo_bitbucket.")]
    for kind in {each for module in modules for each in module.values() if isinstance(each, type)} - {Written}:
        ours = kind.__module__.startswith("probo_bitbucket.") and attrs.has(kind)
        if ours and any(map(_holds_texts, attrs.fields(kind))):
            yield kind


def unmarked(texts: Iterable[str]) -> list[str]:
    """Those of *texts* that could not be recognised where they are not to be heard. Of a URL, it is the password."""
    secret = (unquote(urlsplit(text).password or "") if "://" in text else text for text in texts)
    return [text for text in secret if text and not songs(text)]


def hidden(thing: Any) -> Iterator[str]:
    """The texts that *thing*, one of a class that is `secretive`, keeps out of its repr."""
    for field in attrs.fields(type(thing)):
        if _holds_texts(field):
            held = getattr(thing, field.name) or ()
            yield from (held,) if isinstance(held, str) else held


def _holds_texts(field: attrs.Attribute[Any]) -> bool:
    kinds: tuple[Any, ...] = ("str", "str | None", "tuple[str, ...]", "Sequence[str]")  # as they are written
    return field.repr is False and field.type in kinds


def hidden_from_log() -> Iterator[str]:
    """The secrets that the log would not show now."""
    yield from logs.secrets._lasting
    for passing in logs.secrets._passing.values():
        yield from passing


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
