"""The option that all commands share which work for a daemon: its settings."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from probo_bitbucket.config import Settings, Whereabouts

# A command of ours with the words before its arguments, which all take -c.
_OURS = re.compile(r"\bprobo-bitbucket (?:hooks|deliveries|builds) [a-z-]+|\bprobo-bitbucket [a-z-]+")
_META = "probo_bitbucket.settings_files"


def _inherited(context: click.Context, _: click.Parameter, files: tuple[Path, ...]) -> tuple[Path, ...]:
    """What was given to a command is good for the commands behind it: `deliveries -c settings.yaml show 7`."""
    if files:
        context.meta[_META] = files
    return tuple(context.meta.get(_META, ()))


settings_files = click.option(
    "-c",
    "--config",
    "files",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    callback=_inherited,
    help="The daemon's settings: a YAML file, or a directory of them. Can be given again; later ones win.",
)


def with_settings(advice: str) -> str:
    """*advice*, with the settings that this command was given in the command that it names: it can be copied then."""
    files = click.get_current_context().meta.get(_META, ())
    given = "".join(f" -c {shlex.quote(str(path))}" for path in files)
    return _OURS.sub(lambda found: found[0] + given, advice)


def load(files: tuple[Path, ...]) -> Settings:
    """The settings as the daemon reads them. Raises ClickException with all that is wrong."""
    from probo_bitbucket import config

    with _in_words():
        return config.load(files, os.environ, {})


def whereabouts(files: tuple[Path, ...]) -> Whereabouts:
    """Where the daemon is called that has these settings. Raises ClickException."""
    from probo_bitbucket import config

    with _in_words():
        return config.whereabouts(files, os.environ)


@contextmanager
def _in_words() -> Iterator[None]:
    from probo_bitbucket.config import SettingsError

    try:
        yield
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
