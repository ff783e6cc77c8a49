"""Status updates of the Container Manager: `POST /builds/:id/status/:context` and `POST /update`."""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import frozen
from msgspec import UNSET, Struct, UnsetType

from probo_bitbucket.bodies import BodyError, clean, decode
from probo_bitbucket.logs import redact_tokens
from probo_bitbucket.model import BUILD_ID, Phase, Update

# Characters that are kept of each text. A step's description is its whole command, of any length.
_TASK_ID = 255
_CONTEXT = 2_000
_STATE = 80
_DESCRIPTION = 4_000
_URL = 2_000
_NAME = 255

# The Container Manager says `error`; the other words for a failure are those of the Node handlers.
_PHASES = {
    "pending": Phase.PENDING,
    "running": Phase.RUNNING,
    "success": Phase.SUCCEEDED,
    "error": Phase.FAILED,
    "fail": Phase.FAILED,
    "failure": Phase.FAILED,
    "failed": Phase.FAILED,
}
_GOING_ON = ("[⌛]", "[▶]")
_FINISHED = "[■]"

_Scalar = str | int | float | bool | None


class UpdateError(BodyError):
    """A status update that cannot be understood; the message names the path."""


@frozen
class Reported:
    """A status update, and what its `build` tells, for builds that our store does not know.

    Texts are empty where the Container Manager does not tell them.
    """

    update: Update
    provider: str  # of the project: bitbucket, github …
    project_slug: str  # workspace/repository, unchecked
    commit: str  # unchecked
    commit_url: str
    branch: str
    pull_request_url: str


class _Task(Struct):
    id: _Scalar = None


class _Update(Struct):
    state: str
    description: str | None = None
    context: str | None = None
    target_url: str | None = None
    task: _Task | None = None


class _Commit(Struct, rename="camel"):
    ref: str | None = None
    html_url: str | None = None


class _Branch(Struct):
    name: str | None = None


class _PullRequest(Struct, rename="camel"):
    html_url: str | None = None


class _Project(Struct):
    slug: str | None = None
    provider: Any = None


class _Build(Struct, rename="camel"):
    id: _Scalar = None
    commit: _Commit | None = None
    branch: _Branch | None = None
    pull_request: _PullRequest | None = None
    project: _Project | None = None


class _Body(Struct):
    update: _Update | UnsetType = UNSET
    build: _Build | UnsetType = UNSET


def read(body: bytes, *, build_id: str = "", context: str = "") -> Reported:
    """Read a status update. *build_id* and *context* of the path win over the body's. Raises UpdateError."""
    wire_update, build = _parts(decode(body, _Body, UpdateError))
    update = _update(
        wire_update,
        build_id=_required(clean(build_id, BUILD_ID) or _text(build.id, BUILD_ID), "build.id"),
        context=_required(clean(context or wire_update.context, _CONTEXT), "update.context"),
    )
    return _reported(update, build)


def _reported(update: Update, build: _Build) -> Reported:
    commit = build.commit or _Commit()
    pull_request = build.pull_request or _PullRequest()
    project = build.project or _Project()
    return Reported(
        update=update,
        provider=_provider(project),
        project_slug=clean(project.slug, _NAME),
        commit=clean(commit.ref, _NAME),
        commit_url=clean(commit.html_url, _URL),
        branch=clean((build.branch or _Branch()).name, _NAME),
        pull_request_url=clean(pull_request.html_url, _URL),
    )


def _provider(project: _Project) -> str:
    kind = project.provider.get("type") if isinstance(project.provider, dict) else None
    return clean(kind, _NAME) if isinstance(kind, str) else ""


def _parts(body: _Body) -> tuple[_Update, _Build]:
    if isinstance(body.update, UnsetType) and isinstance(body.build, UnsetType):
        raise UpdateError("`update` and `build` are missing")  # the form that is meant for a coordinator
    if isinstance(body.update, UnsetType):
        raise UpdateError("`update` is missing")
    if isinstance(body.build, UnsetType):
        raise UpdateError("`build` is missing")
    return body.update, body.build


def _update(wire: _Update, build_id: str, context: str) -> Update:
    state = _required(clean(wire.state, _STATE), "update.state")
    phase = _PHASES.get(state.lower(), Phase.STOPPED)
    description = clean(redact_tokens(wire.description or ""), _DESCRIPTION)  # a command, or its error, can have one
    return Update(
        build_id=build_id,
        context=context,
        phase=phase,
        state=state,
        description=f"{description} (original state: {state})".lstrip() if phase is Phase.STOPPED else description,
        final=_is_final(phase, description),
        target_url=clean(wire.target_url, _URL),
        task_id=_text((wire.task or _Task()).id, _TASK_ID),
    )


def _is_final(phase: Phase, description: str) -> bool:
    """Tell the end by its icon, since `env` says `success` three times. Without icons a state means what it says."""
    if description.startswith(_FINISHED):
        return True
    return phase not in (Phase.PENDING, Phase.RUNNING) and not description.startswith(_GOING_ON)


def _required(text: str, path: str) -> str:
    if not text:
        raise UpdateError(f"`{path}` is missing")
    return text


def _text(value: _Scalar, limit: int) -> str:
    if value is None or isinstance(value, str):
        return clean(value, limit)
    return msgspec.json.encode(value).decode()[:limit]
