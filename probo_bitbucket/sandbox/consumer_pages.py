"""The OAuth consumers of a workspace, where a person makes them, changes what they may do, and takes them away."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from klein import Klein
from twisted.web.server import Request

from probo_bitbucket.sandbox.answers import Refused, form
from probo_bitbucket.sandbox.credentials import Consumer, with_implied
from probo_bitbucket.sandbox.templates import go_to, show

if TYPE_CHECKING:
    from probo_bitbucket.sandbox.bitbucket import BitbucketCloud

# What Bitbucket's page offers, by scope, as it is called there.
PERMISSIONS = {
    "email": "Account: Email",
    "account": "Account: Read",
    "repository": "Repositories: Read",
    "repository:write": "Repositories: Write",
    "pullrequest": "Pull requests: Read",
    "pullrequest:write": "Pull requests: Write",
    "webhook": "Webhooks: Read and write",
}
_LIST = "/<workspace>/workspace/settings/oauth-consumers"


def add_consumers(app: Klein, cloud: BitbucketCloud) -> None:
    """The list of consumers, and a form for each and for a new one."""

    @app.route(_LIST, methods=["GET"], endpoint="consumers")
    def consumers(request: Request, workspace: str) -> bytes:
        found = [each for each in cloud.credentials.consumers.values() if each.workspace == workspace]
        return show(
            request, "consumers.html", workspace=workspace, path=_path(workspace), consumers=found, labels=_labels
        )

    @app.route(f"{_LIST}/new", methods=["GET"], endpoint="new consumer")
    def new(request: Request, workspace: str) -> bytes:
        path = _path(checked(workspace))
        consumer = Consumer("", "", "", frozenset(), name="", private=False)
        return _form(request, "Add OAuth consumer", path, path, consumer)

    @app.route(_LIST, methods=["POST"], endpoint="add consumer")
    def add(request: Request, workspace: str) -> bytes:
        consumer = cloud.credentials.new_consumer(checked(workspace))
        change(consumer, form(request))
        cloud.credentials.add_consumer(consumer)
        return go_to(request, _path(workspace))

    @app.route(f"{_LIST}/<key>", methods=["GET"], endpoint="consumer")
    def edit(request: Request, workspace: str, key: str) -> bytes:
        path = _path(workspace)
        return _form(request, "Edit OAuth consumer", path, f"{path}/{key}", find(workspace, key))

    @app.route(f"{_LIST}/<key>", methods=["POST"], endpoint="act on consumer")
    def act(request: Request, workspace: str, key: str) -> bytes:
        consumer, fields = find(workspace, key), form(request)
        match fields.get("action"):
            case "save":
                change(consumer, fields)
            case "revoke":
                cloud.credentials.withdraw(consumer)
            case "delete":
                cloud.credentials.remove_consumer(consumer)
            case _:
                raise Refused(400, "Press one of the buttons.")
        return go_to(request, _path(workspace))

    def checked(workspace: str) -> str:
        if workspace not in cloud.workspaces():
            raise Refused(404, f"There is no workspace {workspace}.")
        return workspace

    def find(workspace: str, key: str) -> Consumer:
        consumer = cloud.credentials.consumers.get(key)
        if consumer is None or consumer.workspace != workspace:
            raise Refused(404, "There is no such consumer.")
        return consumer

    def change(consumer: Consumer, fields: dict[str, str]) -> None:
        name, callback_url = fields.get("name", "").strip(), fields.get("callback", "").strip()
        scopes = [scope for scope in PERMISSIONS if scope in fields]
        if not name:
            raise Refused(400, "Name: This field is required.")
        if callback_url and not _is_url(callback_url):
            raise Refused(400, "Callback URL: Enter a valid URL.")
        if not scopes:
            raise Refused(400, "Permissions: Choose at least one.")
        consumer.name, consumer.callback_url, consumer.private = name, callback_url, "private" in fields
        cloud.credentials.give_scopes(consumer, scopes)


def _path(workspace: str) -> str:
    return _LIST.replace("<workspace>", workspace)


def _form(request: Request, title: str, path: str, action: str, consumer: Consumer) -> bytes:
    """Sent to *action*; *path* is that of the list."""
    return show(
        request,
        "consumer.html",
        title=title,
        path=path,
        action=action,
        consumer=consumer,
        permissions=PERMISSIONS,
        granted=with_implied(consumer.scopes),
    )


def _labels(consumer: Consumer) -> list[str]:
    """What *consumer* may do, as Bitbucket calls it."""
    return [label for scope, label in PERMISSIONS.items() if scope in with_implied(consumer.scopes)]


def _is_url(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.hostname)
