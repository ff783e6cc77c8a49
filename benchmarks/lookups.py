"""Tokens handed to the Container Manager, with Bitbucket far away."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.scene import FAR, Scene, request


async def answered(scene: Scene, command: Sequence[str], *, seconds: float) -> dict[str, float]:
    """`/auth_lookup` answered a second, 32 callers."""
    daemon = await scene.daemon(command)
    question = request("GET", f"/auth_lookup?type=bitbucket&refreshToken={scene.refresh_token}")
    scene.cloud.server.answer_after = FAR
    try:
        await scene.load(daemon, 1, 5.0, [question])  # fetches the token
        outcome = await scene.load(daemon, 32, seconds, [question] * int(6000 * seconds))
        outcome.check()
    finally:
        scene.cloud.server.answer_after = 0.0
        daemon.stop()
    return {"a second": outcome.rate, "p99 ms": outcome.percentile(0.99) * 1000}
