"""`probo-bitbucket pull-requests`: each with its newest build, and one with all of its builds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from probo_bitbucket.cli.daemon import daemon
from probo_bitbucket.cli.lists import after_option, failed_option, outcome, print_page, search_option, short, target
from probo_bitbucket.cli.options import settings_files
from probo_bitbucket.cli.screen import as_json, print_json, print_table, time


@click.group(invoke_without_command=True)
@settings_files
@as_json
@failed_option
@search_option
@after_option
@click.pass_context
def pull_requests(
    context: click.Context,
    *,
    files: tuple[Path, ...],
    in_json: bool,
    failed: bool,
    search: str | None,
    after: str | None,
) -> None:
    """Show the pull requests with their newest builds, the latest first. `show` lists all builds of one."""
    if context.invoked_subcommand:
        return
    page = daemon(files).get("/api/pull-requests", failed=failed or None, q=search, after=after)
    if in_json:
        print_json(page)
    else:
        print_page(page, ("WHERE", "STATE", "BUILD", "OUTCOME", "CHANGED", "TITLE"), _row, "No pull requests.")


def _row(each: dict[str, Any]) -> Sequence[object]:
    return (
        target(each),
        (each["pull_request_state"] or "").lower(),
        short(each["id"]),
        outcome(each),
        time(each["changed_at"]),
        each["title"],
    )


@pull_requests.command("show")
@settings_files
@as_json
@after_option
@click.argument("name", metavar="WORKSPACE/REPOSITORY#NUMBER")
def show_pull_request(*, files: tuple[Path, ...], in_json: bool, after: str | None, name: str) -> None:
    """Show a pull request with its builds, the latest first."""
    repository, _, number = name.partition("#")
    told = daemon(files).get(f"/api/pull-requests/{quote(repository)}/{quote(number or '-', safe='')}", after=after)
    if in_json:
        print_json(told)
        return
    newest = told["newest"]
    facts = (
        ("Pull request", target(newest)),
        ("Title", newest["title"]),
        ("Branch", newest["branch"]),
        ("Author", newest["author"]),
        ("State", (newest["pull_request_state"] or "").lower()),
        ("On Bitbucket", newest["url"]),
    )
    print_table((), facts, "")
    print_page(told["builds"], ("BUILD", "WANTED", "COMMIT", "OUTCOME", "WHY"), _build, "No builds.")


def _build(each: dict[str, Any]) -> Sequence[object]:
    return (short(each["id"]), time(each["created_at"]), short(each["commit"]), outcome(each), each["reason"])
