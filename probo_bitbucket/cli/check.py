"""`probo-bitbucket check`: everything that has to work together, one line each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from probo_bitbucket.cli.daemon import Daemon, NoDaemon, NotLetIn
from probo_bitbucket.cli.options import settings_files, whereabouts
from probo_bitbucket.cli.screen import as_json, end, in_words, print_json, print_table, waiting

if TYPE_CHECKING:
    from probo_bitbucket.config import Settings, Whereabouts


@click.command()
@settings_files
@as_json
def check(*, files: tuple[Path, ...], in_json: bool) -> None:
    """Look at everything that has to work together, and say what to do.

    Settings, files, store, Bitbucket, clock, credentials and their scopes, Container Manager, public URL, webhooks.
    Where a daemon runs, it looks itself; else this command does, with the same credentials, as another node would.
    Ends with status 1 if something is wrong.
    """
    with waiting("Looking …"):
        verdicts = _verdicts(files)
    if in_json:
        print_json(verdicts)
    else:
        print_table((), ((each["grade"], each["subject"], in_words(each)) for each in verdicts), "")
    end(verdicts)


def _verdicts(files: tuple[Path, ...]) -> list[dict[str, Any]]:
    from attrs import asdict

    from probo_bitbucket import checkup, config

    try:
        settings = config.load(files, os.environ, {})
    except config.SettingsError as error:
        if error.elsewhere:
            return _seen_by_the_daemon(files, error.problems)
        advice = "the daemon does not start" if files else "give the daemon's settings with -c"
        return [_verdict("settings", "wrong", problem, advice) for problem in error.problems]
    return [*map(asdict, checkup.look_at_files(settings, files)), *_rest(settings)]


def _seen_by_the_daemon(files: tuple[Path, ...], problems: Sequence[str]) -> list[dict[str, Any]]:
    """What the daemon tells, where nobody else can read all of the settings."""
    try:
        told = _told(whereabouts(files))
    except (NoDaemon, NotLetIn) as error:
        unread = [
            _verdict("settings", "warning", problem, "start the daemon, which looks itself") for problem in problems
        ]
        return [*unread, _verdict("daemon", "wrong", error.message)]
    return [_verdict("settings", "ok", "only the daemon can read all secrets, which systemd gives it"), *told]


def _told(daemon: Whereabouts) -> list[dict[str, Any]]:
    return [_verdict("daemon", "ok", "answers"), *Daemon(daemon).post("/api/check")["verdicts"]]


def _rest(settings: Settings) -> list[dict[str, Any]]:
    """What the daemon tells, or what is found without it."""
    from attrs import asdict

    from probo_bitbucket import checkup

    try:
        return _told(settings)
    except NoDaemon as error:
        told = _verdict("daemon", "warning", error.message, "")
    except NotLetIn as error:
        told = _verdict("daemon", "wrong", error.message, "")
    return [told, *map(asdict, checkup.look_alone(settings))]


def _verdict(subject: str, grade: str, what: str, advice: str = "") -> dict[str, Any]:
    return {"subject": subject, "grade": grade, "what": what, "advice": advice}
