"""The pages of the simulated Bitbucket, where a person opens, updates, merges and declines pull requests."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from klein import Klein
from klein.resource import KleinResource
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException

from probo_bitbucket.sandbox.answers import Refused, answer, form, on_error
from probo_bitbucket.sandbox.downloads import add_downloads
from probo_bitbucket.sandbox.gate import Gate
from probo_bitbucket.sandbox.hooks import Delivery, Hook
from probo_bitbucket.sandbox.pullrequest import BranchGone, PullRequest
from probo_bitbucket.sandbox.repository import NoSuchCommit, Repository
from probo_bitbucket.sandbox.statuses import BuildStatus
from probo_bitbucket.sandbox.templates import render

if TYPE_CHECKING:
    from probo_bitbucket.sandbox.bitbucket import BitbucketCloud

HTML = "text/html; charset=utf-8"
CHANGED_FILE = "page.html"  # what the buttons change
LATEST = 20  # deliveries that are shown of a webhook


def pages(cloud: BitbucketCloud, gate: Gate) -> KleinResource:
    """Everything that is not the API and not OAuth."""
    app = Klein()
    add_downloads(app, cloud, gate)
    _add_views(app, cloud)
    _add_buttons(app, cloud)
    on_error(app, Refused, _refused)
    on_error(app, NoSuchCommit, _no_such_page)
    on_error(app, BranchGone, _branch_gone)
    on_error(app, HTTPException, _no_such_page)
    return app.resource()


def _add_views(app: Klein, cloud: BitbucketCloud) -> None:
    @app.route("/")
    def index(request: Request) -> bytes:
        return _page(request, "index.html", repositories=cloud.repositories.values())

    @app.route("/sandbox.css")
    def style(request: Request) -> bytes:
        return answer(request, files(__package__).joinpath("templates/sandbox.css").read_bytes(), "text/css")

    @app.route("/<workspace>/<slug>", methods=["GET"])
    def repository(request: Request, workspace: str, slug: str) -> bytes:
        found = _repository(cloud, workspace, slug)
        return _page(request, "repository.html", repository=found)

    @app.route("/<workspace>/<slug>/admin/webhooks")  # as on Bitbucket
    def webhooks(request: Request, workspace: str, slug: str) -> bytes:
        found = _repository(cloud, workspace, slug)
        hooks = [(place, hook) for place in (found.full_name, workspace) for hook in cloud.hooks.get(place, [])]
        requests = {hook: _latest(cloud.deliveries.journal, hook) for _, hook in hooks}
        return _page(request, "webhooks.html", repository=found, hooks=hooks, requests=requests)

    @app.route("/<workspace>/<slug>/pull-requests/<int:number>", methods=["GET"])
    def pull_request(request: Request, workspace: str, slug: str, number: int) -> bytes:
        found = _pull_request(cloud, workspace, slug, number)
        return _page(request, "pullrequest.html", pull_request=found, commits=_commits(found))


def _add_buttons(app: Klein, cloud: BitbucketCloud) -> None:
    numbers = count(1)

    def change() -> dict[str, bytes]:
        return {CHANGED_FILE: b"<p>Version %d</p>\n" % next(numbers)}

    @app.route("/<workspace>/<slug>", methods=["POST"], endpoint="open")
    def open_pull_request(request: Request, workspace: str, slug: str) -> bytes:
        repository = _repository(cloud, workspace, slug)
        title = form(request).get("title") or "Change the page"
        branch = f"feature/change-{len(repository.pull_requests) + 1}"
        return _see(request, repository.open_pull_request(title, branch, change()))

    @app.route("/<workspace>/<slug>/pull-requests/<int:number>", methods=["POST"], endpoint="act")
    def act(request: Request, workspace: str, slug: str, number: int) -> bytes:
        pull_request = _pull_request(cloud, workspace, slug, number)
        if not pull_request.open:
            raise Refused(409, "This pull request is closed.")
        match form(request).get("action"):
            case "update":
                pull_request.push(change())
            case "merge":
                pull_request.merge()
            case "decline":
                pull_request.decline()
            case _:
                raise Refused(400, "Press one of the buttons.")
        return _see(request, pull_request)


def _page(request: Request, template: str, **values: Any) -> bytes:
    request.setHeader("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'")
    return answer(request, render(template, **values), HTML)


def _see(request: Request, pull_request: PullRequest) -> bytes:
    """Go to the page of *pull_request*."""
    request.setResponseCode(303)
    request.setHeader("Location", pull_request.path)
    return b""


def _commits(pull_request: PullRequest) -> list[tuple[str, list[BuildStatus]]]:
    """The hashes of the pull request's own commits with the statuses of each, newest first."""
    if pull_request.source is None:
        return []
    shown = pull_request.source.shown_statuses
    return [(commit.hash, shown(commit.hash)) for commit in pull_request.commits()]


def _latest(journal: Sequence[Delivery], hook: Hook) -> list[Delivery]:
    """The latest deliveries to *hook*, the newest first."""
    return list(islice((delivery for delivery in reversed(journal) if delivery.hook is hook), LATEST))


def _repository(cloud: BitbucketCloud, workspace: str, slug: str) -> Repository:
    repository = cloud.repositories.get(f"{workspace}/{slug}")
    if repository is None:
        raise Refused(404, "There is no such repository.")
    return repository


def _pull_request(cloud: BitbucketCloud, workspace: str, slug: str, number: int) -> PullRequest:
    pull_request = _repository(cloud, workspace, slug).pull_requests.get(number)
    if pull_request is None:
        raise Refused(404, "There is no such pull request.")
    return pull_request


def _refused(request: Request, refused: Refused) -> bytes:
    return answer(request, render("error.html", message=refused.message), HTML, refused.status)


def _branch_gone(request: Request, gone: BranchGone) -> bytes:
    return answer(request, render("error.html", message=str(gone)), HTML, 409)


def _no_such_page(request: Request, _error: Exception) -> bytes:
    return answer(request, render("error.html", message="There is no such page."), HTML, 404)
