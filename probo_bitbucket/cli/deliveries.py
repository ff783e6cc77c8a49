"""`probo-bitbucket deliveries`: what came in, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from probo_bitbucket.cli.builds import print_build, print_ended, print_ended_strangers
from probo_bitbucket.cli.daemon import daemon
from probo_bitbucket.cli.lists import (
    after_option,
    failed_option,
    id_argument,
    outcome,
    print_happenings,
    print_page,
    search_option,
    target,
    tries,
)
from probo_bitbucket.cli.options import settings_files
from probo_bitbucket.cli.screen import as_json, moment, print_json, print_table, time


@click.group(invoke_without_command=True)
@settings_files
@as_json
@failed_option
@click.option("--all", "noise", is_flag=True, help="Also those that bring nothing: build statuses and probes.")
@search_option
@after_option
@click.pass_context
def deliveries(
    context: click.Context,
    *,
    files: tuple[Path, ...],
    in_json: bool,
    failed: bool,
    noise: bool,
    search: str | None,
    after: str | None,
) -> None:
    """Show what came in, the latest first. `show` tells the story of one, `replay` has it decided anew."""
    if context.invoked_subcommand:
        return
    page = daemon(files).get("/api/deliveries", failed=failed or None, all=noise or None, q=search, after=after)
    if in_json:
        print_json(page)
    else:
        print_page(page, ("ID", "RECEIVED", "EVENT", "WHERE", "STATE", "WHAT"), _row, "No deliveries.")


def _row(each: dict[str, Any]) -> Sequence[object]:
    return (
        each["id"],
        time(each["received_at"]),
        each["event_key"],
        target(each),
        outcome(each) or each["state"],
        ": ".join(filter(None, (each["title"], each["reason"]))),
    )


@deliveries.command("show")
@settings_files
@as_json
@id_argument
def show_delivery(*, files: tuple[Path, ...], in_json: bool, id_: str) -> None:
    """Tell the story of a delivery, up to the last status of its build."""
    told = daemon(files).get(f"/api/deliveries/{quote(id_, safe='')}")
    if in_json:
        print_json(told)
        return
    delivery = told["delivery"]
    print_table((), filter(itemgetter(1), _story_of_delivery(delivery, told["headers"])), "")
    print_happenings(told["happenings"])
    if told["build"]:
        click.echo()
        print_build(told["build"])
    if told["ended"]:
        print_ended(told["ended"])
    if told["ended_strangers"]:
        print_ended_strangers(told["ended_strangers"])


@deliveries.command()
@settings_files
@id_argument
def replay(*, files: tuple[Path, ...], id_: str) -> None:
    """Have a delivery decided anew, as if it had just come in."""
    daemon(files).post(f"/api/deliveries/{quote(id_, safe='')}/send-again")
    click.echo(f"{id_}: is decided anew")


def _story_of_delivery(delivery: dict[str, Any], headers: dict[str, str]) -> Iterator[tuple[str, str]]:
    yield "Delivery", str(delivery["id"])
    yield "Received", time(delivery["received_at"])
    yield "Event", delivery["event_key"]
    yield "Where", target(delivery)
    yield "State", delivery["state"]
    yield "Why", delivery["reason"]
    yield "Decided", moment(delivery["decided_at"], delivery["received_at"])
    yield "Tries", tries(delivery["tries"])
    yield from headers.items()
