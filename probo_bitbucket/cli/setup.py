"""`probo-bitbucket setup`: credentials, where only a terminal is at hand."""

from __future__ import annotations

from pathlib import Path

import click

from probo_bitbucket.cli.options import load, settings_files


@click.command()
@settings_files
@click.option("--account", default="", help="Name of the account in the settings that the credentials are for.")
@click.option("--store", is_flag=True, help="Store the credentials for the daemon. Run it as the daemon's user then.")
def setup(*, files: tuple[Path, ...], account: str, store: bool) -> None:
    """Get credentials from Bitbucket.

    Tells what to click in Bitbucket, asks for key and secret of the OAuth consumer, and prints the lines for the
    settings file. The daemon's page /setup does the same in a browser.
    """
    from twisted.internet.task import react

    from probo_bitbucket import setup_command

    react(setup_command.run, (load(files), account, store))
