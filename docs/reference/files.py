"""Which documents are made from the code: whole man pages, and what is between two marks in the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from docs.reference import man, settings, tables

DOCS = Path(__file__).parent.parent

_PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "settings.md": ("settings", settings.keys),
    "routes.md": ("routes", tables.routes),
    "logs.md": ("events", tables.events),
    "metrics.md": ("metrics", tables.metrics),
    "commands.md": ("commands", tables.commands),
}
_PAGES: dict[str, Callable[[], str]] = {
    "man/probo-bitbucket.1": man.command_page,
    "man/probo-bitbucket.yaml.5": man.settings_page,
}
FILES = tuple(DOCS / name for name in (*_PARTS, *_PAGES))


def made(path: Path) -> str:
    """What the file at *path* should have in it. ValueError where it has no place for what is made."""
    name = str(path.relative_to(DOCS))
    if name in _PAGES:
        return _PAGES[name]()
    mark, make = _PARTS[name]
    begin, end = f"<!-- {mark}: made by `make reference` -->\n", f"<!-- end of {mark} -->\n"
    before, _, rest = path.read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{path} has no place between {begin.strip()} and {end.strip()}")
    return f"{before}{begin}\n{make()}\n{end}{after}"
