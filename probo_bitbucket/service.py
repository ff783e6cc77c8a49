"""Where the parts meet: settings in, a service out."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from attrs import frozen
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.web.server import Site

from probo_bitbucket.bitbucket.api import Bitbucket
from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.bitbucket.oauth import OAuth
from probo_bitbucket.config import HandOut, Settings
from probo_bitbucket.credentials import Account, OAuthConsumer
from probo_bitbucket.flow.accounts import Access, Accounts, FixedAccess, NoAccess
from probo_bitbucket.flow.announcement import Announcement
from probo_bitbucket.flow.builder import Builder
from probo_bitbucket.flow.chain import TokenChain
from probo_bitbucket.flow.decision import Decision
from probo_bitbucket.flow.intake import Intake
from probo_bitbucket.flow.leases import Leases
from probo_bitbucket.flow.lookup import Lookup
from probo_bitbucket.flow.projects import CoordinatorProjects, OwnProjects, Projects
from probo_bitbucket.flow.relay import Relay
from probo_bitbucket.flow.reporter import Reporter
from probo_bitbucket.flow.requests import HashRequests
from probo_bitbucket.flow.schedule import Schedule
from probo_bitbucket.flow.worker import Worker
from probo_bitbucket.probo.container_manager import ContainerManager
from probo_bitbucket.store import Database, Engine, nodes
from probo_bitbucket.store.migrate import upgrade
from probo_bitbucket.upstream import Upstream, http_client
from probo_bitbucket.web.app import App
from probo_bitbucket.web.site import make_site


def make_service(settings: Settings, reactor: Any) -> IService:
    """The daemon as *settings* describe it. It listens and works while it runs."""
    return Handler(settings, reactor)


class Handler(Service):
    """Everything, in the order of its life: the store, the listening port, the workers."""

    log = Logger()

    def __init__(self, settings: Settings, reactor: Any) -> None:
        self.settings = settings
        self._reactor = reactor
        self._parts = Parts.assemble(settings, reactor)
        self._port: IListeningPort | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, which the system chose where the settings say 0."""
        return int(cast(Any, self._port).getHost().port)

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        self._parts.open_store(self.settings)
        self._port = self._reactor.listenTCP(self.settings.port, self._parts.site, interface=self.settings.hostname)

    def startService(self) -> None:
        super().startService()
        self._parts.leases.start()
        for worker in self._parts.workers:
            worker.startService()
        self.log.info("Listening on port {port}", port=self.port, event="daemon.listening")

    async def _stop(self) -> None:
        await maybeDeferred(cast(IListeningPort, self._port).stopListening)
        await DeferredList([worker.stopService() for worker in self._parts.workers])
        await self._parts.leases.stop()
        await self._parts.pool.closeCachedConnections()
        await self._parts.store.stop()

    def stopService(self) -> Deferred[None]:
        """Stop to listen, let what is on its way end, put back the rest, and close the store: in this order."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())


@frozen
class Parts:
    """What a handler is made of."""

    engine: Engine
    store: Database
    site: Site
    workers: tuple[Worker, ...]
    leases: Leases
    pool: Any

    def open_store(self, settings: Settings) -> None:
        """Bring the tables up to date and start the store's thread."""
        upgrade(self.engine)
        self.store.start()
        if not settings.database:
            self.store.transact(nodes.release_all)  # no other process uses this file

    @classmethod
    def assemble(cls, settings: Settings, reactor: Any) -> Parts:
        """Make every part, and give each what it needs of the others."""
        node = str(uuid4())
        if not settings.database:
            make_private_directory(settings.data_dir)
        engine = Engine(settings.database_url)
        store = Database(engine, reactor)
        http, pool = http_client(reactor)
        schedule = Schedule(settings.retry_for, random.random)

        def upstream(name: str) -> Upstream:
            return Upstream(name, http, reactor)

        site = upstream("Bitbucket's token endpoint")
        accounts = Accounts(
            settings.accounts,
            store,
            lambda account: make_access(account, settings, site, store, reactor, node),
            NoAccess("this repository", Budget(reactor, settings.rate_limit)),
        )
        bitbucket = Bitbucket(upstream("Bitbucket"), settings.bitbucket_api_url, accounts)
        container_manager = ContainerManager(upstream("the Container Manager"), settings.api_url, settings.api_token)
        announcement = Announcement(settings.instance_name, settings.build_url, settings.bitbucket_site_url)

        def work(step: Any) -> Worker:
            return Worker(step, node, reactor, schedule)

        reporter = work(Reporter(store, bitbucket))
        builder_step = Builder(
            store=store,
            clock=reactor,
            bitbucket=bitbucket,
            container_manager=container_manager,
            projects=_projects(settings, store, accounts, container_manager),
            announcement=announcement,
            site_url=settings.bitbucket_site_url,
            in_thread=partial(deferToThreadPool, reactor, reactor.getThreadPool()),
            wake=reporter.wake,
        )
        builder = work(builder_step)
        decision = work(Decision(store, reactor, settings.bitbucket_site_url, builder.wake))
        app = App(
            intake=Intake(store, settings.webhook_secrets, settings.bitbucket_site_url, decision.wake),
            relay=Relay(store, reactor, settings.build_url, settings.bitbucket_site_url, reporter.wake),
            lookup=Lookup(store, reactor, accounts, bitbucket, announcement, reporter.wake),
            hash_requests=HashRequests(store, reactor, builder_step, node),
            clock=reactor,
        )
        workers = (decision, builder, reporter)
        return cls(
            engine, store, make_site(app.resource(settings.webhook_url)), workers, Leases(store, node, reactor), pool
        )


def make_access(
    account: Account, settings: Settings, site: Upstream, store: Database, reactor: Any, node: str
) -> Access:
    """The access to Bitbucket that an account's credentials give."""
    budget = Budget(reactor, settings.rate_limit)
    credentials = account.credentials
    if not isinstance(credentials, OAuthConsumer):
        return FixedAccess(account.name, credentials, budget)
    oauth = OAuth(site, settings.bitbucket_site_url, credentials.key, credentials.secret)
    return TokenChain(account.name, credentials.refresh_token, oauth, store, reactor, node, budget)


def _projects(settings: Settings, store: Database, accounts: Accounts, coordinator: ContainerManager) -> Projects:
    if settings.api_token:
        return CoordinatorProjects(coordinator, accounts)
    return OwnProjects(store, accounts, settings.hand_out is HandOut.TOKEN)


def make_private_directory(path: Path) -> None:
    """Tokens lie in there: nobody else shall look in."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
