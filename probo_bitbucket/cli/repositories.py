"""`probo-bitbucket repositories`: those that sent a delivery or had a build."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from probo_bitbucket.cli.daemon import daemon
from probo_bitbucket.cli.lists import after_option, outcome, print_page
from probo_bitbucket.cli.options import settings_files
from probo_bitbucket.cli.screen import as_json, print_json, time


@click.command()
@settings_files
@as_json
@click.option("-q", "--search", help="Part of a name.")
@after_option
def repositories(*, files: tuple[Path, ...], in_json: bool, search: str | None, after: str | None) -> None:
    """Show the repositories with their last delivery and build, and the last that is known of their webhooks."""
    page = daemon(files).get("/api/repositories", q=search, after=after)
    if in_json:
        print_json(page)
    else:
        print_page(page, ("REPOSITORY", "DELIVERED", "BUILT", "OUTCOME", "WEBHOOK"), _row, "No repositories.")


def _row(each: dict[str, Any]) -> Sequence[object]:
    return (
        each["repository"],
        time(each["delivered_at"]),
        time(each["built_at"]),
        outcome(each),
        _hook(each["hook"]),
    )


def _hook(report: dict[str, Any] | None) -> str:
    return f"{report['grade']}: {report['what']}" if report else "unknown yet"
