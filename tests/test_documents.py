"""The documents say what the code does: what is made from it is up to date, and what they name exists."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.reference.files import DOCS, FILES, made
from docs.reference.tables import all_metrics
from probo_bitbucket.log_events import EVENTS
from tests.needs import needs

ROOT = DOCS.parent
ALERTS = DOCS / "prometheus" / "alerts.yaml"
DASHBOARD = DOCS / "grafana" / "probo-bitbucket.json"
METRICS = {name: set(labels) for name, labels, _ in all_metrics()}
SELECTOR = re.compile(r"(?P<name>probo_bitbucket_\w+)(?:\{(?P<matchers>[^}]*)\})?")


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_what_is_made_from_the_code_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == made(path), "run: make reference"


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    return list(group["rules"])


def expressions() -> Iterator[str]:
    yield from (alert["expr"] for alert in alerts())
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def test_alerts_and_dashboard_name_metrics_and_labels_that_exist() -> None:
    found = [match for expression in expressions() for match in SELECTOR.finditer(expression)]
    assert len(found) > 20
    for match in found:
        name = match["name"].removesuffix("_bucket")
        assert name in METRICS
        assert set(re.findall(r"(\w+)\s*[=!]~?", match["matchers"] or "")) <= METRICS[name]
    for expression in expressions():
        for by in re.findall(r"by \(([^)]*)\)", expression):
            name = SELECTOR.findall(expression)[0][0].removesuffix("_bucket")
            assert set(by.split(", ")) <= METRICS[name] | {"le"}


def test_every_metric_is_on_the_dashboard() -> None:
    shown = " ".join(expressions())
    assert [name for name in METRICS if name not in shown] == []


def test_the_events_that_alerts_name_exist() -> None:
    names = {event.name for event in EVENTS}
    named = [
        name
        for alert in alerts()
        for match in re.findall(r'event=~?"([^"]*)"', alert["expr"])
        for name in match.split("|")
    ]
    assert len(named) > 5
    assert set(named) <= names


def site(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Build the site as `make docs` does."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-n",
        "-q",
        "-c",
        DOCS,
        source,
        target,
    ]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_the_documents_become_a_site_in_which_no_link_is_dead(tmp_path: Path) -> None:
    built = site(DOCS, tmp_path)
    assert (built.returncode, built.stderr) == (0, "")
    assert "build.started" in (tmp_path / "logs.html").read_text()


@pytest.mark.parametrize("link", ["nowhere.md", "index.md#nowhere", "#nowhere", "nowhere.yaml"])
def test_a_dead_link_ends_the_build(tmp_path: Path, link: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "index.md").write_text(f"# Title\n\n[text]({link})\n")
    built = site(source, tmp_path / "target")
    assert built.returncode == 1
    assert "nowhere" in built.stderr


@needs("promtool")
def test_prometheus_takes_the_alerts() -> None:
    checked = subprocess.run(["promtool", "check", "rules", ALERTS], check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md"])
def test_what_a_page_outside_of_the_documents_links_to_is_there(name: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / name).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("page", [path for path in FILES if path.parent.name == "man"], ids=lambda path: str(path.name))
@needs("groff")
def test_a_man_page_is_set_without_a_complaint(page: Path) -> None:
    command: list[str | Path] = ["groff", "-man", "-Tutf8", "-ww", "-wall", "-z", page]
    checked = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
