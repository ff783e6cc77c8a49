"""The command `probo-bitbucket`. The daemon itself is started by twistd; this is for what people do."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from probo_bitbucket import __version__

if TYPE_CHECKING:
    from probo_bitbucket.config import Settings

T = TypeVar("T")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="probo-bitbucket", message="%(prog)s %(version)s")
def main() -> None:
    """Opens a Probo preview environment for every pull request on Bitbucket Cloud.

    The daemon is started by twistd: twistd -n probo-bitbucket -c defaults.yaml
    """


def _unused(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """The simulated Bitbucket begins anew every time: a store of an earlier one would not fit to it."""
    if path is not None and path.exists() and any(path.iterdir()):
        raise click.BadParameter(f"{path} is not empty.")
    return path


_port = click.IntRange(0, 65535)


@main.command()
@click.option("--once", is_flag=True, help="End after the first build: with status 0 if it succeeded, 1 if not.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    callback=_unused,
    help="Keep the handler's store and log in this directory, which must be new or empty.",
)
@click.option("--bitbucket-port", type=_port, default=3080, show_default=True, help="0: any free port.")
@click.option("--handler-port", type=_port, default=3012, show_default=True, help="0: any free port.")
@click.option("--container-manager-port", type=_port, default=3020, show_default=True, help="0: any free port.")
def sandbox(
    *, once: bool, data_dir: Path | None, bitbucket_port: int, handler_port: int, container_manager_port: int
) -> None:
    """Play with the handler, without Bitbucket and Probo.

    Starts a simulated Bitbucket Cloud and a simulated Container Manager with the real handler between them, opens a
    pull request, and prints what happens as it happens. The simulated Bitbucket has pages with buttons to open,
    update, merge and decline pull requests. Ctrl-C ends it.
    """
    # Not before it is needed: --help shall be quick.
    from twisted.internet.task import react

    from probo_bitbucket.sandbox.performance import Wishes, perform

    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal without UTF-8 shall still see the rest of a line; a pipe shall have a line when it is written.
        sys.stdout.reconfigure(errors="replace", line_buffering=True)
    wishes = Wishes(once, data_dir, bitbucket_port, handler_port, container_manager_port)
    react(perform, (sys.stdout, wishes))


_settings = click.option(
    "-c",
    "--config",
    "files",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="The daemon's settings: a YAML file, or a directory of them. Can be given again; later ones win.",
)


def _load(files: tuple[Path, ...]) -> Settings:
    from probo_bitbucket import config

    try:
        return config.load(files, os.environ, {})
    except config.SettingsError as error:
        raise click.ClickException(str(error)) from error


def _transact(files: tuple[Path, ...], operation: Callable[..., T], *arguments: Any) -> T:
    """Run an operation on the daemon's store, whether or not the daemon runs."""
    from probo_bitbucket.store import Engine, StoreUnavailable

    engine = Engine(_load(files).database_url)
    try:
        with engine.begin() as transaction:
            return operation(transaction, *arguments)
    except StoreUnavailable as error:
        raise click.ClickException(str(error)) from error
    finally:
        engine.close()


@main.command()
@_settings
@click.option("--store", is_flag=True, help="Store the credentials for the daemon. Run it as the daemon's user then.")
def setup(*, files: tuple[Path, ...], store: bool) -> None:
    """Get credentials from Bitbucket.

    Tells what to click in Bitbucket, asks for key and secret of the OAuth consumer, and prints the lines for the
    settings file. The daemon's page /setup does the same in a browser.
    """
    from twisted.internet.task import react

    from probo_bitbucket import setup_command

    react(setup_command.run, (_load(files), store))


@main.command()
@_settings
def migrate(*, files: tuple[Path, ...]) -> None:
    """Bring the database to the form that this version works with.

    The daemon does so itself when it starts; this is for who wants to do it before.
    """
    from probo_bitbucket.store import Engine, StoreUnavailable
    from probo_bitbucket.store.migrate import StoreTooNew, upgrade

    engine = Engine(_load(files).database_url)
    try:
        done = upgrade(engine)
    except (StoreTooNew, StoreUnavailable) as error:
        raise click.ClickException(str(error)) from error
    finally:
        engine.close()
    for migration in done:
        click.echo(f"{migration.revision}  {migration.subject}")
    if not done:
        click.echo("The database is up to date.")


@main.command()
@_settings
def failed(*, files: tuple[Path, ...]) -> None:
    """Show what the daemon has given up on, and why. `send-again` has it tried again."""
    from probo_bitbucket.store import failures

    found = _transact(files, failures.given_up)
    for failure in found:
        click.echo(f"{failure.kind:<8}  {failure.name}  {failure.repository}  {failure.what}: {failure.reason}")
    if not found:
        click.echo("Nothing was given up on.")


@main.command()
@_settings
@click.argument("names", nargs=-1, required=True)
def send_again(*, files: tuple[Path, ...], names: tuple[str, ...]) -> None:
    """Have the daemon try again what it has given up on.

    NAMES stand in the second column of what `failed` shows. A daemon that runs begins within a second.
    """
    from probo_bitbucket.store import failures

    for name in names:
        count = _transact(files, failures.send_again, name, time.time())
        if not count:
            raise click.ClickException(f"Nothing of the name {name} was given up on.")
        click.echo(f"{name}: sent again")
