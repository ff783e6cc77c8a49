"""Repositories, their commits, branches and files."""

from __future__ import annotations

from typing import Any

from twisted.web.server import Request

from probo_bitbucket.sandbox.answers import answer, not_found, query
from probo_bitbucket.sandbox.api.routes import Routes
from probo_bitbucket.sandbox.commits import Commit, File, FileKind
from probo_bitbucket.sandbox.repository import Repository


def add(api: Routes) -> None:
    _add_commits(api)
    _add_branches(api)
    _add_files(api)


def _add_commits(api: Routes) -> None:
    @api.route("/repositories/<workspace>")
    def of_workspace(request: Request, workspace: str) -> Any:
        access = api.gate.authorize(request, "repository")
        found = [each for each in api.cloud.repositories.values() if each.workspace == workspace]
        seen = [api.cloud.documents.repository(each) for each in found if access.reaches(each.full_name)]
        return api.page(request, seen)

    @api.repository_route("", "repository")
    def repository(_request: Request, repository: Repository) -> Any:
        return api.cloud.documents.repository(repository)

    @api.repository_route("/commit/<revision>", "repository")
    def commit(_request: Request, repository: Repository, revision: str) -> Any:
        return api.cloud.documents.commit(repository, repository.commit(revision))

    @api.repository_route("/commits", "repository")
    def commits(request: Request, repository: Repository) -> Any:
        return history(request, repository, query(request).get("include") or list(repository.branches))

    @api.repository_route("/commits/<revision>", "repository")
    def commits_from(request: Request, repository: Repository, revision: str) -> Any:
        return history(request, repository, [revision])

    def history(request: Request, repository: Repository, starts: list[str]) -> Any:
        found = repository.history(*(repository.revision(start) for start in starts))
        return api.page(request, [api.cloud.documents.commit(repository, commit) for commit in found], default=30)


def _add_branches(api: Routes) -> None:
    def document(repository: Repository, name: str) -> Any:
        return api.cloud.documents.branch(repository, name, repository.revision(name))

    @api.repository_route("/refs/branches", "repository")
    def branches(request: Request, repository: Repository) -> Any:
        return api.page(request, [document(repository, name) for name in sorted(repository.branches)])

    @api.repository_route("/refs/branches/<path:name>", "repository")
    def branch(_request: Request, repository: Repository, name: str) -> Any:
        if name not in repository.branches:
            raise not_found(f"Branch {name}")
        return document(repository, name)


def _add_files(api: Routes) -> None:
    @api.repository_route("/src/<revision>/", "repository")
    def root(request: Request, repository: Repository, revision: str) -> Any:
        return listing(request, repository.revision(revision), "")

    @api.repository_route("/src/<revision>/<path:path>", "repository")
    def file(request: Request, repository: Repository, revision: str, path: str) -> Any:
        commit = repository.revision(revision)
        found = commit.files.get(path)
        if found is None:
            return listing(request, commit, f"{path.rstrip('/')}/")
        if found.kind is FileKind.LFS:
            return elsewhere(request, f"{repository.full_name}/{commit.hash}/{path}")
        return answer(request, found.content, "application/octet-stream")

    def listing(request: Request, commit: Commit, directory: str) -> Any:
        children = commit.below(directory)
        if directory and not children:
            raise not_found(f"No such file or directory: {directory.rstrip('/')}")
        return api.page(request, [_entry(commit, path, file) for path, file in children.items()])

    def elsewhere(request: Request, path: str) -> bytes:
        """LFS files are kept on another host."""
        request.setResponseCode(301)
        request.setHeader("Location", f"{api.cloud.url.replace('127.0.0.1', 'localhost')}/lfs/{path}")
        return b""


def _entry(commit: Commit, path: str, file: File | None) -> Any:
    entry = {"path": path, "commit": {"type": "commit", "hash": commit.hash}}
    if file is None:
        return {**entry, "type": "commit_directory"}
    attributes = [] if file.kind is FileKind.PLAIN else [file.kind.value]
    return {**entry, "type": "commit_file", "size": len(file.content), "attributes": attributes}
