"""The command `build`: has something built that no webhook asks for."""

from __future__ import annotations

from pathlib import Path

import click

from probo_bitbucket.cli.daemon import daemon
from probo_bitbucket.cli.options import settings_files
from probo_bitbucket.cli.screen import as_json, print_json


@click.command()
@settings_files
@as_json
@click.argument("repository", metavar="WORKSPACE/REPOSITORY")
@click.argument("what", metavar="NUMBER|COMMIT")
def build(*, files: tuple[Path, ...], in_json: bool, repository: str, what: str) -> None:
    """Have a pull request or a commit built, also one that was built before, is a draft or comes from a fork.

    A pull request is named by its NUMBER, a commit by 7 digits of its hash or more. The daemon, which must run, asks
    Bitbucket for it: webhooks that got lost do not matter.
    """
    from probo_bitbucket.model import SHORTEST_HASH

    is_number = what.isascii() and what.isdecimal() and len(what) < SHORTEST_HASH  # no repository has as many
    wanted = {"pull_request": int(what)} if is_number else {"commit": what}
    told = daemon(files).post("/api/builds", repository=repository, **wanted)
    if in_json:
        print_json({name: told[name] for name in ("build", "repository", "commit")})
    else:
        click.echo(f"Build {told['build']} of {told['commit'][:12]} is wanted.")
