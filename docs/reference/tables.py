"""Tables in Markdown: routes, the events of the log, metrics and commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.metrics import MetricWrapperBase

from docs.reference.commands import Command, all_commands
from probo_bitbucket.log_events import EVENTS
from probo_bitbucket.metrics import KINDS, OTHER, Metrics

_ROUTES = Path(__file__).parent.parent / "openapi.yaml"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; what could be taken for HTML in its cells is shown as it is."""
    names = list(head)
    lines = [
        names,
        ["---"] * len(names),
        *([cell.replace("<", "&lt;").replace("|", "\\|") for cell in row] for row in rows),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def routes() -> str:
    paths = yaml.safe_load(_ROUTES.read_text(encoding="utf-8"))["paths"]
    return table(("Route", "What it is for"), (row for path, item in paths.items() for row in _operations(path, item)))


def _operations(path: str, item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for method, operation in item.items():
        if isinstance(operation, dict):
            yield f"`{method.upper()} {path}`", operation["summary"]


def events() -> str:
    rows = ((f"`{event.name}`", event.level, event.meaning, event.alert) for event in EVENTS)
    return table(("Event", "Level", "What it means", "What to do"), rows)


def metrics() -> str:
    rows = ((f"`{name}`", ", ".join(f"`{label}`" for label in labels), text) for name, labels, text in all_metrics())
    return f"{table(('Metric', 'Labels', 'What it tells'), rows)}\n`kind` is one of {_kinds()}.\n"


def _kinds() -> str:
    return ", ".join(f"`{kind}`" for kind in [*(kind for kind, _ in KINDS), OTHER])


def all_metrics() -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Name, labels and meaning of every metric of ours; that of a histogram without the endings of its series."""
    for metric in vars(Metrics(())).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            ending = "_total" if family.type == "counter" else ""
            yield f"{family.name}{ending}", metric._labelnames, family.documentation


def commands() -> str:
    return "\n".join(_command(command) for command in all_commands())


def _command(command: Command) -> str:
    rows = table(("Option", "What it does"), ((f"`{names}`", text) for names, text in command.options))
    return f"## {command.name}\n\n```\n{command.usage}\n```\n\n{command.help}\n\n{rows}"
