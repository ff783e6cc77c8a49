"""Statuses: how many reach a far Bitbucket in a second."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http.client import CREATED
from urllib.parse import quote
from uuid import uuid4

from twisted.internet.defer import Deferred

from benchmarks.accepting import repositories
from benchmarks.scene import FAR, Scene, request
from probo_bitbucket.sandbox.repository import Repository
from probo_bitbucket.sandbox.server import Recorded

LONGEST = 300.0  # seconds


async def reported(scene: Scene, command: Sequence[str], *, statuses: int) -> dict[str, float]:
    """Statuses a second that arrive, each of a commit of its own, in eight repositories, told by 32 callers at once."""
    daemon = await scene.daemon(command)
    updates = [_update(repository) for repository in repositories(scene, 8) for _ in range(statuses // 8)]
    arrivals: list[float] = []

    def answered(recorded: Recorded) -> None:
        if recorded.path.endswith("/statuses/build") and recorded.status == CREATED:
            arrivals.append(scene.clock.seconds())

    scene.cloud.server.on_answer = answered
    scene.cloud.server.answer_after = FAR
    began = scene.clock.seconds()
    try:
        load = Deferred.fromCoroutine(scene.load(daemon, 32, LONGEST, updates))
        await scene.until(lambda: len(arrivals) == len(updates), LONGEST)
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
