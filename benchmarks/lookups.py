"""Tokens handed to the Container Manager, with Bitbucket far away."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import quote

from benchmarks.accepting import bodies, hook, repositories
from benchmarks.scene import FAR, Daemon, Scene, request
from probo_bitbucket.sandbox.server import Recorded


async def answered(scene: Scene, command: Sequence[str], *, seconds: float) -> dict[str, float]:
    """`/auth_lookup` answered a second, 32 callers."""
    daemon = await scene.daemon(command)
    question = request("GET", f"/auth_lookup?type=bitbucket&refreshToken={quote(await _given(scene, daemon))}")
    scene.cloud.server.answer_after = FAR
    try:
        await scene.load(daemon, 1, 5.0, [question])  # fetches the token
        outcome = await scene.load(daemon, 32, seconds, [question], again=True)
        outcome.check()
    finally:
        scene.cloud.server.answer_after = 0.0
        daemon.stop()
    return {"a second": outcome.rate, "p99 ms": outcome.percentile(0.99) * 1000}


async def _given(scene: Scene, daemon: Daemon) -> str:
    """The refresh token that the Container Manager is given with a build; the baseline takes any."""
    started: list[dict[str, dict[str, dict[str, str]]]] = []

    def note(recorded: Recorded) -> None:
        if recorded.path == "/startbuild":
            started.append(json.loads(recorded.body))

    scene.container_manager.server.on_answer = note
    [repository] = repositories(scene, 1)
    await scene.load(daemon, 1, 5.0, [hook(next(bodies(scene, repository)))])
    await scene.until(lambda: bool(started))
    return started[0]["project"].get("service_auth", {}).get("refreshToken", "any")
