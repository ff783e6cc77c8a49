"""`probo-bitbucket sandbox`: the daemon between a simulated Bitbucket and a simulated Container Manager."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from pathlib import Path

import click


def _unused(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """The simulated Bitbucket begins anew every time: a store of an earlier one would not fit to it."""
    if path is not None and path.exists() and any(path.iterdir()):
        raise click.BadParameter(f"{path} is not empty.")
    return path


_port = click.IntRange(0, 65535)


@click.command()
@click.option("--once", is_flag=True, help="End after the first build: with status 0 if it succeeded, 1 if not.")
@click.option(
    "--from-nothing",
    is_flag=True,
    help="Begin without credentials and webhook, as one who installs it; say where to set it up.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    callback=_unused,
    help="Keep the daemon's store and log in this directory, which must be new or empty.",
)
@click.option("--bitbucket-port", type=_port, default=3080, show_default=True, help="0: any free port.")
@click.option("--daemon-port", type=_port, default=3012, show_default=True, help="0: any free port.")
@click.option("--container-manager-port", type=_port, default=3020, show_default=True, help="0: any free port.")
def sandbox(
    *,
    once: bool,
    from_nothing: bool,
    data_dir: Path | None,
    bitbucket_port: int,
    daemon_port: int,
    container_manager_port: int,
) -> None:
    """Play with the daemon, without Bitbucket and Probo.

    Starts a simulated Bitbucket Cloud and a simulated Container Manager with the real daemon between them, opens a
    pull request, and prints what happens as it happens. The simulated Bitbucket has pages with buttons to open,
    update, merge and decline pull requests, and to change or delete webhooks and OAuth consumers; that of the
    Container Manager takes it down. Ctrl-C ends it.
    """
    if once and from_nothing:
        raise click.UsageError("--once is played without anybody, and --from-nothing waits for you to set it up.")
    from twisted.internet.task import react

    from probo_bitbucket.sandbox.performance import Wishes, perform

    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal without UTF-8 shall still see the rest of a line; a pipe shall have a line when it is written.
        sys.stdout.reconfigure(errors="replace", line_buffering=True)
    wishes = Wishes(once, from_nothing, data_dir, bitbucket_port, daemon_port, container_manager_port)
    react(perform, (sys.stdout, wishes))
