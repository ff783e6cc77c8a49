"""A Bitbucket Cloud to play with: repositories, hooks, credentials, and the server that shows them.

It is as strict as the real one, so that what works with it works there. Nothing in it is kept when it stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.client import Agent

from probo_bitbucket.sandbox.commits import AUTHOR, Account, File
from probo_bitbucket.sandbox.credentials import Consumer, Credentials
from probo_bitbucket.sandbox.documents import Documents
from probo_bitbucket.sandbox.hooks import Deliveries, Hook
from probo_bitbucket.sandbox.pullrequest import Comment, PullRequest
from probo_bitbucket.sandbox.ratelimit import RateLimit
from probo_bitbucket.sandbox.repository import Repository
from probo_bitbucket.sandbox.server import Server
from probo_bitbucket.sandbox.site import site

ENOUGH_FOR_PROBO = ("pullrequest",)


class BitbucketCloud:
    """Site and API of the simulated Bitbucket on one port; the API is below `/2.0`."""

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock
        self.repositories: dict[str, Repository] = {}
        self.hooks: dict[str, list[Hook]] = {}  # by full name of the repository, or by workspace
        self.credentials = Credentials(clock)
        self.rate_limit = RateLimit(clock)
        self.deliveries = Deliveries(clock)
        self.scope_field = "scopes"  # what the token endpoint calls it: "scopes" or, newer, "scope"
        self.server = Server(clock, site(self))
        self.faults = self.server.faults
        self.requests = self.server.requests
        self.on_event: Callable[[str, Mapping[str, object]], None] = lambda _, __: None  # told of every event
        self.url = ""

    async def listen(self, reactor: Any, port: int = 0) -> str:
        """Start to serve and to deliver hooks; return the URL of the site."""
        self.deliveries.agent = Agent(reactor, connectTimeout=10)
        self.url = await self.server.listen(reactor, port)
        return self.url

    async def stop(self) -> None:
        await self.deliveries.stop()
        await self.server.stop()

    def settled(self) -> Deferred[None]:
        """Fires when no hook is being delivered."""
        return self.deliveries.settled()

    @property
    def api_url(self) -> str:
        return f"{self.url}/2.0"

    @property
    def documents(self) -> Documents:
        return Documents(self.url)

    def add_repository(
        self,
        full_name: str,
        files: Mapping[str, File | bytes] | None = None,
        *,
        name: str | None = None,
    ) -> Repository:
        """A new repository with one commit. Its display name is not its slug, as is usual."""
        display_name = name or f"The {full_name.partition('/')[2].title()}"
        repository = Repository(full_name, display_name, self.clock, self._announce)
        self.repositories[full_name] = repository
        first = repository.add_commit((), {"README.md": b"# Hello\n", **(files or {})}, "Begin")
        repository.branches[repository.main_branch] = first.hash
        return repository

    def fork(self, parent: Repository, full_name: str) -> Repository:
        """A repository with all of *parent*'s commits, that is its own from now on."""
        fork = Repository(full_name, f"{parent.name} (fork)", self.clock, self._announce, parent)
        self.repositories[full_name] = fork
        return fork

    def delete_repository(self, repository: Repository) -> None:
        repository.deleted = True
        del self.repositories[repository.full_name]

    def rename_repository(self, repository: Repository, full_name: str) -> None:
        """Its uuid, its pull requests and its hooks stay what they are."""
        self.repositories[full_name] = self.repositories.pop(repository.full_name)
        self.hooks[full_name] = self.hooks.pop(repository.full_name, [])
        repository.full_name = full_name

    def add_hook(self, subject: str, url: str, events: Iterable[str], secret: str = "") -> Hook:
        """Let *url* hear of *events* in *subject*: a repository's full name or a workspace."""
        hook = Hook(url, frozenset(events), secret, "Probo")
        self.hooks.setdefault(subject, []).append(hook)
        return hook

    def add_consumer(
        self,
        key: str,
        secret: str,
        callback_url: str = "http://127.0.0.1/callback",
        *,
        rotating: bool = True,
        grace: float = 600.0,
        scopes: Iterable[str] = ENOUGH_FOR_PROBO,
    ) -> Consumer:
        """An OAuth consumer whose used refresh tokens live *grace* seconds longer (for ever, if not *rotating*)."""
        consumer = Consumer(key, secret, callback_url, frozenset(scopes), rotating, grace)
        self.credentials.add_consumer(consumer)
        return consumer

    def workspaces(self) -> set[str]:
        return {repository.workspace for repository in self.repositories.values()}

    def _announce(self, repository: Repository, event: str, subjects: Mapping[str, object]) -> None:
        self.on_event(event, subjects)
        hooks = [*self.hooks.get(repository.full_name, []), *self.hooks.get(repository.workspace, [])]
        if hooks:
            document = self.documents.event(repository, subjects, _actor(subjects))
            self.deliveries.deliver(hooks, event, document)


def _actor(subjects: Mapping[str, object]) -> Account:
    """Who did it: the author of the comment, else of the pull request."""
    authors = [subject.author for subject in subjects.values() if isinstance(subject, Comment | PullRequest)]
    return authors[-1] if authors else AUTHOR
