"""Requests to Bitbucket: how many one build of 20 steps takes, from its hook to its last state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from benchmarks.accepting import bodies, hook, repositories
from benchmarks.scene import NODE_LIKE, OURS, Daemon, Scene, request
from probo_bitbucket.sandbox.outgoing import Call
from probo_bitbucket.sandbox.stage import KEY

STEPS = 20
UPDATES = 3 * STEPS + 5  # of a build: three of each step, and those of its set-up
STEP_TIME = 0.5  # seconds
CONFIGURATION = "".join(
    ["steps:\n", *(f"  - name: Step {number}\n    command: 'true'\n" for number in range(STEPS))]
).encode()
LIMIT = 1_000  # requests an hour, as Bitbucket has it
QUIET = 8.0  # seconds without a request, after which none is to come: what waits for the next change waits for less
LONGEST = 180.0  # seconds


async def spent(scene: Scene, *, left: float = 1.0, **settings: Any) -> dict[str, float]:
    """What the Container Manager's updates cost with *left* of the hour's budget, while there is a token that lives."""
    scene.cloud.rate_limit.limit = LIMIT
    for _ in range(int((1 - left) * LIMIT)):
        scene.cloud.rate_limit.spend(KEY)
    daemon = await scene.daemon(OURS, rateLimit=LIMIT, **settings)
    url, setting = f"http://127.0.0.1:{daemon.port}", scene.container_manager.setting
    setting.handler_url, setting.auth_url, setting.archive_url = url, f"{url}/auth_lookup", scene.cloud.url
    setting.step_time = STEP_TIME
    try:
        (await scene.load(daemon, 1, LONGEST, [hook(_body(scene))])).check()
        await scene.until_idle(daemon)
        scene.container_manager.faults.clear()  # from now on builds are run
        return await _counted(scene, daemon, [hook(_body(scene))])
    finally:
        daemon.stop()


async def spent_as_node(scene: Scene) -> dict[str, float]:
    """What the same updates cost the baseline."""
    await spent(scene)
    updates = [_again(call) for call in _updates(scene)]
    scene.start_handler()  # the next build is taken, and not run
    daemon = await scene.daemon(NODE_LIKE)
    try:
        return await _counted(scene, daemon, [hook(_body(scene)), *updates])
    finally:
        daemon.stop()


async def _counted(scene: Scene, daemon: Daemon, requests: Sequence[bytes]) -> dict[str, float]:
    """How many requests Bitbucket gets, for tokens and others, until all has come to rest after these *requests*."""
    scene.cloud.server.requests.clear()
    (await scene.load(daemon, 1, LONGEST, requests)).check()
    await scene.until(lambda: _at_rest(scene), LONGEST)
    asked = [recorded.path for recorded in scene.cloud.server.requests]
    return {
        "requests": sum(path.startswith("/2.0/") for path in asked),
        "for tokens": sum(path.endswith("/access_token") for path in asked),
    }


def _at_rest(scene: Scene) -> bool:
    updates = _updates(scene)
    told = len(updates) == UPDATES and all(call.status is not None for call in updates)
    last = max(updates[-1].time, scene.cloud.server.requests[-1].time) if told else 0.0
    return told and scene.clock.seconds() - last > QUIET


def _updates(scene: Scene) -> list[Call]:
    return [call for call in scene.container_manager.calls if "/status/" in call.url]


def _again(update: Call) -> bytes:
    return request("POST", urlsplit(update.url).path, update.body)


def _body(scene: Scene) -> bytes:
    [repository] = repositories(scene, 1)
    return next(bodies(scene, repository, CONFIGURATION))
