"""The commands that work on the daemon's store, whether or not it runs: `migrate`, `failed`, `send-again`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from probo_bitbucket.cli.options import load, settings_files

T = TypeVar("T")


def transact(files: tuple[Path, ...], operation: Callable[..., T], *arguments: Any) -> T:
    """Run an operation on the daemon's store."""
    from probo_bitbucket.store import Engine, StoreUnavailable

    engine = Engine(load(files).database_url)
    try:
        with engine.begin() as transaction:
            return operation(transaction, *arguments)
    except StoreUnavailable as error:
        raise click.ClickException(str(error)) from error
    finally:
        engine.close()


@click.command()
@settings_files
def migrate(*, files: tuple[Path, ...]) -> None:
    """Bring the database to the form that this version works with.

    The daemon does so itself when it starts; this is for who wants to do it before.
    """
    from probo_bitbucket.store import Engine, StoreUnavailable
    from probo_bitbucket.store.migrate import StoreTooNew, upgrade

    engine = Engine(load(files).database_url)
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


@click.command()
@settings_files
def failed(*, files: tuple[Path, ...]) -> None:
    """Show what the daemon has given up on, and why. `send-again` has it tried again."""
    from probo_bitbucket.store import failures

    found = transact(files, failures.given_up)
    for failure in found:
        click.echo(f"{failure.kind:<8}  {failure.name}  {failure.repository}  {failure.what}: {failure.reason}")
    if not found:
        click.echo("Nothing was given up on.")


@click.command()
@settings_files
@click.argument("names", nargs=-1, required=True)
def send_again(*, files: tuple[Path, ...], names: tuple[str, ...]) -> None:
    """Have the daemon try again what it has given up on.

    NAMES stand in the second column of what `failed` shows. A daemon that runs begins within a second.
    """
    from probo_bitbucket.store import failures

    for name in names:
        count = transact(files, failures.send_again, name, time.time())
        if not count:
            raise click.ClickException(f"Nothing of the name {name} was given up on.")
        click.echo(f"{name}: sent again")
