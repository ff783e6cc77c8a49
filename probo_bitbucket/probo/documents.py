"""The documents that the Container Manager gets: build and project, key by key as the Node handlers sent them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from probo_bitbucket.model import Build, Repository


def build(build: Build, config: dict[str, Any], project_id: str, site_url: str) -> dict[str, Any]:
    """The `build` of a `/startbuild`.

    `createdAt` and `projectId` are what the Reaper sorts and groups by; `request` is what a Container Manager with
    `endpointUrl` reads. Version 4.5.3 needs `branch` in every build.
    """
    pages = f"{site_url}/{build.source.full_name}"
    document: dict[str, Any] = {
        "id": build.id,
        "projectId": project_id,
        "createdAt": _iso(build.created_at),
        "name": build.name,
        "type": build.kind,
        "commit": {"ref": build.commit, "htmlUrl": f"{pages}/commits/{build.commit}"},
        "branch": {"name": build.branch, "htmlUrl": f"{pages}/branch/{build.branch}"},
        "config": config,
    }
    if build.pull_request:
        document["pullRequest"] = {
            "number": str(build.pull_request.number),
            "name": build.pull_request.title,
            "description": build.pull_request.description,
            "htmlUrl": build.pull_request.url,
        }
    document["request"] = _request(build, document)
    return document


def _request(build: Build, document: dict[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {
        "type": "pullrequest" if build.pull_request else build.kind,
        "service": "bitbucket",
        "branch": build.branch,
        "branch_html_url": document["branch"]["htmlUrl"],
        "owner": build.source.workspace,
        "repo": build.source.slug,
        "repo_id": build.repository.uuid,
        "slug": build.repository.full_name,
        "sha": build.commit,
        "commit_url": document["commit"]["htmlUrl"],
    }
    if build.pull_request:
        pull_request = build.pull_request
        shown = {"links": {"html": {"href": pull_request.url}}, "author": {"display_name": pull_request.author}}
        request |= {
            "pull_request": pull_request.number,
            "pull_request_name": pull_request.title,
            "pull_request_description": pull_request.description,
            "pull_request_html_url": pull_request.url,
            "payload": {"pullrequest": shown},
        }
    return request


def project(repository: Repository, source: Repository, project_id: str) -> dict[str, Any]:
    """The `project` of a `/startbuild`, but for `service_auth`.

    `owner` and `repo` make the address that the source is downloaded from: the fork's, for a fork.
    """
    return {
        "id": project_id,
        "provider_id": repository.uuid,
        "owner": source.workspace,
        "repo": source.slug,
        "slug": repository.full_name,
        "provider": {"type": "bitbucket", "slug": "bitbucket"},
    }


def service_auth(token: str, refresh_token: str) -> dict[str, str]:
    """What the Container Manager and the Reaper send back to us when they want a token."""
    return {"token": token, "refreshToken": refresh_token, "type": "token"}


def _iso(seconds: float) -> str:
    """A time as JavaScript's toISOString writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
