"""The hooks of repositories and workspaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from twisted.web.server import Request

from probo_bitbucket.sandbox.answers import Refused, json_body, not_found
from probo_bitbucket.sandbox.api.routes import Routes
from probo_bitbucket.sandbox.hooks import EVENTS, LONGEST_SECRET, MOST_HOOKS, Hook
from probo_bitbucket.sandbox.repository import Repository

if TYPE_CHECKING:
    from probo_bitbucket.sandbox.bitbucket import BitbucketCloud


def add(api: Routes) -> None:
    """The same routes twice: a repository's hooks and a workspace's."""

    @api.repository_route("/hooks", "webhook")
    def hooks(request: Request, repository: Repository) -> Any:
        return listing(request, repository.full_name)

    @api.repository_route("/hooks", "webhook", "POST", 201)
    def add_hook(request: Request, repository: Repository) -> Any:
        return create(request, repository.full_name)

    @api.repository_route("/hooks/<uid>", "webhook")
    def hook(_request: Request, repository: Repository, uid: str) -> Any:
        return _document(find(api.cloud, repository.full_name, uid))

    @api.repository_route("/hooks/<uid>", "webhook", "PUT")
    def change_hook(request: Request, repository: Repository, uid: str) -> Any:
        return change(find(api.cloud, repository.full_name, uid), json_body(request))

    @api.repository_route("/hooks/<uid>", "webhook", "DELETE")
    def delete_hook(_request: Request, repository: Repository, uid: str) -> None:
        api.cloud.hooks[repository.full_name].remove(find(api.cloud, repository.full_name, uid))

    @api.route("/workspaces/<workspace>/hooks")
    def workspace_hooks(request: Request, workspace: str) -> Any:
        return listing(request, checked(request, workspace))

    @api.route("/workspaces/<workspace>/hooks", "POST", 201)
    def add_workspace_hook(request: Request, workspace: str) -> Any:
        return create(request, checked(request, workspace))

    @api.route("/workspaces/<workspace>/hooks/<uid>")
    def workspace_hook(request: Request, workspace: str, uid: str) -> Any:
        return _document(find(api.cloud, checked(request, workspace), uid))

    @api.route("/workspaces/<workspace>/hooks/<uid>", "PUT")
    def change_workspace_hook(request: Request, workspace: str, uid: str) -> Any:
        return change(find(api.cloud, checked(request, workspace), uid), json_body(request))

    @api.route("/workspaces/<workspace>/hooks/<uid>", "DELETE")
    def delete_workspace_hook(request: Request, workspace: str, uid: str) -> None:
        api.cloud.hooks[workspace].remove(find(api.cloud, checked(request, workspace), uid))

    def checked(request: Request, workspace: str) -> str:
        access = api.gate.authorize(request, "webhook")
        if workspace not in api.cloud.workspaces() or access.limited_to not in ("", workspace):
            raise not_found(f"Workspace {workspace}")
        return workspace

    def listing(request: Request, subject: str) -> Any:
        return api.page(request, [_document(hook) for hook in api.cloud.hooks.get(subject, [])])

    def create(request: Request, subject: str) -> Any:
        return make(api.cloud, subject, json_body(request))


def find(cloud: BitbucketCloud, subject: str, uid: str) -> Hook:
    for hook in cloud.hooks.get(subject, []):
        if hook.uuid.strip("{}") == uid.strip("{}"):
            return hook
    raise not_found(f"Hook {uid}")


def make(cloud: BitbucketCloud, subject: str, body: Any) -> dict[str, Any]:
    """Give *subject*, a repository or workspace, another hook, as *body* says."""
    hooks = cloud.hooks.setdefault(subject, [])
    if len(hooks) >= MOST_HOOKS:
        raise Refused(400, f"{subject} has {MOST_HOOKS} webhooks already, and can have no more.")
    hook = Hook("", frozenset())
    document = change(hook, body)
    hooks.append(hook)
    return document


def _document(hook: Hook) -> dict[str, Any]:
    """A hook as it is shown: without its secret."""
    return {
        "type": "webhook_subscription",
        "uuid": hook.uuid,
        "url": hook.url,
        "description": hook.description,
        "active": hook.active,
        "events": sorted(hook.events),
        "secret_set": bool(hook.secret),
    }


def change(hook: Hook, body: Any) -> dict[str, Any]:
    """Give *hook* what *body* says. A secret that is not named stays; null removes it."""
    match body:
        case {"url": str(url), "events": [_, *_] as events, "description": str(description)}:
            _check_url(url)
            _check_events(events)
        case _:
            raise Refused(400, "url, description and events are required.")
    secret = _secret(body.get("secret", hook.secret))
    hook.url, hook.events, hook.description, hook.secret = url, frozenset(events), description, secret
    hook.active = body.get("active", True) is True
    return _document(hook)


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused(400, "url: Enter a valid URL.")


def _check_events(events: list[Any]) -> None:
    if unknown := [event for event in events if event not in EVENTS]:
        raise Refused(400, f"events: {unknown[0]} is not a valid event.")


def _secret(secret: Any) -> str:
    if secret is None:
        return ""
    if not isinstance(secret, str) or len(secret) > LONGEST_SECRET:
        raise Refused(400, f"secret: At most {LONGEST_SECRET} characters.")
    return secret
