"""`probo-bitbucket receive`: what would become of a delivery."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from probo_bitbucket.cli.options import load, settings_files
from probo_bitbucket.cli.screen import as_json, print_json

if TYPE_CHECKING:
    from probo_bitbucket.config import Settings
    from probo_bitbucket.flow.deliveries.rehearsal import Foreseen
    from probo_bitbucket.store import Engine


@click.command()
@settings_files
@as_json
@click.option("--event", required=True, help="The event, as in the header X-Event-Key: pullrequest:created, …")
@click.argument("file", type=click.File("rb"))
def receive(*, files: tuple[Path, ...], in_json: bool, event: str, file: Any) -> None:
    """Tell what would become of a delivery whose body is in FILE ("-": standard input), and change nothing.

    It is decided beside the builds that the daemon's database has now.
    """
    from probo_bitbucket.bodies import BodyError

    try:
        foreseen = _foresee(load(files), event, file.read())
    except BodyError as error:
        raise click.ClickException(f"It would be refused: {error}") from error
    if in_json:
        print_json(_document(foreseen))
        return
    click.echo(f"{foreseen.state}: {foreseen.reason}")
    for build in foreseen.made:
        click.echo(f"would build {build.repository} {build.branch} {build.commit}: {build.title}")
    for build in foreseen.changed:
        click.echo(f"build {build.id} would be {build.state}")


def _foresee(settings: Settings, event: str, body: bytes) -> Foreseen:
    from probo_bitbucket.assembly.judgement import make_responder
    from probo_bitbucket.flow.deliveries.rehearsal import Rehearsal
    from probo_bitbucket.store import StoreUnavailable
    from probo_bitbucket.store.migrate import StoreTooNew

    rehearsal = Rehearsal(make_responder(settings), settings.repositories, settings.bitbucket_site_url)
    try:
        with closing(_engine(settings)) as engine, engine.rehearsal() as tx:
            return rehearsal.of(tx, event, body, time.time())
    except (StoreUnavailable, StoreTooNew) as error:
        raise click.ClickException(str(error)) from error


def _engine(settings: Settings) -> Engine:
    """The daemon's database, or an empty one where it has none yet."""
    from probo_bitbucket.store import Engine
    from probo_bitbucket.store.migrate import empty, form

    engine = Engine(settings.database_url)
    if engine.missing:
        click.echo("There is no database yet: it is decided as if nothing had been built.", err=True)
        return empty()
    if form(engine).pending:
        raise click.ClickException("The database is of an earlier version. Run `probo-bitbucket migrate` first.")
    return engine


def _document(foreseen: Foreseen) -> Any:
    import msgspec

    return msgspec.to_builtins(foreseen)
