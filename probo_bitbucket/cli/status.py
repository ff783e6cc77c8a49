"""`probo-bitbucket status`: how everything is now, as the daemon tells it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from probo_bitbucket.cli.daemon import daemon
from probo_bitbucket.cli.options import settings_files
from probo_bitbucket.cli.screen import as_json, print_json, print_table, time


@click.command()
@settings_files
@as_json
def status(*, files: tuple[Path, ...], in_json: bool) -> None:
    """Show how everything is now. Ends with status 1 while something stands in the way."""
    from probo_bitbucket.flow.oversight.glance import queue_name

    now = daemon(files).get("/api/status")
    if in_json:
        print_json(now)
    else:
        findings = [(_grade(each), each["subject"], each["trouble"]) for each in now["findings"]]
        print_table((), [*findings, *(("warning", each["subject"], each["trouble"]) for each in now["warnings"])], "")
        click.echo()
        waiting = (
            (queue_name(each["work"]), each["waiting"], time(each["oldest_at"]), each["given_up"])
            for each in now["queues"]
        )
        print_table(("QUEUE", "WAITING", "SINCE", "GIVEN UP"), waiting, "The queues cannot be read.")
        click.echo()
        budgets = ((each["consumer"], f"{each['left']} of {each['limit']}") for each in now["budgets"])
        print_table(("CONSUMER", "REQUESTS LEFT THIS HOUR"), budgets, "No requests were made to Bitbucket.")
        click.echo(f"\nVersion {now['version']}, running since {time(now['started_at'])}")
    sys.exit(int(not now["ok"]))


def _grade(finding: dict[str, Any]) -> str:
    return "wrong" if finding["trouble"] else "ok"
