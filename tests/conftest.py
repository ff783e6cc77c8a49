"""What is made once for all tests that want it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from probo_bitbucket import logs
from tests import canaries, canary_watch

canaries.recognisable()  # before a test takes one of their names
canary_watch.listen_in()

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _nothing_hidden() -> None:
    """What was a secret in another test is an ordinary word in this one."""
    vars(logs.secrets).update(vars(logs.Secrets()))


@pytest.fixture(autouse=True)
def _no_canary_is_heard(_nothing_hidden: None, request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that has a secret where it does not belong, unless it is marked with that place and why."""
    canary_watch.watch.begin()
    yield
    heard = canary_watch.watch.end()
    expected = tuple(mark.args[0] for mark in request.node.iter_markers("secret_in"))
    unexpected = [each for each in heard if not each.place.startswith(expected)]
    if unexpected:
        pytest.fail("\n".join(["Secrets where they do not belong:", *map(str, unexpected[:20])]), pytrace=False)


@pytest.fixture(autouse=True)
def _all_secrets_are_canaries(_no_canary_is_heard: None, request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test with a secret that would not be heard, unless it is marked with why it has such a one."""
    yield
    canary_watch.watch.keeps(canaries.hidden_from_log())
    silent = canary_watch.watch.silent
    if silent and request.node.get_closest_marker("silent_secret") is None:
        pytest.fail(f"Secrets without the mark of a canary: {sorted(silent)[:20]}", pytrace=False)


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """pytest's, which the watch looks into at the end."""
    canary_watch.watch.made(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sdist, and the wheel that was built from it."""
    # Built from a copy: setuptools would take files of earlier builds into account, and leaves its own.
    checkout = tmp_path_factory.mktemp("checkout") / "probo-bitbucket"
    unwanted = shutil.ignore_patterns(".venv", ".git", "build", "dist", "*.egg-info", ".*_cache")
    shutil.copytree(ROOT, checkout, ignore=unwanted)
    directory = tmp_path_factory.mktemp("dist")
    command: list[str | Path] = [sys.executable, "-m", "build", "--no-isolation", "--outdir", directory, checkout]
    built = subprocess.run(command, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return directory
