"""The load: people who open pull requests, push to them and edit them, and Bitbucket that says things twice."""

from __future__ import annotations

from random import Random

from probo_bitbucket.sandbox.bitbucket import BitbucketCloud
from probo_bitbucket.sandbox.pullrequest import PullRequest
from probo_bitbucket.sandbox.repository import Repository

CONFIGURATIONS = {
    "acme/site": b"steps: [{name: Hello, command: echo hi}, {name: Fine, command: 'true'}]",
    "acme/shop": b"steps: [{name: Hello, command: echo hi}, {name: Fails, command: 'false'}, {command: 'true'}]",
    "other/blog": b"assets: [database.sql.gz]\nsteps: [{name: A step whose name is too long for a key, command: ls}]",
}


class Load:
    """Does one thing after the other, whatever *random* says."""

    def __init__(self, cloud: BitbucketCloud, random: Random) -> None:
        self._cloud = cloud
        self._random = random
        self._repositories = [
            cloud.add_repository(name, {".probo.yaml": configuration}) for name, configuration in CONFIGURATIONS.items()
        ]
        self._fork = cloud.fork(self._repositories[0], "contributor/site")
        self._open: list[PullRequest] = []
        self._opened = 0

    def act(self) -> None:
        """Do one thing."""
        self._cloud.deliveries.twice = self._random.random() < 0.2
        self._cloud.deliveries.keep_request_uuid = self._random.random() < 0.5
        actions = [self._open_pull_request, self._push, self._edit, self._close, self._send_again]
        [action] = self._random.choices(actions, weights=[4, 4, 1, 1, 1])
        action()

    def _open_pull_request(self) -> None:
        self._opened += 1
        repository = self._random.choice(self._repositories)
        source = self._source(repository)
        branch = f"feature/{self._opened}"
        self._open.append(repository.open_pull_request(f"Change {self._opened}", branch, source=source))

    def _source(self, repository: Repository) -> Repository | None:
        return self._fork if self._fork.parent is repository and self._random.random() < 0.3 else None

    def _push(self) -> None:
        if self._open:
            self._random.choice(self._open).push()

    def _edit(self) -> None:
        if self._open:
            self._random.choice(self._open).edit(title=f"Edited {self._random.random()}")

    def _close(self) -> None:
        if self._open:
            pull_request = self._open.pop(self._random.randrange(len(self._open)))
            from_fork = pull_request.source is not pull_request.repository
            if from_fork or self._random.random() < 0.5:  # the verdict wants every commit in one repository only
                pull_request.decline()
            else:
                pull_request.merge()

    def _send_again(self) -> None:
        if self._cloud.deliveries.journal:
            self._cloud.deliveries.again(self._random.choice(self._cloud.deliveries.journal))
