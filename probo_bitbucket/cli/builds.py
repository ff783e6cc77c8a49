"""`probo-bitbucket builds`: what is built, and how far it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from probo_bitbucket.cli.daemon import Daemon, daemon
from probo_bitbucket.cli.lists import (
    after_option,
    build_argument,
    failed_option,
    outcome,
    print_happenings,
    print_page,
    search_option,
    short,
    target,
    tries,
)
from probo_bitbucket.cli.options import settings_files
from probo_bitbucket.cli.screen import as_json, moment, print_json, print_table, time


@click.group(invoke_without_command=True)
@settings_files
@as_json
@failed_option
@search_option
@after_option
@click.pass_context
def builds(
    context: click.Context,
    *,
    files: tuple[Path, ...],
    in_json: bool,
    failed: bool,
    search: str | None,
    after: str | None,
) -> None:
    """Show the builds, the latest first.

    `show`, `rebuild` and `take-down` take a build's id or the first 6 characters of it, or the first 7 of a commit: its
    newest build.
    """
    if context.invoked_subcommand:
        return
    page = daemon(files).get("/api/builds", failed=failed or None, q=search, after=after)
    if in_json:
        print_json(page)
    else:
        print_page(page, ("ID", "WANTED", "WHERE", "COMMIT", "OUTCOME", "WHAT"), _row, "No builds.")


def _row(each: dict[str, Any]) -> Sequence[object]:
    return (
        short(each["id"]),
        time(each["created_at"]),
        target(each),
        short(each["commit"]),
        outcome(each),
        each["reason"] or each["title"],
    )


@builds.command("show")
@settings_files
@as_json
@build_argument
def show_build(*, files: tuple[Path, ...], in_json: bool, name: str) -> None:
    """Tell the story of a build, with its steps."""
    told = _named(daemon(files), name)
    if in_json:
        print_json(told)
    else:
        print_build(told)


@builds.command()
@settings_files
@build_argument
def rebuild(*, files: tuple[Path, ...], name: str) -> None:
    """Start a new build of the commit of this one."""
    ours = daemon(files)
    id = _named(ours, name)["build"]["id"]
    made = ours.post(f"/api/builds/{quote(id, safe='')}/rebuild")["build"]
    click.echo(f"{id}: is built anew as {made}")


@builds.command()
@settings_files
@build_argument
def take_down(*, files: tuple[Path, ...], name: str) -> None:
    """Have no more of a build: it is not started, or its environment is taken down."""
    ours = daemon(files)
    id = _named(ours, name)["build"]["id"]
    ours.post(f"/api/builds/{quote(id, safe='')}/take-down")
    click.echo(f"{id}: is taken down")


def _named(ours: Daemon, name: str) -> Any:
    """The story of a build. Raises ClickException."""
    return ours.get(f"/api/builds/{quote(name, safe='')}")


def print_build(story: dict[str, Any]) -> None:
    """The story of a build, and its steps."""
    build = story["build"]
    print_table((), filter(itemgetter(1), _story_of_build(build)), "")
    print_happenings(story["happenings"])
    click.echo()
    print_table(
        ("STEP", "STATE", "BEGAN", "REPORTED", "WHAT", "TRIES"),
        map(partial(_step, build["created_at"]), build["statuses"]),
        "No statuses.",
    )


def print_ended(builds: list[dict[str, Any]]) -> None:
    """The builds that a delivery has ended, and how far that is."""
    rows = ((short(each["id"]), short(each["commit"]), outcome(each), _going(each), each["reason"]) for each in builds)
    click.echo()
    print_table(("ENDED BUILD", "COMMIT", "OUTCOME", "TAKEN DOWN", "WHY"), rows, "")


def print_ended_strangers(strangers: list[dict[str, Any]]) -> None:
    """The builds that a delivery has ended and that are not known here, with their whole ids: no list has them."""
    rows = ((each["id"], _going(each), each["removal"]["words"]) for each in strangers)
    click.echo()
    print_table(("ENDED BUILD (NOT KNOWN HERE)", "TAKEN DOWN", "WHY"), rows, "")


def _going(build: dict[str, Any]) -> str:
    """When the environment of a build that is not wanted was taken down."""
    removal = build["removal"]
    if removal is None:
        return "was not started"
    return "given up" if removal["failed"] else time(removal["done_at"]) or "not yet"


def _step(since: float, status: dict[str, Any]) -> tuple[str, ...]:
    reported = (moment(status["reported_at"], since) or "not yet") if status["shown"] else "a later build is shown"
    began = moment(status["began_at"], since)
    return status["context"], status["state"], began, reported, status["description"], tries(status["tries"])


def _environment(build: dict[str, Any]) -> str:
    """Where the environment is to be seen; empty where it is not."""
    shown = (status["url"] for status in build["statuses"] if status["context"].endswith("/env"))
    return next(shown, "") if build["stands"] and build["outcome"] == "succeeded" else ""


def _story_of_build(build: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Build", build["id"]
    yield "Where", f"{target(build)} {build['branch']} {build['commit']}"
    yield "Title", build["title"]
    yield "Outcome", outcome(build)
    yield "Environment", _environment(build)
    yield "On Bitbucket", build["url"]
    yield "Why", build["reason"]
    yield "Wanted", time(build["created_at"])
    yield "Asked for by", build["origin"]
    yield "Configuration read", moment(build["configured_at"], build["created_at"])
    yield "Started", moment(build["started_at"], build["created_at"])
    yield "Tries", tries(build["tries"])
    if removal := build["removal"]:
        yield "To be taken down", f"{time(removal['wanted_at'])}, {removal['words']}"
        yield "Taken down", _going(build)
        yield "Tries to take it down", tries(removal["tries"])
    yield "Ended by", build["ended_by"]
