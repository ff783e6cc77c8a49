"""The commands, as click knows them."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc

import click
from attrs import frozen

from probo_bitbucket.cli import main

NAME = "probo-bitbucket"


@frozen
class Command:
    """A command: how it is called, what it does, and its options with what each does.

    Arguments have no words of their own: the usage names them, and the help tells of them.
    """

    name: str
    usage: str
    help: str
    options: tuple[tuple[str, str], ...]


def all_commands() -> Iterator[Command]:
    """Every command that does something, by its name; those of a group after their group."""
    yield from _of(main, click.Context(main, info_name=NAME, **main.context_settings))


def _of(command: click.Command, context: click.Context) -> Iterator[Command]:
    if not isinstance(command, click.Group):
        yield _described(command, context)
        return
    if context.parent is not None and command.invoke_without_command:
        yield _described(command, context)
    for name in command.list_commands(context):
        part = command.get_command(context, name)
        if part is not None and not part.hidden:
            yield from _of(part, click.Context(part, info_name=name, parent=context, **part.context_settings))


def _described(command: click.Command, context: click.Context) -> Command:
    records = (parameter.get_help_record(context) for parameter in command.get_params(context))
    return Command(
        name=context.command_path,
        usage=" ".join((context.command_path, *command.collect_usage_pieces(context))),
        help=cleandoc(command.help or ""),
        options=tuple(record for record in records if record is not None and record[1]),
    )
