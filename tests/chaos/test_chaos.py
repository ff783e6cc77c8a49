"""Short runs of the chaos: `make chaos` has the long ones."""

from __future__ import annotations

import subprocess
import sys


def chaos(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.chaos.run", "--seed", "7", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)


def test_one_node_keeps_its_promises_though_it_is_killed() -> None:
    run = chaos("--kills", "3")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 promises broken" in run.stdout


def test_two_nodes_keep_their_promises_though_they_and_their_postgresql_are_killed() -> None:
    run = chaos("--kills", "2", "--nodes", "2")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1  crashes of PostgreSQL" in run.stdout


def test_a_daemon_that_answers_before_it_commits_is_found_out() -> None:
    run = chaos("--kills", "3", "--bug", "answer-before-commit")
    assert run.returncode == 1, run.stdout + run.stderr
    assert "accepted and never built" in run.stdout
