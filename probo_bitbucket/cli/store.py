"""The commands that work on the daemon's store, whether or not it runs: `migrate`, `failed`, `send-again`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import time as now
from typing import Any, TypeVar

import click

from probo_bitbucket.cli.options import load, settings_files
from probo_bitbucket.cli.screen import as_json, print_json, print_table, time

T = TypeVar("T")


def transact(files: tuple[Path, ...], operation: Callable[..., T], *arguments: Any) -> T:
    """Run an operation on the daemon's store, which must be there. Raises ClickException."""
    from probo_bitbucket.store import Engine, StoreUnavailable
    from probo_bitbucket.store.migrate import StoreTooNew, form

    engine = Engine(load(files).database_url)
    if engine.missing:
        raise click.ClickException(f"There is no database yet: {engine.file}. The daemon makes it when it starts.")
    try:
        if form(engine).pending:
            raise click.ClickException("The database is of an earlier version. Run `probo-bitbucket migrate` first.")
        with engine.begin() as transaction:
            return operation(transaction, *arguments)
    except (StoreUnavailable, StoreTooNew) as error:
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
@as_json
def failed(*, files: tuple[Path, ...], in_json: bool) -> None:
    """Show what the daemon has given up on, and why. `send-again` has it tried again."""
    from attrs import asdict, astuple

    from probo_bitbucket.store import failures

    found = transact(files, failures.given_up)
    if in_json:
        print_json([asdict(failure) for failure in found])
        return
    rows = ((*astuple(failure)[:-1], time(failure.at)) for failure in found)
    print_table(("KIND", "NAME", "WHERE", "WHAT", "WHY", "SINCE"), rows, "Nothing was given up on.")


@click.command()
@settings_files
@click.argument("names", nargs=-1, required=True)
def send_again(*, files: tuple[Path, ...], names: tuple[str, ...]) -> None:
    """Have the daemon try again what it has given up on.

    NAMES stand in the second column of what `failed` shows. A daemon that runs begins within a second.
    """
    from probo_bitbucket.store import failures

    for name in names:
        count = transact(files, failures.send_again, name, now())
        if not count:
            raise click.ClickException(f"Nothing of the name {name} was given up on.")
        click.echo(f"{name}: sent again")
