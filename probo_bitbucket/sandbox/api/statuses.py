"""Build statuses of commits."""

from __future__ import annotations

from typing import Any

from twisted.web.server import Request

from probo_bitbucket.sandbox.answers import Refused, json_body, not_found
from probo_bitbucket.sandbox.api.routes import Routes
from probo_bitbucket.sandbox.commits import Commit
from probo_bitbucket.sandbox.repository import Repository
from probo_bitbucket.sandbox.statuses import BuildStatus, InvalidStatus, parse_status


def add(api: Routes) -> None:
    @api.repository_route("/commit/<revision>/statuses", "repository")
    def statuses(request: Request, repository: Repository, revision: str) -> Any:
        commit = repository.commit(revision)
        shown = repository.shown_statuses(commit.hash)
        return api.page(request, [api.cloud.documents.status(repository, commit, status) for status in shown])

    @api.repository_route("/commit/<revision>/statuses/build", "repository", "POST", 201)
    def post(request: Request, repository: Repository, revision: str) -> Any:
        return put_on(repository, repository.commit(revision), json_body(request))

    @api.repository_route("/commit/<revision>/statuses/build/<path:key>", "repository")
    def read(_request: Request, repository: Repository, revision: str, key: str) -> Any:
        commit = repository.commit(revision)
        return api.cloud.documents.status(repository, commit, _shown(repository, commit, key))

    @api.repository_route("/commit/<revision>/statuses/build/<path:key>", "repository", "PUT")
    def change(request: Request, repository: Repository, revision: str, key: str) -> Any:
        commit = repository.commit(revision)
        _shown(repository, commit, key)
        body = json_body(request)
        return put_on(repository, commit, {**body, "key": key} if isinstance(body, dict) else body)

    def put_on(repository: Repository, commit: Commit, body: Any) -> Any:
        variables = {"repository.full_name": repository.full_name, "commit.hash": commit.hash}
        try:
            status = parse_status(body, api.cloud.clock.seconds(), variables)
        except InvalidStatus as invalid:
            raise Refused(400, str(invalid)) from None
        repository.post_status(commit, status)
        return api.cloud.documents.status(repository, commit, _shown(repository, commit, status.key))


def _shown(repository: Repository, commit: Commit, key: str) -> BuildStatus:
    if history := repository.statuses.get((commit.hash, key)):
        return history[-1]
    raise not_found(f"Build status {key}")
