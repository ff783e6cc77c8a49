"""Which parts of the settings are secrets."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

import attrs

from probo_bitbucket.config.settings import Settings


def secrets_of(settings: Settings) -> Iterator[str]:
    """Every secret in the settings, to be hidden from the log."""
    yield from _hidden_values(settings)
    yield unquote(urlsplit(settings.database).password or "")


def _hidden_values(value: object) -> Iterator[str]:
    """Every text that the classes of *value* and of what it holds keep out of their repr."""
    if attrs.has(kind := type(value)):
        for field in attrs.fields(kind):
            part = getattr(value, field.name)
            yield from _texts(part) if field.repr is False else _hidden_values(part)
    elif isinstance(value, tuple):
        for part in value:
            yield from _hidden_values(part)


def _texts(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
