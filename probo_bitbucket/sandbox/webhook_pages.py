"""The webhooks of a repository or workspace, where a person makes, changes and deletes them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from klein import Klein
from twisted.web.server import Request

from probo_bitbucket.sandbox.answers import Refused, form
from probo_bitbucket.sandbox.api.hooks import change, find, make
from probo_bitbucket.sandbox.hooks import EVENTS, LONGEST_SECRET, Delivery, Hook
from probo_bitbucket.sandbox.templates import go_to, show

if TYPE_CHECKING:
    from probo_bitbucket.sandbox.bitbucket import BitbucketCloud

LATEST = 20  # deliveries that are shown of a webhook
_OF_REPOSITORY = "/<workspace>/<slug>/admin/webhooks"  # as on Bitbucket
_OF_WORKSPACE = "/<workspace>/workspace/settings/webhooks"


def add_webhooks(app: Klein, cloud: BitbucketCloud) -> None:
    """The same pages twice: of a repository's webhooks and of a workspace's."""
    for path in (_OF_REPOSITORY, _OF_WORKSPACE):
        _add(app, cloud, path)


def _add(app: Klein, cloud: BitbucketCloud, route: str) -> None:
    @app.route(route, methods=["GET"], endpoint=f"GET {route}")
    def webhooks(request: Request, **parts: str) -> bytes:
        place = checked(**parts)
        owners = dict.fromkeys((place, parts["workspace"]))
        hooks = [(owner, hook) for owner in owners for hook in cloud.hooks.get(owner, [])]
        requests = {hook: _latest(cloud.deliveries.journal, hook) for _, hook in hooks}
        return show(request, "webhooks.html", place=place, hooks=hooks, requests=requests, path=_path)

    @app.route(f"{route}/new", methods=["GET"], endpoint=f"GET {route}/new")
    def new(request: Request, **parts: str) -> bytes:
        path = _path(checked(**parts))
        return _form(request, "Add webhook", path, path, Hook("", frozenset({"repo:push"})))

    @app.route(route, methods=["POST"], endpoint=f"POST {route}")
    def add(request: Request, **parts: str) -> bytes:
        place = checked(**parts)
        make(cloud, place, _meant(form(request)))
        return go_to(request, _path(place))

    @app.route(f"{route}/<uid>", methods=["GET"], endpoint=f"GET {route}/uid")
    def edit(request: Request, uid: str, **parts: str) -> bytes:
        place = checked(**parts)
        return _form(request, "Edit webhook", _path(place), f"{_path(place)}/{uid}", find(cloud, place, uid))

    @app.route(f"{route}/<uid>", methods=["POST"], endpoint=f"POST {route}/uid")
    def act(request: Request, uid: str, **parts: str) -> bytes:
        place = checked(**parts)
        hook, fields = find(cloud, place, uid), form(request)
        match fields.get("action"):
            case "save":
                change(hook, _meant(fields))
            case "delete":
                cloud.hooks[place].remove(hook)
            case _:
                raise Refused(400, "Press one of the buttons.")
        return go_to(request, _path(place))

    def checked(workspace: str, slug: str = "") -> str:
        """The place that is meant, if there is such a one."""
        place = f"{workspace}/{slug}" if slug else workspace
        if place not in cloud.repositories and place not in cloud.workspaces():
            raise Refused(404, f"There is no {'repository' if slug else 'workspace'} {place}.")
        return place


def _path(place: str) -> str:
    workspace, _, slug = place.partition("/")
    route = _OF_REPOSITORY if slug else _OF_WORKSPACE
    return route.replace("<workspace>", workspace).replace("<slug>", slug)


def _form(request: Request, title: str, path: str, action: str, hook: Hook) -> bytes:
    """Sent to *action*; *path* is that of the list."""
    return show(
        request,
        "webhook.html",
        title=title,
        path=path,
        action=action,
        hook=hook,
        events=EVENTS,
        longest_secret=LONGEST_SECRET,
    )


def _meant(fields: dict[str, str]) -> dict[str, object]:
    """What the API would be sent for a form. A secret that is left empty stays what it is."""
    return {
        "description": fields.get("title", ""),
        "url": fields.get("url", "").strip(),
        "events": [event for event in EVENTS if event in fields],
        "active": "active" in fields,
        **({"secret": fields["secret"]} if fields.get("secret") else {}),
    }


def _latest(journal: Sequence[Delivery], hook: Hook) -> list[Delivery]:
    """The latest deliveries to *hook*, the newest first."""
    return list(islice((delivery for delivery in reversed(journal) if delivery.hook is hook), LATEST))
