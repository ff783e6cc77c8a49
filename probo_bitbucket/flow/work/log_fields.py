"""What every line of the log about a build or a status tells of it, so that a search finds the whole story."""

from __future__ import annotations

from typing import Any

from probo_bitbucket import origins
from probo_bitbucket.model import Build
from probo_bitbucket.store.statuses import StoredStatus


def of_build(build: Build) -> dict[str, Any]:
    return {
        "delivery": origins.delivery_of(build.origin),
        "build": build.id,
        "repository": build.repository.full_name,
        "pull_request": build.pull_request.number if build.pull_request else None,
        "commit": build.commit,
    }


def of_status(status: StoredStatus) -> dict[str, Any]:
    return {
        "delivery": origins.delivery_of(status.origin),
        "build": status.build_id,
        "repository": status.desired.repository.full_name,
        "pull_request": status.pull_request,
        "commit": status.desired.commit,
        "key": status.desired.key,
        "state": status.desired.state,
    }
