"""What the daemon takes before it has anything to do, and with much that waits."""

from __future__ import annotations

from benchmarks.accepting import bodies, fill, repositories
from benchmarks.scene import DATABASE, OURS, Scene

HOUR = 3600.0  # seconds


async def started(scene: Scene) -> dict[str, float]:
    """Time from the command to the first connection that is taken, and memory once it has settled.

    Of a start that finds its tables: the first one of all has to make them.
    """
    data = scene.folder / "resting"
    first = await scene.daemon(OURS, dataDir=str(data))
    await scene.until_idle(first)
    first.stop()
    daemon = await scene.daemon(OURS, dataDir=str(data))
    try:
        await scene.until_idle(daemon)
        return {"seconds": daemon.started_in, "MiB": daemon.memory}
    finally:
        daemon.stop()


async def with_backlog(scene: Scene, *, rows: int) -> dict[str, float]:
    """Memory at work, when Bitbucket does not answer: the deliveries wait, and what they lead to."""
    data = scene.folder / "backlog"
    daemon = await scene.daemon(OURS, dataDir=str(data))
    await scene.until_idle(daemon)
    daemon.stop()
    [repository] = repositories(scene, 1)
    fill(data / DATABASE, rows, next(bodies(scene, repository)), waiting=True)
    scene.cloud.server.answer_after = HOUR
    daemon = await scene.daemon(OURS, dataDir=str(data))
    try:
        await scene.until_idle(daemon)
        return {"MiB": daemon.memory, "seconds": daemon.started_in}
    finally:
        scene.cloud.server.answer_after = 0.0
        daemon.stop()
