"""Hooks accepted a second: with the signature checked, 5 KB each."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.scene import BARE, DATABASE, OTHER_CORE, OURS, Daemon, Scene, request
from probo_bitbucket.sandbox.hooks import sign
from probo_bitbucket.sandbox.repository import Repository
from probo_bitbucket.sandbox.stage import CONFIGURATION, HOOK_SECRET

SIZE = 5_000  # bytes of a body
AGAIN = 250  # hooks that are sent again and again, or before what is measured
FASTEST = 4_000  # hooks a second that nobody accepts with builds beside: so many are prepared
# Seconds of processor time for a request to the bare route where Node was measured: with Debian's Python 3.11 and 16
# connections, without a search for form fields and an access log.
BARE_THERE = 130e-6

_numbers = count(1)


async def accepted(
    scene: Scene, command: Sequence[str], *, connections: int, seconds: float, new: bool
) -> dict[str, float]:
    """How many are accepted, each of a pull request of its own, and how long they wait for it.

    With *new*, each leads to a build, which is worked on beside; without, Bitbucket says again what it said before.
    """
    daemon = await scene.daemon(command)
    try:
        return await rate(scene, [daemon], connections, seconds, new=new)
    finally:
        daemon.stop()


async def accepted_there(scene: Scene, *, connections: int, seconds: float) -> dict[str, float]:
    """An estimate of how many would be accepted where the Node handler was measured, with builds beside.

    What is accepted here is scaled by what a bare route takes here and there, as if the disk were faster there by as
    much. The route is measured before and after: how fast a virtual machine is can change by the minute.
    """
    before = await _bare(scene, seconds)
    ours = await accepted(scene, OURS, connections=connections, seconds=seconds, new=True)
    bare = (before + await _bare(scene, seconds)) / 2
    return {"a second": ours["a second"] * bare / BARE_THERE, "here": ours["a second"], "bare µs": bare * 1e6}


async def _bare(scene: Scene, seconds: float) -> float:
    """Seconds of processor time for a request to the bare route."""
    daemon = await scene.daemon(BARE)
    try:
        [repository] = repositories(scene, 1)
        before = daemon.processor_time
        outcome = await scene.load(daemon, 16, seconds, [hook(next(bodies(scene, repository)))], again=True)
        taken = daemon.processor_time - before
        outcome.check()
    finally:
        daemon.stop()
    return taken / outcome.statuses[200]


async def rate(
    scene: Scene,
    daemons: Sequence[Daemon],
    connections: int,
    seconds: float,
    *,
    new: bool,
    cores: Sequence[int] = (OTHER_CORE,),
) -> dict[str, float]:
    """What is accepted at the port of *daemons* under a load that has these *cores*."""
    [repository] = repositories(scene, 1)
    made = bodies(scene, repository)
    before = [hook(next(made)) for _ in range(AGAIN)]
    await scene.load(daemons[0], 32, 60.0, before)
    for daemon in daemons:
        await scene.until_idle(daemon)
    hooks = [hook(next(made)) for _ in range(int(FASTEST * seconds))] if new else before
    outcome = await scene.load(daemons[0], connections, seconds, hooks, cores, again=not new)
    outcome.check()
    return {
        "a second": outcome.rate,
        "p50 ms": outcome.percentile(0.5) * 1000,
        "p99 ms": outcome.percentile(0.99) * 1000,
    }


def repositories(scene: Scene, number: int) -> list[Repository]:
    names = (f"acme/site-{next(_numbers)}" for _ in range(number))
    return [scene.cloud.add_repository(name, {".probo.yaml": CONFIGURATION}) for name in names]


def bodies(scene: Scene, repository: Repository, configuration: bytes = CONFIGURATION) -> Iterator[bytes]:
    """Webhook bodies for one pull request with a commit of its own after the other, without end."""
    pull_request = repository.open_pull_request()
    event: Any = scene.cloud.documents.event(repository, {"pullrequest": pull_request}, pull_request.author)
    event["pullrequest"]["description"] = "x" * (SIZE - len(json.dumps(event)))
    for number in count(1):
        commit = repository.add_commit((), {".probo.yaml": configuration})
        event["pullrequest"]["id"] = number
        event["pullrequest"]["source"]["commit"]["hash"] = commit.hash[:12]
        yield json.dumps(event).encode()


def hook(body: bytes) -> bytes:
    return request("POST", "/bitbucket-webhook", body, hook_headers(body))


def hook_headers(body: bytes) -> dict[str, str]:
    return {
        "X-Event-Key": "pullrequest:created",
        "X-Hook-UUID": "{9b7c7f0a-6b5c-4b5d-8f0e-1c2d3e4f5a6b}",
        "X-Request-UUID": "3f6e0d3e-6a57-4d4f-9b57-0b9f4f7c8c55",
        "X-Attempt-Number": "1",
        "X-Hub-Signature": sign(body, HOOK_SECRET),
        "User-Agent": "Bitbucket-Webhooks/2.0",
    }


async def with_rows(scene: Scene, *, rows: int, seconds: float) -> dict[str, float]:
    """How long hooks wait one by one, when the store has *rows* deliveries that were dealt with."""
    data = scene.folder / "rows"
    daemon = await scene.daemon(OURS, dataDir=str(data))
    await scene.until_idle(daemon)
    daemon.stop()
    fill(data / DATABASE, rows, b"{}", waiting=False)  # nobody reads these any more; 5 KB each would be 5 GB
    daemon = await scene.daemon(OURS, dataDir=str(data))
    try:
        return await rate(scene, [daemon], 1, seconds, new=False)
    finally:
        daemon.stop()


def fill(database: Path, rows: int, body: bytes, *, waiting: bool) -> None:
    """Put *rows* deliveries into a store, each of a pull request of its own."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(_FILL, {"rows": rows, "body": body, "state": "waiting" if waiting else "ignored"})


_FILL = """
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :rows)
    INSERT INTO deliveries
        (received_at, event_key, hook_uuid, request_uuid, attempt, repository, pull_request, lane, body, state, reason,
         pending)
    SELECT 1e9 + n, 'pullrequest:created', '', '', 1, 'acme/site', n, 'acme/site#' || n, :body, :state, '',
        :state = 'waiting'
    FROM numbers
"""
