"""How much gets through in a second: statuses to a far Bitbucket, and builds, for which it is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from http.client import CREATED, OK
from urllib.parse import quote
from uuid import uuid4

from twisted.internet.defer import Deferred

from benchmarks.accepting import bodies, hook, repositories
from benchmarks.scene import FAR, Scene, request
from probo_bitbucket.sandbox.repository import Repository
from probo_bitbucket.sandbox.server import Recorded, Server

LONGEST = 300.0  # seconds
CALLERS = 32  # at once


async def reported(scene: Scene, command: Sequence[str], *, statuses: int) -> dict[str, float]:
    """Statuses a second that arrive, each of a commit of its own, in eight repositories."""
    updates = [_update(repository) for repository in repositories(scene, 8) for _ in range(statuses // 8)]

    def is_status(recorded: Recorded) -> bool:
        return recorded.path.endswith("/statuses/build") and recorded.status == CREATED

    return await _arriving(scene, command, updates, scene.cloud.server, is_status)


async def begun(scene: Scene, command: Sequence[str], *, builds: int) -> dict[str, float]:
    """Builds a second that arrive, each of a pull request of its own, in eight repositories."""
    made = [bodies(scene, repository) for repository in repositories(scene, 8)]
    hooks = [hook(next(made[number % len(made)])) for number in range(builds)]

    def is_build(recorded: Recorded) -> bool:
        return recorded.path == "/startbuild" and recorded.status == OK

    return await _arriving(scene, command, hooks, scene.container_manager.server, is_build)


async def _arriving(
    scene: Scene, command: Sequence[str], requests: Sequence[bytes], server: Server, is_one: Callable[[Recorded], bool]
) -> dict[str, float]:
    """How many that are one get to *server* in a second, of *requests* that lead to one each."""
    daemon = await scene.daemon(command)
    arrivals: list[float] = []

    def answered(recorded: Recorded) -> None:
        if is_one(recorded):
            arrivals.append(scene.clock.seconds())

    server.on_answer = answered
    scene.cloud.server.answer_after = FAR
    began = scene.clock.seconds()
    try:
        load = Deferred.fromCoroutine(scene.load(daemon, CALLERS, LONGEST, requests))
        await scene.until(lambda: len(arrivals) == len(requests), LONGEST)
        (await load).check()
    finally:
        scene.cloud.server.answer_after = 0.0
        daemon.stop()
    return {"a second": len(arrivals) / (arrivals[-1] - began)}


def _update(repository: Repository) -> bytes:
    commit = repository.add_commit((), {})
    build_id, context = str(uuid4()), "ProboCI/Shell/Hello"
    owner, _, slug = repository.full_name.partition("/")
    project = {
        "id": f"{owner}-{slug}",
        "provider_id": repository.uuid,
        "owner": owner,
        "repo": slug,
        "slug": repository.full_name,
        "provider": {"type": "bitbucket", "slug": "bitbucket"},
    }
    build = {"id": build_id, "commit": {"ref": commit.hash}, "branch": {"name": "feature/x"}, "project": project}
    update = {"state": "success", "description": "[■] echo hi", "context": context}
    body = json.dumps({"update": update, "build": build}).encode()
    return request("POST", f"/builds/{build_id}/status/{quote(context, safe='')}", body)
