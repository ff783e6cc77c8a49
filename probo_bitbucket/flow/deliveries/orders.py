"""Orders: has built what an operator names, as Bitbucket has it at that moment, whatever webhooks told of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import uuid4

from attrs import define, evolve
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket import origins
from probo_bitbucket.bitbucket import payloads
from probo_bitbucket.bitbucket.api import Bitbucket
from probo_bitbucket.bitbucket.payloads import News, PayloadError
from probo_bitbucket.errors import NotFound, Temporary
from probo_bitbucket.flow.builds.again import NotThere
from probo_bitbucket.flow.builds.anew import Anew, NotNow, check_covered
from probo_bitbucket.flow.credentials.projects import NoProject
from probo_bitbucket.flow.deliveries.responder import Responder, build_of
from probo_bitbucket.flow.work import log_fields
from probo_bitbucket.model import (
    Build,
    BuildKind,
    Ignored,
    PullRequestChanged,
    PullRequestClosed,
    Repository,
    check_hash,
)
from probo_bitbucket.store import Database, Transaction, builds, pull_requests

T = TypeVar("T")


@define(eq=False)
class Orders:
    """An operator's word stands above the rules: drafts, forks and what wants to be skipped are built.

    Each costs one request. *wake* tells the steps that there is something to do.
    """

    store: Database
    clock: IReactorTime
    bitbucket: Bitbucket
    responder: Responder
    anew: Anew
    site_url: str
    wake: Callable[[], None]

    log = Logger()

    async def pull_request(self, full_name: str, number: int) -> Build:
        """Have the commit built that a pull request is at.

        Raises InvalidName, NotThere, NotNow, NotWanted, UpstreamError or StoreUnavailable.
        """
        repository = await self._repository(full_name)
        match await self._look_up(repository, number):
            case PullRequestChanged() as event:
                return await self._want(self._take_news, event)
            case PullRequestClosed(state=state):
                raise NotNow(f"pull request #{number} is {state.lower()}: nothing of it is built any more")
            case Ignored(reason):
                raise NotNow(reason)

    async def commit(self, full_name: str, hash: str) -> Build:
        """Have a commit built, whatever pull requests have it. Raises as `pull_request` does."""
        repository, wanted = await self._repository(full_name), check_hash(hash)
        commit = await _told(self.bitbucket.commit(repository, wanted))
        id, now = str(uuid4()), self.clock.seconds()
        build = Build(
            id, BuildKind.HASH, repository, repository, commit.hash, commit.message, now, origin=origins.OPERATOR
        )
        return await self._want(self._ask, build)

    async def _repository(self, full_name: str) -> Repository:
        named = Repository.parse(full_name)
        check_covered(self.anew.repositories, named.full_name)
        return await self.store.transact(builds.identified, named)

    async def _look_up(self, repository: Repository, number: int) -> News:
        document = await _told(self.bitbucket.pull_request_document(repository, number))
        try:
            return payloads.read_document(document, self.site_url)
        except PayloadError as error:
            raise Temporary(f"Bitbucket's answer is not understood: {error}") from error

    def _take_news(self, tx: Transaction, event: PullRequestChanged) -> Build:
        now = self.clock.seconds()
        known = pull_requests.find(tx, event.repository, event.number)
        if late := self.responder.take_note(tx, event, known, now, origins.OPERATOR):
            raise NotNow(late.reason)
        return self._ask(tx, evolve(build_of(event, now), origin=origins.OPERATOR))

    def _ask(self, tx: Transaction, build: Build) -> Build:
        self.anew.build(tx, build)
        return build

    async def _want(self, ask: Callable[..., Build], what: object) -> Build:
        build = await self.store.transact(ask, what)
        self.log.info("A build is wanted", event="build.wanted", branch=build.branch, **log_fields.of_build(build))
        self.wake()
        return build


async def _told(answer: Awaitable[T]) -> T:
    """What Bitbucket tells. Raises NotThere where it has no such thing, or a coordinator no project for it."""
    try:
        return await answer
    except (NotFound, NoProject) as error:
        raise NotThere(str(error)) from error
