"""What commands print: tables for people, JSON for programs, and a sign of life while something takes long."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from probo_bitbucket.cli.options import with_settings
from probo_bitbucket.logs import escape

# What is copied from a table stays in one line: the other columns get narrower.
_WHOLE = {"ID", "BUILD", "COMMIT", "NAME"}

GRADES = {"ok": "green", "warning": "yellow", "wrong": "red"}
_WIDE = 10_000  # columns of what is no terminal: a program shall find each row in one line

as_json = click.option("--json", "in_json", is_flag=True, help="Print JSON, for programs.")


def print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(titles: Sequence[str], rows: Iterable[Sequence[object]], nothing: str) -> None:
    """Print *rows* below *titles*, if there are any; or *nothing* where there are no rows."""
    table = Table(box=None, pad_edge=False, show_header=bool(titles), header_style="bold", padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(title, overflow="fold", no_wrap=title in _WHOLE)
    for row in rows:
        table.add_row(*map(_cell, row))
    if not table.row_count:
        click.echo(nothing)
        return
    console = _console()
    with console.capture() as shown:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in shown.get().splitlines()))


def _cell(value: object) -> Text:
    """Titles and errors are written by strangers: they must not act on the terminal."""
    text = "" if value is None else escape(str(value))
    return Text(text, style=GRADES.get(text, ""))


def time(seconds: float | None) -> str:
    """A time of the store, as the clock on the wall here shows it."""
    return "" if seconds is None else datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def moment(at: float | None, since: float) -> str:
    """A time of a story, and how long after its beginning that is, as the dashboard has it; empty where it is none."""
    from probo_bitbucket.web.wording import span

    if at is None:
        return ""
    return f"{time(at)} after {span(at - since)}" if at >= since else time(at)


def in_words(verdict: dict[str, Any]) -> str:
    """What was found, and what to do about it."""
    return f"{verdict['what']} → {with_settings(verdict['advice'])}" if verdict["advice"] else str(verdict["what"])


def end(verdicts: Iterable[dict[str, Any]]) -> NoReturn:
    """End with status 1 where something is wrong."""
    sys.exit(int(any(verdict["grade"] == "wrong" for verdict in verdicts)))


def waiting(words: str) -> AbstractContextManager[object]:
    """Shows *words* and that time goes by, on a terminal; not in what is printed."""
    return Console(stderr=True).status(words)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else _WIDE, soft_wrap=False, highlight=False)
