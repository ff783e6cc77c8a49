"""Reconciler: looks for what no webhook told, because Bitbucket drops some silently and nobody can ask for them.

Each repository's open pull requests are compared with those that are known. What differs becomes a delivery of our own,
which is decided like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from attrs import define, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from probo_bitbucket.bitbucket import payloads
from probo_bitbucket.bitbucket.api import Bitbucket
from probo_bitbucket.bitbucket.payloads import FOUND, PayloadError
from probo_bitbucket.credentials import covers
from probo_bitbucket.errors import NotFound, Permanent
from probo_bitbucket.flow.deliveries.rules import outdated
from probo_bitbucket.flow.work.schedule import told_already
from probo_bitbucket.model import (
    SHORT_HASH,
    Delivery,
    Event,
    PullRequest,
    PullRequestChanged,
    PullRequestClosed,
    Repository,
)
from probo_bitbucket.store import Database, Lease, Transaction, builds, deliveries, pull_requests, repositories
from probo_bitbucket.store.pull_requests import KnownPullRequest
from probo_bitbucket.store.repositories import KnownRepository

SELDOM = 86_400.0  # seconds between two looks at a repository of which nothing is heard any more
LATELY = 30 * SELDOM  # seconds since the last news of a repository that is looked at right after a start


@frozen
class Found:
    """News that Bitbucket's API has, in the form of a webhook's body."""

    body: bytes
    event: Event


@define(eq=False)
class Reconciler:
    """The step that looks. Every *interval* seconds at first, half as often each time that there was no news.

    *random* gives numbers from 0 up to 1. *wake* tells the decision that there is a delivery.
    """

    store: Database
    clock: IReactorTime
    bitbucket: Bitbucket
    covered: Sequence[str]  # globs
    site_url: str
    policy: str  # what the settings say of pull requests
    interval: float
    random: Callable[[], float]
    wake: Callable[[], None]

    name = "reconciler"
    concurrency = 4
    log = Logger()

    def begin(self, tx: Transaction) -> None:
        """Look at all repositories that were active lately: webhooks got lost while nobody listened."""
        now = self.clock.seconds()
        repositories.look_now(tx, now, self.interval, now - LATELY)

    async def claim(self, lease: Lease, limit: int, busy: Collection[str]) -> Sequence[KnownRepository]:
        return await self.store.transact(repositories.claim_due, lease, limit, busy=busy)

    def repository(self, job: KnownRepository) -> str:
        return job.repository.full_name

    async def work(self, job: KnownRepository) -> None:
        repository = job.repository
        documents = await self._documents(job) if covers(self.covered, repository.full_name) else {}
        read = [self._read(repository, number, document) for number, document in documents.items()]
        told = await self.store.transact(self._tell, job, [found for found in read if found])
        for delivery, event in told:
            self._log_found(delivery, event)
        if told:
            self.wake()

    async def _documents(self, job: KnownRepository) -> dict[int, bytes]:
        """What Bitbucket tells of the open pull requests, and of those that were, by number."""
        documents = await self.bitbucket.open_pull_requests(job.repository)
        for number in await self.store.transact(self._unlisted, job, documents):
            try:
                documents[number] = await self.bitbucket.pull_request_document(job.repository, number)
            except Permanent as error:
                self._log_skipped(job.repository, number, error)
        return documents

    def _unlisted(self, tx: Transaction, job: KnownRepository, listed: Collection[int]) -> list[int]:
        """Those that are known as open and are not open any more."""
        return sorted(pull_requests.open_numbers(tx, job.repository).difference(listed))

    def _read(self, repository: Repository, number: int, document: bytes) -> Found | None:
        """The news in a *document*; None where it cannot be read, which must not hide those of the others."""
        try:
            return self._news(repository, document)
        except PayloadError as error:
            self._log_skipped(repository, number, error)
            return None

    def _news(self, repository: Repository, document: bytes) -> Found:
        """Raises PayloadError, also where the repository was renamed and has left its name to another one."""
        if repository.uuid and payloads.home(document).uuid != repository.uuid:
            raise PayloadError(f"another repository is called {repository.full_name} now")
        body = payloads.found(repository, document)
        return Found(body, payloads.read(FOUND, body, self.site_url))

    def _log_skipped(self, repository: Repository, number: int, error: Exception) -> None:
        self.log.info(
            "Pull request not looked at",
            event="reconciliation.skipped",
            repository=repository.full_name,
            pull_request=number,
            reason=str(error),
        )

    def _tell(self, tx: Transaction, job: KnownRepository, found: Sequence[Found]) -> list[tuple[int, Event]]:
        """Write down what is news, and when to look again. Returns the deliveries that were made of it."""
        now = self.clock.seconds()
        name = job.repository.full_name
        on_its_way = deliveries.undecided(tx, name)
        told: list[tuple[int, Event]] = []
        for each in found:
            number = each.event.number
            if number is None or number in on_its_way or not self._is_news(tx, each.event, number):
                continue
            told.append((deliveries.record(tx, Delivery(FOUND, each.body, now), each.event), each.event))
        active = bool(told) or repositories.active_since(tx, job)
        interval = self.interval if active else min(SELDOM, 2 * job.interval)
        due_at = now + interval * (0.75 + 0.5 * self.random())
        repositories.looked(tx, job, now, interval=interval, due_at=due_at)
        return told

    def _is_news(self, tx: Transaction, event: Event, number: int) -> bool:
        """Whether it has to be decided: as news, or because the settings are others than when it was, and left it."""
        known = pull_requests.find(tx, event.repository, number) if event.repository else None
        if is_news(event, known):
            return True
        if known is None or known.policy == self.policy or not isinstance(event, PullRequestChanged):
            return False
        left = not builds.has_commit(tx, event.repository, number, event.pull_request.commit)
        return left and outdated(event, known) is None

    def _log_found(self, delivery: int, event: Event) -> None:
        self.log.info(
            "Found by reconciliation",
            event="reconciliation.found",
            delivery=delivery,
            repository=event.repository.full_name if event.repository else None,
            pull_request=event.number,
            commit=event.pull_request.commit if isinstance(event, PullRequestChanged) else None,
            state=event.state if isinstance(event, PullRequestClosed) else None,
        )

    async def postpone(self, job: KnownRepository, due_at: float, error: Exception) -> None:
        self._log_trouble("Repository not looked at yet", "reconciliation.postponed", job, error)
        await self.store.transact(repositories.postpone, job, due_at=due_at, error=str(error))

    async def give_up(self, job: KnownRepository, error: Exception) -> None:
        self._log_trouble("Repository cannot be looked at", "reconciliation.failed", job, error)
        await self.store.transact(self._put_off, job, error)

    def _put_off(self, tx: Transaction, job: KnownRepository, error: Exception) -> None:
        """Look again tomorrow; not at all where there is nothing to look at, and nothing that may stand for ever."""
        if isinstance(error, NotFound) and not pull_requests.any_open_called(tx, job.repository.full_name):
            repositories.forget(tx, job)
        else:
            now = self.clock.seconds()
            repositories.looked(tx, job, now, interval=SELDOM, due_at=now + SELDOM, error=str(error))

    def _log_trouble(self, words: str, event: str, job: KnownRepository, error: Exception) -> None:
        self.log.emit(
            LogLevel.debug if told_already(error) else LogLevel.info,
            words,
            event=event,
            repository=job.repository.full_name,
            attempt=job.effort.attempts,
            reason=str(error),
        )


def is_news(event: Event, known: KnownPullRequest | None) -> bool:
    """Whether *event* tells what no delivery told. Comments and approvals change a pull request, too: they are none."""
    match event:
        case PullRequestChanged(pull_request=pull_request):
            if known is None:
                return True
            told = known.open and _same(known.pull_request, pull_request)
            return outdated(event, known) is None and not told
        case PullRequestClosed():
            return known is not None and known.open
    return False


def _same(known: PullRequest | None, told: PullRequest) -> bool:
    return known is not None and _decisive(known) == _decisive(told)


def _decisive(pull_request: PullRequest) -> tuple[object, ...]:
    """What the rules look at."""
    source = pull_request.source.full_name
    return source, pull_request.branch, pull_request.commit[:SHORT_HASH], pull_request.title, pull_request.draft
