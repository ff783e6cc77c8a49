"""The JSON documents of the simulated Bitbucket, in its webhooks and its answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from probo_bitbucket.sandbox.commits import Account, Commit
from probo_bitbucket.sandbox.pullrequest import Comment, PullRequest
from probo_bitbucket.sandbox.repository import Change, Repository
from probo_bitbucket.sandbox.statuses import BuildStatus

Document = dict[str, Any]

SHORT_HASH = 12  # characters of a commit hash inside a pull request
PUSHED_COMMITS = 5  # at most so many commits are told of in a push


class Documents:
    """Writes documents whose links start with *url*, that of the site and the API alike."""

    def __init__(self, url: str) -> None:
        self._site = url
        self._api = f"{url}/2.0"

    def event(self, repository: Repository, subjects: Mapping[str, object], actor: Account) -> Document:
        """The body of a webhook: *subjects* by the name that they have in it."""
        body = {name: self._subject(repository, subject) for name, subject in subjects.items()}
        return {**body, "repository": self.repository(repository), "actor": self.account(actor)}

    def _subject(self, repository: Repository, subject: object) -> Document:
        match subject:
            case PullRequest():
                return self.pull_request(subject)
            case Comment():
                return self.comment(subject)
            case (Commit() as commit, BuildStatus() as status):
                return self.status(repository, commit, status)
            case tuple() as changes:
                return {"changes": [self._change(repository, change) for change in changes]}
        raise TypeError(f"no document for {subject!r}")

    def account(self, account: Account) -> Document:
        address = quote(account.uuid)
        return {
            "type": "user",
            "display_name": account.display_name,
            "nickname": account.nickname,
            "uuid": account.uuid,
            "account_id": account.account_id,
            "links": self._links(f"{self._api}/users/{address}", f"{self._site}/{address}/"),
        }

    def repository(self, repository: Repository) -> Document:
        workspace = repository.workspace
        document: Document = {
            **self._repository_reference(repository),
            "scm": "git",
            "website": "",
            "is_private": True,
            "mainbranch": {"type": "branch", "name": repository.main_branch},
            "owner": {"type": "team", "display_name": workspace.title(), "uuid": f"{{{workspace}}}"},
            "workspace": {"type": "workspace", "slug": workspace, "name": workspace.title()},
            "project": {"type": "project", "key": "WEB", "name": "Web Sites"},
        }
        if repository.parent is not None:
            document["parent"] = self._repository_reference(repository.parent)
        return document

    def _repository_reference(self, repository: Repository) -> Document:
        return {
            "type": "repository",
            "name": repository.name,
            "full_name": repository.full_name,
            "uuid": repository.uuid,
            "links": self._links(
                f"{self._api}/repositories/{repository.full_name}", f"{self._site}/{repository.full_name}"
            ),
        }

    def pull_request(self, pull_request: PullRequest) -> Document:
        repository, source, merged = pull_request.repository, pull_request.source, pull_request.merge_commit
        api = f"{self._api}/repositories/{repository.full_name}/pullrequests/{pull_request.number}"
        html = f"{self._site}/{repository.full_name}/pull-requests/{pull_request.number}"
        return {
            "type": "pullrequest",
            "id": pull_request.number,
            "title": pull_request.title,
            "description": pull_request.description,
            "state": pull_request.state.value,
            "draft": pull_request.draft,
            "author": self.account(pull_request.author),
            "source": self._end(source, pull_request.branch, pull_request.head),
            "destination": self._end(repository, pull_request.destination_branch, pull_request.destination),
            "merge_commit": self._short(repository, merged) if merged else None,
            "closed_by": None,
            "close_source_branch": False,
            "reason": "",
            "comment_count": sum(not comment.deleted for comment in pull_request.comments.values()),
            "task_count": 0,
            "reviewers": [],
            "participants": [],
            "created_on": _date(pull_request.created_on),
            "updated_on": _date(pull_request.updated_on),
            "links": {
                **self._links(api, html),
                **{name: {"href": f"{api}/{name}"} for name in ("statuses", "commits", "comments", "merge", "decline")},
            },
        }

    def _end(self, repository: Repository | None, branch: str, commit: Commit | None) -> Document:
        return {
            "repository": self._repository_reference(repository) if repository else None,
            "branch": {"name": branch},
            "commit": self._short(repository, commit) if repository and commit else None,
        }

    def _short(self, repository: Repository, commit: Commit) -> Document:
        digits = commit.hash[:SHORT_HASH]
        return {"type": "commit", "hash": digits, "links": self._commit_links(repository, digits)}

    def commit(self, repository: Repository, commit: Commit) -> Document:
        """A whole commit, with its full hash."""
        author = commit.author
        return {
            "type": "commit",
            "hash": commit.hash,
            "message": commit.message,
            "date": _date(commit.date),
            "author": {
                "type": "author",
                "raw": f"{author.display_name} <{author.nickname}@example.com>",
                "user": self.account(author),
            },
            "summary": {"type": "rendered", "raw": commit.message, "markup": "markdown", "html": ""},
            "parents": [
                {"type": "commit", "hash": parent, "links": self._commit_links(repository, parent)}
                for parent in commit.parents
            ],
            "links": self._commit_links(repository, commit.hash),
        }

    def branch(self, repository: Repository, name: str, commit: Commit, kind: str = "branch") -> Document:
        path = quote(name)
        return {
            "type": kind,
            "name": name,
            "target": self.commit(repository, commit),
            "links": self._links(
                f"{self._api}/repositories/{repository.full_name}/refs/{kind}es/{path}",
                f"{self._site}/{repository.full_name}/{kind}/{path}",
            ),
        }

    def _change(self, repository: Repository, change: Change) -> Document:
        document: Document = {
            "old": self.branch(repository, change.name, change.old, change.kind) if change.old else None,
            "new": self.branch(repository, change.name, change.new, change.kind) if change.new else None,
            "created": change.old is None,
            "closed": change.new is None,
            "forced": False,
            "truncated": len(change.commits) > PUSHED_COMMITS,
        }
        if change.new is not None:
            document["commits"] = [self.commit(repository, commit) for commit in change.commits[:PUSHED_COMMITS]]
            document["links"] = self._commit_links(repository, change.new.hash)
        return document

    def comment(self, comment: Comment) -> Document:
        return {
            "type": "pullrequest_comment",
            "id": comment.number,
            "content": {
                "type": "rendered",
                "raw": "" if comment.deleted else comment.text,
                "markup": "markdown",
                "html": "",
            },
            "user": self.account(comment.author),
            "deleted": comment.deleted,
            "created_on": _date(comment.created_on),
            "updated_on": _date(comment.updated_on),
        }

    def status(self, repository: Repository, commit: Commit, status: BuildStatus) -> Document:
        on_commit = f"{self._api}/repositories/{repository.full_name}/commit/{commit.hash}"
        return {
            "type": "build",
            "state": status.state.value,
            "key": status.key,
            "name": status.name,
            "url": status.url,
            "description": status.description,
            "refname": status.refname,
            "created_on": _date(status.created_on),
            "updated_on": _date(status.updated_on),
            "commit": {"type": "commit", "hash": commit.hash},
            "links": {
                "self": {"href": f"{on_commit}/statuses/build/{quote(status.key, safe='')}"},
                "commit": {"href": on_commit},
            },
        }

    def _commit_links(self, repository: Repository, digits: str) -> Document:
        return self._links(
            f"{self._api}/repositories/{repository.full_name}/commit/{digits}",
            f"{self._site}/{repository.full_name}/commits/{digits}",
        )

    @staticmethod
    def _links(api: str, html: str) -> Document:
        return {"self": {"href": api}, "html": {"href": html}}


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
