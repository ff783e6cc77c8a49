"""What the commands that list something have in common: options, columns, and pages of a list."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from probo_bitbucket.cli.screen import print_table, time

id_argument = click.argument("id_", metavar="ID")
build_argument = click.argument("name", metavar="BUILD")
failed_option = click.option("--failed", is_flag=True, help="Only what was given up on or went wrong.")
search_option = click.option("-q", "--search", help="acme/site, acme/site#7, #7, a commit, a build's id, or words.")
after_option = click.option("--after", help="Begin where the page before ended.")


def target(line: dict[str, Any]) -> str:
    """The pull request, or the repository, of a line."""
    number = line["pull_request"]
    return f"{line['repository']}#{number}" if number is not None else str(line["repository"])


def short(id: str) -> str:
    """As much of a build's id or a commit as fits beside the rest on a terminal: commands take it for the whole."""
    return id[:8] if sys.stdout.isatty() else id


def outcome(line: dict[str, Any]) -> str:
    """The outcome of a line's build in the words of the dashboard; empty where there is none."""
    told = line["outcome"] or ""
    return "taken down" if told == "removed" else str(told)


def tries(taken: dict[str, Any]) -> str:
    """How many, and the last trouble among them."""
    return f"{taken['count']}, {taken['trouble']}" if taken["trouble"] else str(taken["count"])


def print_happenings(happenings: list[dict[str, Any]]) -> None:
    """What work went through before it was done, in the order of time."""
    rows = [
        (time(each["at"]), time(each["until"]), each["times"], each["key"] or each["work"], each["words"])
        for each in happenings
    ]
    if rows:
        click.echo()
        print_table(("HAPPENED", "UNTIL", "TIMES", "TO", "WHAT"), rows, "")


def print_page(
    page: dict[str, Any], titles: Sequence[str], row: Callable[[dict[str, Any]], Sequence[object]], nothing: str
) -> None:
    """One page of a list, each item as *row* has it, and where the list goes on."""
    print_table(titles, map(row, page["items"]), nothing)
    if page["after"]:
        click.echo(f"There are more: --after {page['after']}", err=True)
