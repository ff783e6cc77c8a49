"""The command `build`: has something built that no webhook asks for."""

from __future__ import annotations

import time
from pathlib import Path

import click

from probo_bitbucket.cli.options import load, settings_files
from probo_bitbucket.cli.screen import as_json, print_json
from probo_bitbucket.cli.store import transact


@click.command()
@settings_files
@as_json
@click.argument("repository", metavar="WORKSPACE/REPOSITORY")
@click.argument("what", metavar="NUMBER|COMMIT")
def build(*, files: tuple[Path, ...], in_json: bool, repository: str, what: str) -> None:
    """Have a pull request or a commit built, also one that was built before or comes from a fork.

    A pull request is named by its NUMBER, which a webhook must have told of; a commit by 7 digits of its hash or more.
    A daemon that runs begins within a second.
    """
    from probo_bitbucket.assembly.judgement import display_of, ending_of
    from probo_bitbucket.flow.anew import Anew, NotNow
    from probo_bitbucket.flow.by_hand import NotKnown, from_outside
    from probo_bitbucket.flow.requests import NotWanted
    from probo_bitbucket.model import InvalidName

    settings = load(files)
    anew = Anew(settings.repositories, ending_of(settings, display_of(settings)))
    try:
        wanted = transact(files, from_outside, anew, repository, what, time.time())
    except (NotKnown, InvalidName, NotNow, NotWanted) as error:
        raise click.ClickException(str(error)) from error
    if in_json:
        print_json({"build": wanted.id, "repository": wanted.repository.full_name, "commit": wanted.commit})
    else:
        click.echo(f"Build {wanted.id} of {wanted.commit[:12]} is wanted.")
