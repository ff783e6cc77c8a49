"""Pull requests and their comments."""

from __future__ import annotations

from typing import Any

from twisted.web.server import Request

from probo_bitbucket.sandbox.answers import Refused, json_body, not_found, query
from probo_bitbucket.sandbox.api.routes import Routes
from probo_bitbucket.sandbox.commits import APP_USER
from probo_bitbucket.sandbox.pullrequest import Comment, PullRequest, PullRequestState
from probo_bitbucket.sandbox.repository import Repository

LONGEST_COMMENT = 32_768  # characters
LARGEST_PAGE = 50  # pull requests have smaller pages than everything else


def add(api: Routes) -> None:
    @api.repository_route("/pullrequests", "pullrequest")
    def pull_requests(request: Request, repository: Repository) -> Any:
        states = query(request).get("state", [PullRequestState.OPEN])
        if unknown := [state for state in states if state not in set(PullRequestState)]:
            raise Refused(400, f"Invalid state: {unknown[0]}")
        found = [each for each in reversed(repository.pull_requests.values()) if each.state in states]
        documents = [api.cloud.documents.pull_request(each) for each in found]
        return api.page(request, documents, largest=LARGEST_PAGE)

    @api.repository_route("/pullrequests/<int:number>", "pullrequest")
    def pull_request(_request: Request, repository: Repository, number: int) -> Any:
        return api.cloud.documents.pull_request(_pull_request(repository, number))

    _add_comments(api)


def _add_comments(api: Routes) -> None:
    @api.repository_route("/pullrequests/<int:number>/comments", "pullrequest")
    def comments(request: Request, repository: Repository, number: int) -> Any:
        found = _pull_request(repository, number).comments.values()
        return api.page(request, [api.cloud.documents.comment(comment) for comment in found])

    @api.repository_route("/pullrequests/<int:number>/comments", "pullrequest", "POST", 201)
    def write(request: Request, repository: Repository, number: int) -> Any:
        comment = _pull_request(repository, number).comment(_text(request), APP_USER)
        return api.cloud.documents.comment(comment)

    @api.repository_route("/pullrequests/<int:number>/comments/<int:comment>", "pullrequest")
    def read(_request: Request, repository: Repository, number: int, comment: int) -> Any:
        return api.cloud.documents.comment(_comment(_pull_request(repository, number), comment))

    @api.repository_route("/pullrequests/<int:number>/comments/<int:comment>", "pullrequest", "PUT")
    def edit(request: Request, repository: Repository, number: int, comment: int) -> Any:
        pull_request = _pull_request(repository, number)
        edited = _comment(pull_request, comment)
        if edited.author is not APP_USER:
            raise Refused(403, "You may only edit your own comments.")
        pull_request.edit_comment(edited, _text(request))
        return api.cloud.documents.comment(edited)

    @api.repository_route("/pullrequests/<int:number>/comments/<int:comment>", "pullrequest", "DELETE")
    def delete(_request: Request, repository: Repository, number: int, comment: int) -> None:
        pull_request = _pull_request(repository, number)
        pull_request.delete_comment(_comment(pull_request, comment))


def _pull_request(repository: Repository, number: int) -> PullRequest:
    if number not in repository.pull_requests:
        raise not_found(f"Pull request {number}")
    return repository.pull_requests[number]


def _comment(pull_request: PullRequest, number: int) -> Comment:
    comment = pull_request.comments.get(number)
    if comment is None or comment.deleted:
        raise not_found(f"Comment {number}")
    return comment


def _text(request: Request) -> str:
    match json_body(request):
        case {"content": {"raw": str(text)}} if len(text) > LONGEST_COMMENT:
            raise Refused(
                400, "content: Ensure this value is shorter.", fields={"content": [f"{len(text)} characters"]}
            )
        case {"content": {"raw": str(text)}} if text.strip():
            return text
    raise Refused(400, "content: This field is required.", fields={"content": ["required key not provided"]})
