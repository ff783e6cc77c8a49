"""`probo-bitbucket hooks`: webhooks in Bitbucket, looked after by the daemon that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from probo_bitbucket.cli.daemon import daemon
from probo_bitbucket.cli.options import settings_files
from probo_bitbucket.cli.screen import as_json, end, in_words, print_json, print_table, time, waiting

_places = click.argument("places", nargs=-1, required=True, metavar="WORKSPACE[/REPOSITORY]…")
_any_places = click.argument("places", nargs=-1, metavar="[WORKSPACE[/REPOSITORY]…]")


@click.group()
def hooks() -> None:
    """Make, list, mend, remove and test the webhooks in Bitbucket.

    The settings' publicUrl says where they lead. Their secret is made and kept by the daemon: there is nothing to copy.
    The daemon must run, and its credentials need the permission "Webhooks: Read and write".
    """


@hooks.command("list")
@settings_files
@as_json
@_any_places
def list_hooks(*, files: tuple[Path, ...], in_json: bool, places: tuple[str, ...]) -> None:
    """Show webhooks beside what they should be, and when they last delivered.

    Without places: all that were made here, that the settings name, and where something was built.
    """
    with waiting("Asking Bitbucket …"):
        found = daemon(files).get("/api/hooks", place=places)
    if in_json:
        print_json(found)
    else:
        rows = (
            (each["place"], each["grade"], time(each["last_delivery"]), each["url"] or "none", in_words(each))
            for each in found["hooks"]
        )
        titles = ("WHERE", "", "LAST DELIVERY", "URL", "WHAT")
        print_table(titles, rows, "No webhooks are known. `hooks add` makes some.")
        if any(each["url"] != found["url"] for each in found["hooks"]) and found["url"]:
            click.echo(f"\nThe URL should be {found['url']}", err=True)
    end(found["hooks"])


@hooks.command()
@settings_files
@as_json
@_places
def add(*, files: tuple[Path, ...], in_json: bool, places: tuple[str, ...]) -> None:
    """Make webhooks of repositories, or of a workspace for all its repositories. Mends those that are there."""
    _change(files, in_json, "add", places=places)


@hooks.command()
@settings_files
@as_json
@click.option("--new-secret", is_flag=True, help="Give them another secret. The old one is good until all have it.")
@_any_places
def repair(*, files: tuple[Path, ...], in_json: bool, new_secret: bool, places: tuple[str, ...]) -> None:
    """Make webhooks what they should be. Without places: all that were made here."""
    _change(files, in_json, "repair", places=places, new_secret=new_secret)


@hooks.command()
@settings_files
@as_json
@_places
def remove(*, files: tuple[Path, ...], in_json: bool, places: tuple[str, ...]) -> None:
    """Remove the webhooks that lead to this daemon."""
    _change(files, in_json, "remove", places=places)


@hooks.command()
@settings_files
@as_json
@click.argument("repositories", nargs=-1, required=True, metavar="WORKSPACE/REPOSITORY…")
def test(*, files: tuple[Path, ...], in_json: bool, repositories: tuple[str, ...]) -> None:
    """Prove that webhooks work, all the way.

    Posts a build status to the newest commit of the default branch, and waits until Bitbucket's delivery of it is in
    the database: 30 seconds at most. The status stays there, as a success.
    """
    ours, verdicts = daemon(files), []
    for repository in repositories:
        with waiting(f"{repository}: waiting for Bitbucket to deliver …"):
            verdicts.append(ours.post("/api/hooks/test", repository=repository))
    if in_json:
        print_json(verdicts)
    else:
        print_table(("WHERE", "", "WHAT"), ((each["subject"], each["grade"], in_words(each)) for each in verdicts), "")
    end(verdicts)


def _change(files: tuple[Path, ...], in_json: bool, what: str, **wishes: Any) -> None:
    with waiting("Asking Bitbucket …"):
        reports = daemon(files).post(f"/api/hooks/{what}", **wishes)["hooks"]
    if in_json:
        print_json(reports)
    else:
        rows = ((each["place"], each["grade"], in_words(each)) for each in reports)
        print_table(("WHERE", "", "WHAT"), rows, "No webhooks were made here. `hooks add` makes some.")
    end(reports)
