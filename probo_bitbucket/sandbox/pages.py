"""The pages of the simulated Bitbucket, where a person does what the daemon has to live with."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from klein import Klein
from klein.resource import KleinResource
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException

from probo_bitbucket.sandbox.answers import Refused, form, on_error
from probo_bitbucket.sandbox.consumer_pages import add_consumers
from probo_bitbucket.sandbox.downloads import add_downloads
from probo_bitbucket.sandbox.gate import Gate
from probo_bitbucket.sandbox.pullrequest import BranchGone, PullRequest
from probo_bitbucket.sandbox.repository import NoSuchCommit, Repository
from probo_bitbucket.sandbox.statuses import BuildStatus
from probo_bitbucket.sandbox.templates import go_to, show, show_refusal
from probo_bitbucket.sandbox.webhook_pages import add_webhooks

if TYPE_CHECKING:
    from probo_bitbucket.sandbox.bitbucket import BitbucketCloud

CHANGED_FILE = "page.html"  # what the buttons change


def pages(cloud: BitbucketCloud, gate: Gate) -> KleinResource:
    """Everything that is not the API and not OAuth."""
    app = Klein()
    add_downloads(app, cloud, gate)
    add_consumers(app, cloud)
    add_webhooks(app, cloud)
    _add_views(app, cloud)
    _add_buttons(app, cloud)
    on_error(app, Refused, show_refusal)
    on_error(app, NoSuchCommit, _no_such_page)
    on_error(app, BranchGone, _branch_gone)
    on_error(app, HTTPException, _no_such_page)
    return app.resource()


def _add_views(app: Klein, cloud: BitbucketCloud) -> None:
    @app.route("/")
    def index(request: Request) -> bytes:
        return show(
            request, "index.html", repositories=cloud.repositories.values(), workspaces=sorted(cloud.workspaces())
        )

    @app.route("/<workspace>/workspace/settings")
    def workspace_settings(request: Request, workspace: str) -> bytes:
        if workspace not in cloud.workspaces():
            raise Refused(404, f"There is no workspace {workspace}.")
        return show(request, "workspace.html", workspace=workspace)

    @app.route("/<workspace>/<slug>", methods=["GET"])
    def repository(request: Request, workspace: str, slug: str) -> bytes:
        found = _repository(cloud, workspace, slug)
        return show(request, "repository.html", repository=found)

    @app.route("/<workspace>/<slug>/pull-requests/<int:number>", methods=["GET"])
    def pull_request(request: Request, workspace: str, slug: str, number: int) -> bytes:
        found = _pull_request(cloud, workspace, slug, number)
        return show(request, "pullrequest.html", pull_request=found, commits=_commits(found))


def _add_buttons(app: Klein, cloud: BitbucketCloud) -> None:
    numbers = count(1)

    def change() -> dict[str, bytes]:
        return {CHANGED_FILE: b"<p>Version %d</p>\n" % next(numbers)}

    @app.route("/<workspace>/<slug>", methods=["POST"], endpoint="open")
    def open_pull_request(request: Request, workspace: str, slug: str) -> bytes:
        repository = _repository(cloud, workspace, slug)
        title = form(request).get("title") or "Change the page"
        branch = f"feature/change-{len(repository.pull_requests) + 1}"
        return go_to(request, repository.open_pull_request(title, branch, change()).path)

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
        return go_to(request, pull_request.path)


def _commits(pull_request: PullRequest) -> list[tuple[str, list[BuildStatus]]]:
    """The hashes of the pull request's own commits with the statuses of each, newest first."""
    if pull_request.source is None:
        return []
    shown = pull_request.source.shown_statuses
    return [(commit.hash, shown(commit.hash)) for commit in pull_request.commits()]


def _repository(cloud: BitbucketCloud, workspace: str, slug: str) -> Repository:
    repository = cloud.repositories.get(f"{workspace}/{slug}")
    if repository is None:
        raise Refused(404, f"There is no repository {workspace}/{slug}.")
    return repository


def _pull_request(cloud: BitbucketCloud, workspace: str, slug: str, number: int) -> PullRequest:
    pull_request = _repository(cloud, workspace, slug).pull_requests.get(number)
    if pull_request is None:
        raise Refused(404, f"There is no pull request {number} of {workspace}/{slug}.")
    return pull_request


def _branch_gone(request: Request, gone: BranchGone) -> bytes:
    return show_refusal(request, Refused(409, str(gone)))


def _no_such_page(request: Request, _error: Exception) -> bytes:
    return show_refusal(request, Refused(404, "There is no such page."))
