"""Where the parts meet: settings in, a service out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast
from uuid import uuid4

from attrs import define, field, frozen
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.web.client import HTTPConnectionPool

from probo_bitbucket.bitbucket.api import Bitbucket
from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.bitbucket.oauth import OAuth
from probo_bitbucket.config import HandOut, Settings
from probo_bitbucket.credentials import Account, OAuthConsumer
from probo_bitbucket.flow.accounts import Access, Accounts, FixedAccess, NoAccess, OwnAccounts
from probo_bitbucket.flow.announcement import Announcement
from probo_bitbucket.flow.builder import Builder
from probo_bitbucket.flow.catchup import CatchUp
from probo_bitbucket.flow.chain import TokenChain
from probo_bitbucket.flow.coordinated import CoordinatorProjects, HandOn, ProjectAccounts
from probo_bitbucket.flow.decision import Decision
from probo_bitbucket.flow.intake import Intake
from probo_bitbucket.flow.janitor import Janitor
from probo_bitbucket.flow.lookup import Lookup
from probo_bitbucket.flow.projects import OwnProjects, Projects
from probo_bitbucket.flow.relay import Relay
from probo_bitbucket.flow.reporter import Reporter
from probo_bitbucket.flow.requests import HashRequests
from probo_bitbucket.flow.rounds import Rounds
from probo_bitbucket.flow.schedule import Schedule
from probo_bitbucket.flow.setup import SetUp
from probo_bitbucket.flow.sharing import Sharing
from probo_bitbucket.flow.worker import Worker
from probo_bitbucket.probo.container_manager import ContainerManager
from probo_bitbucket.store import LEASE, Database, Engine, Lease, nodes
from probo_bitbucket.store.migrate import upgrade
from probo_bitbucket.upstream import Upstream, http_client
from probo_bitbucket.web.app import App
from probo_bitbucket.web.doors import Door, doors
from probo_bitbucket.web.gate import Rooms
from probo_bitbucket.web.setup import SetupPages

CATCH_UP_INTERVAL = 30.0  # seconds
SHARING_INTERVAL = 5.0  # seconds
JANITOR_INTERVAL = 3600.0  # seconds
LAST_REFRESH = 2.0  # seconds that a token refresh may take to end when everything else has stopped
SETUP_INTERVAL = 5.0  # seconds


def make_service(settings: Settings, reactor: Any) -> IService:
    """The daemon as *settings* describe it. It listens and works while it runs."""
    return Handler(settings, reactor)


class Handler(Service):
    """Everything, in the order of its life: the listening port, the store, the workers."""

    log = Logger()

    def __init__(self, settings: Settings, reactor: Any) -> None:
        self.settings = settings
        self._reactor = reactor
        self._parts = assemble(settings, reactor)
        self._ports: list[IListeningPort] = []

    @property
    def port(self) -> int:
        """The first port that is listened on, which the system chose where the settings say 0."""
        return int(cast(Any, self._ports[0]).getHost().port)

    @property
    def refusals(self) -> Counter[str]:
        """How many requests and connections were refused since the start, by the name of the event in the log."""
        return self._parts.refusals

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        # Where a port is in use, nothing has been started yet. Requests are answered once the reactor has its turn.
        for door in self._parts.doors:
            self._ports.append(door.open(self._reactor))
        self._parts.open_store(self.settings)

    def startService(self) -> None:
        super().startService()
        for worker in self._parts.workers:
            worker.startService()
        for port in self._ports:
            self.log.info("Listening on {address}", address=port.getHost(), event="daemon.listening")

    async def _stop(self) -> None:
        await DeferredList([maybeDeferred(port.stopListening) for port in self._ports])
        await DeferredList([worker.stopService() for worker in self._parts.workers])
        refreshes = [chain.at_rest().addTimeout(LAST_REFRESH, self._reactor) for chain in self._parts.chains]
        await DeferredList(refreshes, consumeErrors=True)
        await self._parts.store.transact(nodes.release, self._parts.node)
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
    doors: tuple[Door, ...]
    refusals: Counter[str]
    workers: tuple[Service, ...]
    set_up: SetUp | None
    chains: Sequence[TokenChain]
    pool: HTTPConnectionPool
    node: str

    def open_store(self, settings: Settings) -> None:
        """Bring the tables up to date, choose credentials and make their tokens known, start the store's thread."""
        upgrade(self.engine)
        with self.engine.begin() as tx:
            if not settings.database:
                nodes.release_all(tx)  # no other process uses this file
            if self.set_up:
                self.set_up.begin(tx)
            for chain in self.chains:
                chain.begin(tx)
        self.store.start()


def assemble(settings: Settings, reactor: Any) -> Parts:
    """Make every part, and give each what it needs of the others."""
    if not settings.database:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    node = str(uuid4())
    engine = Engine(settings.database_url)
    store = Database(engine, reactor)
    http, pool = http_client(reactor, settings.ca_file)
    schedule = Schedule(settings.retry_for, random.random)
    site_url, build_url = settings.bitbucket_site_url, settings.build_url
    announcement = Announcement(settings.instance_name, build_url, site_url)
    container_manager = ContainerManager(
        Upstream("the Container Manager", http, reactor), settings.api_url, settings.api_token
    )
    keys = Keys(settings, Upstream("Bitbucket's token endpoint", http, reactor), store, reactor, node)
    accounts, projects = keys.coordinated(container_manager) if settings.api_token else keys.own()
    bitbucket = Bitbucket(Upstream("Bitbucket", http, reactor), settings.bitbucket_api_url, accounts)

    def work(step: Any) -> Worker:
        return Worker(step, node, reactor, schedule)

    reporter = work(Reporter(store, bitbucket))
    builder_step = Builder(
        store=store,
        clock=reactor,
        bitbucket=bitbucket,
        container_manager=container_manager,
        projects=projects,
        announcement=announcement,
        site_url=site_url,
        in_thread=partial(deferToThreadPool, reactor, reactor.getThreadPool()),
        wake=reporter.wake,
    )
    builder = work(builder_step)
    decision = work(Decision(store, reactor, site_url, builder.wake))
    sharing = Sharing(store, reactor, node, keys.budgets)
    catch_up = CatchUp(store, reactor, container_manager, build_url, site_url, settings.instance_name, reporter.wake)
    janitor = Janitor(store, reactor, settings.retention, keys.chains)
    refusals: Counter[str] = Counter()
    set_up = keys.set_up(accounts, (decision.wake, builder.wake, reporter.wake))
    app = App(
        intake=Intake(store, settings.webhook_secrets, settings.repositories, site_url, refusals, decision.wake),
        relay=Relay(store, reactor, build_url, site_url, reporter.wake),
        lookup=Lookup(store, reactor, accounts, bitbucket, announcement, reporter.wake),
        hash_requests=HashRequests(store, reactor, builder_step, settings.repositories, node),
        setup=SetupPages(set_up, reactor, settings.webhook_url) if set_up else None,
        clock=reactor,
    )
    rooms = Rooms(settings.webhook_url, app.public(settings.webhook_url), app.internal(), app.invites)
    return Parts(
        engine=engine,
        store=store,
        doors=tuple(doors(settings, rooms, refusals)),
        refusals=refusals,
        workers=(
            Rounds("leases", lambda: store.transact(nodes.renew, Lease(node, reactor.seconds())), LEASE / 3, reactor),
            *([Rounds("set-up", set_up.round, SETUP_INTERVAL, reactor)] if set_up else []),
            decision,
            builder,
            reporter,
            Rounds("sharing", sharing.round, SHARING_INTERVAL, reactor),
            # A coordinator promises no answer to what catch-up asks.
            *([] if settings.api_token else [Rounds("catch-up", catch_up.round, CATCH_UP_INTERVAL, reactor)]),
            Rounds("janitor", janitor.round, JANITOR_INTERVAL, reactor),
        ),
        set_up=set_up,
        chains=keys.chains,
        pool=pool,
        node=node,
    )


@define
class Keys:
    """Makes the credentials of the settings into what calls Bitbucket."""

    settings: Settings
    endpoint: Upstream
    store: Database
    reactor: Any
    node: str
    chains: list[TokenChain] = field(factory=list)
    budgets: dict[str, Budget] = field(factory=dict)

    def own(self) -> tuple[OwnAccounts, Projects]:
        """Direct mode: the accounts of the settings, and every repository is a project."""
        nobody = NoAccess("this repository", self._budget("nobody"))
        accounts = OwnAccounts(self.settings.accounts, self.store, self._access, nobody)
        return accounts, OwnProjects(self.store, accounts, self.settings.hand_out is HandOut.TOKEN)

    def coordinated(self, coordinator: ContainerManager) -> tuple[Accounts, Projects]:
        """Coordinator mode: the coordinator has the projects and, for an OAuth consumer, their refresh tokens."""
        consumer = self.settings.credentials
        if not isinstance(consumer, OAuthConsumer) or consumer.refresh_token:
            return self.own()[0], CoordinatorProjects(coordinator)
        hand_on = HandOn(coordinator, self.reactor)
        accounts = ProjectAccounts(
            coordinator,
            self.store,
            lambda name, token: self._chain(name, consumer, token, hand_on),
            self._budget(consumer.key),
        )
        return accounts, CoordinatorProjects(coordinator)

    def set_up(self, accounts: Accounts, wakes: Sequence[Callable[[], None]]) -> SetUp | None:
        """What replaces the credentials while the daemon runs; none where a coordinator has them."""
        if not isinstance(accounts, OwnAccounts):
            return None

        def wake() -> None:
            for wake_worker in wakes:
                wake_worker()

        return SetUp(self.settings.credentials, self.store, self.reactor, accounts, self._oauth, wake)

    def _oauth(self, key: str, secret: str) -> OAuth:
        return OAuth(self.endpoint, self.settings.bitbucket_site_url, key, secret)

    def _access(self, account: Account) -> Access:
        credentials = account.credentials
        if isinstance(credentials, OAuthConsumer):
            return self._chain(account.name, credentials, credentials.refresh_token)
        return FixedAccess(account.name, credentials, self._budget(account.name))

    def _chain(
        self, name: str, consumer: OAuthConsumer, refresh_token: str, hand_on: HandOn | None = None
    ) -> TokenChain:
        oauth = self._oauth(consumer.key, consumer.secret)
        chain = TokenChain(
            name, refresh_token, oauth, self.store, self.reactor, self.node, self._budget(consumer.key), hand_on
        )
        self.chains[:] = [other for other in self.chains if other.name != name]  # which it replaces
        self.chains.append(chain)
        return chain

    def _budget(self, consumer: str) -> Budget:
        """The budget of those whose requests Bitbucket counts together: all accounts of one OAuth consumer."""
        if consumer not in self.budgets:
            self.budgets[consumer] = Budget(self.reactor, self.settings.rate_limit)
        return self.budgets[consumer]
