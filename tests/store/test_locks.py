"""Two nodes that work on one pull request at once wait for each other; neither loses what it has to write."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.task import Clock

from probo_bitbucket.flow.builds.ending import Ending
from probo_bitbucket.flow.builds.relay import Relay
from probo_bitbucket.flow.statuses.display import Display
from probo_bitbucket.model import Build, BuildKind, BuildState, PullRequest, PullRequestState, Repository
from probo_bitbucket.probo import updates
from probo_bitbucket.store import Engine, Transaction, builds
from probo_bitbucket.store.migrate import upgrade

SITE = Repository("acme", "site")
PULL_REQUEST = PullRequest(7, "Title", "", "", "", "", PullRequestState.OPEN, "feature", "a" * 12, SITE)
BUILD = Build("b-0", BuildKind.PULL_REQUEST, SITE, SITE, "a" * 12, "n", 0.0, "feature", PULL_REQUEST)
DISPLAY = Display("Acme", "", "https://bitbucket.org")
TOGETHER = 10.0  # seconds that one waits for the other


def running(tx: Transaction) -> None:
    for number in (1, 2):
        build = evolve(BUILD, id=f"b-{number}", commit=str(number) * 12, created_at=float(number))
        builds.request(tx, build, 0.0)
        builds.conclude(tx, build.id, BuildState.RUNNING, 0.0)


def test_two_builds_of_a_pull_request_get_ready_at_once(postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Container Manager never tells it again."""
    nodes = [Engine(postgresql), Engine(postgresql)]
    upgrade(nodes[0])
    nodes[0].run([running])
    taken: list[Any] = []
    begun, touch, failed = threading.Barrier(2), builds.touch, list[Any]()
    again = threading.local()

    def touched(tx: Transaction, *arguments: Any) -> None:
        touch(tx, *arguments)
        if not hasattr(again, "met"):
            again.met = True
            with suppress(threading.BrokenBarrierError):  # the other one waits for us, as it should
                begun.wait(1.0)

    monkeypatch.setattr(builds, "touch", touched)
    monkeypatch.setattr(Engine, "_one_by_one", lambda _, operations: failed.extend(operations))

    def ready(node: Engine, id: str) -> None:
        relay = Relay(None, Clock(), DISPLAY, Ending(True, 1, DISPLAY), lambda: None)  # type: ignore[arg-type]
        body = b'{"update": {"state": "success", "description": "[x] ready"}, "build": {"id": "%s"}}' % id.encode()
        reported = updates.read(body, build_id=id, context="Acme/env")
        taken.extend(node.run([lambda tx: relay._take(tx, reported, 0.0)]) or [])

    threads = [threading.Thread(target=ready, args=(node, f"b-{n}")) for n, node in enumerate(nodes, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TOGETHER)
    for node in nodes:
        node.close()
    assert failed == []
    assert [status.state for status, _ in taken] == ["SUCCESSFUL"] * 2
