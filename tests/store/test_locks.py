"""Two nodes that work on one pull request at once wait for each other; neither loses what it has to write."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from attrs import evolve
from twisted.internet.task import Clock

from probo_bitbucket.flow.builds.again import Again
from probo_bitbucket.flow.builds.ending import Ending
from probo_bitbucket.flow.builds.relay import Relay
from probo_bitbucket.flow.statuses.display import Display
from probo_bitbucket.model import Build, BuildKind, BuildState, PullRequest, PullRequestState, Repository
from probo_bitbucket.probo import updates
from probo_bitbucket.store import Engine, Lease, Transaction, builds, removals
from probo_bitbucket.store.migrate import upgrade
from tests.waiting import until

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


def test_what_a_node_is_just_sending_is_taken_down_once_it_is_there(postgresql: str) -> None:
    sender, operator, watcher = nodes = [Engine(postgresql) for _ in range(3)]
    upgrade(sender)
    again = Again(None, Clock(), None, Ending(True, 1, DISPLAY), lambda: None)  # type: ignore[arg-type]

    def is_waited_for() -> bool:
        with watcher.begin() as tx:
            return bool(tx.scalar(sa.text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")))

    with sender.begin() as tx:
        builds.request(tx, BUILD, 0.0)
        [job] = builds.claim_pending(tx, Lease("sender", 0.0), 1)
    with sender.begin() as tx:
        builds.advance(tx, job, BuildState.STARTING, 1.0)
        taking_down = threading.Thread(target=operator.run, args=([lambda tx: again._take_down(tx, BUILD.id)],))
        taking_down.start()
        until(is_waited_for, "the operator to wait for the sender")
    taking_down.join(TOGETHER)
    with watcher.begin() as tx:
        stored = builds.find(tx, BUILD.id)
        assert stored and stored.state is BuildState.STARTING
        assert removals.is_wanted(tx, BUILD.id)
    for node in nodes:
        node.close()
