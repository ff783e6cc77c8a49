"""From a hook to its `/startbuild`, with Bitbucket far away: that is one round trip, and what comes beyond it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from io import BytesIO
from statistics import median
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, readBody
from twisted.web.http_headers import Headers

from benchmarks.accepting import bodies, hook_headers, repositories
from benchmarks.scene import FAR, Daemon, Scene
from probo_bitbucket.sandbox.server import Recorded

TRIPS = 20  # round trips to Bitbucket that tell how long one takes
WARM = 10  # hooks that are not counted: the first ones ask for a token, and have statements compiled


async def delays(scene: Scene, command: Sequence[str], *, hooks: int, per_second: float) -> dict[str, float]:
    """How long after a hook was sent its build arrives, with *per_second* hooks sent evenly to ten repositories."""
    daemon = await scene.daemon(command)
    scene.cloud.server.answer_after = FAR
    arrived: dict[str, float] = {}

    def answered(recorded: Recorded) -> None:
        if recorded.path == "/startbuild":
            arrived.setdefault(json.loads(recorded.body)["build"]["commit"]["ref"][:12], recorded.time)

    scene.container_manager.server.on_answer = answered
    made = [bodies(scene, repository) for repository in repositories(scene, 10)]
    try:
        round_trip = await _round_trip(scene)
        await _send_all(scene, daemon, made, WARM, 1 / per_second)
        await scene.until(lambda: len(arrived) == WARM)
        sent = await _send_all(scene, daemon, made, hooks, 1 / per_second)
        await scene.until(lambda: len(arrived) == WARM + hooks)
    finally:
        scene.cloud.server.answer_after = 0.0
        daemon.stop()
    waits = sorted(1000 * (arrived[commit] - sent[commit] - round_trip) for commit in sent)
    return {
        "round trip ms": 1000 * round_trip,
        "p50 ms beyond": waits[len(waits) // 2],
        "p99 ms beyond": waits[int(0.99 * (len(waits) - 1))],
    }


async def _round_trip(scene: Scene) -> float:
    """Seconds that a request takes that asks for nothing, from here to Bitbucket and back: its distance and HTTP."""
    agent = Agent(scene.clock, pool=HTTPConnectionPool(scene.clock))
    took: list[float] = []
    for _ in range(TRIPS):
        began = scene.clock.seconds()
        await readBody(await agent.request(b"GET", scene.cloud.url.encode()))
        took.append(scene.clock.seconds() - began)
    return median(took)


async def _send_all(
    scene: Scene, daemon: Daemon, made: Sequence[Iterator[bytes]], hooks: int, interval: float
) -> dict[str, float]:
    """When each hook was sent, by the commit it tells of."""
    agent = Agent(scene.clock, pool=HTTPConnectionPool(scene.clock))
    sent: dict[str, float] = {}
    answers: list[Deferred[Any]] = []
    for number in range(hooks):
        body = next(made[number % len(made)])
        sent[json.loads(body)["pullrequest"]["source"]["commit"]["hash"]] = scene.clock.seconds()
        answers.append(Deferred.fromCoroutine(_send(agent, daemon, body)))
        await deferLater(scene.clock, interval)
    await DeferredList(answers, fireOnOneErrback=True)
    return sent


async def _send(agent: Agent, daemon: Daemon, body: bytes) -> None:
    headers = Headers({name: [value] for name, value in hook_headers(body).items()})
    url = f"http://127.0.0.1:{daemon.port}/bitbucket-webhook".encode()
    await readBody(await agent.request(b"POST", url, headers, FileBodyProducer(BytesIO(body))))
