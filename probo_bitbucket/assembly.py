"""Assembly: the parts of a handler, made of its settings, each given what it needs of the others."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import FileIO
from socket import gethostname
from typing import Any, cast
from uuid import uuid4

from attrs import define, field, frozen
from twisted.application.service import Service
from twisted.internet.threads import deferToThreadPool
from twisted.web.client import HTTPConnectionPool

from probo_bitbucket.bitbucket import payloads
from probo_bitbucket.bitbucket.api import Bitbucket
from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.bitbucket.oauth import OAuth
from probo_bitbucket.config import HandOut, Settings, ShownStatuses
from probo_bitbucket.credentials import Account, OAuthConsumer
from probo_bitbucket.flow.access import FixedAccess, NoAccess, OwnAccess
from probo_bitbucket.flow.accounts import Accounts, OwnAccounts
from probo_bitbucket.flow.again import Again
from probo_bitbucket.flow.announcement import Announcement
from probo_bitbucket.flow.builder import Builder
from probo_bitbucket.flow.by_hand import ByHand
from probo_bitbucket.flow.catchup import CatchUp
from probo_bitbucket.flow.chain import TokenChain
from probo_bitbucket.flow.closing import Closing
from probo_bitbucket.flow.commander import Commander
from probo_bitbucket.flow.commenter import Commenter
from probo_bitbucket.flow.coordinated import CoordinatorProjects, ProjectAccounts
from probo_bitbucket.flow.decision import Decision
from probo_bitbucket.flow.display import Display
from probo_bitbucket.flow.ending import Ending
from probo_bitbucket.flow.environments import CoordinatorEnvironments, Environments, OwnEnvironments
from probo_bitbucket.flow.forward import Forward
from probo_bitbucket.flow.glance import Glance
from probo_bitbucket.flow.hand_on import HandingOn
from probo_bitbucket.flow.health import Health
from probo_bitbucket.flow.intake import Intake
from probo_bitbucket.flow.janitor import Janitor
from probo_bitbucket.flow.leases import Leases
from probo_bitbucket.flow.lookup import Lookup
from probo_bitbucket.flow.measuring import Measuring
from probo_bitbucket.flow.projects import OwnProjects, Projects
from probo_bitbucket.flow.providers import Providers
from probo_bitbucket.flow.reconciler import Reconciler
from probo_bitbucket.flow.relay import Relay
from probo_bitbucket.flow.reporter import Reporter
from probo_bitbucket.flow.requests import HashRequests
from probo_bitbucket.flow.responder import Responder
from probo_bitbucket.flow.rounds import Rounds
from probo_bitbucket.flow.rules import Policy
from probo_bitbucket.flow.schedule import Schedule
from probo_bitbucket.flow.setup import SetUp
from probo_bitbucket.flow.sharing import Sharing
from probo_bitbucket.flow.signatures import RefusedDeliveries, Signatures
from probo_bitbucket.flow.teardown import Teardown
from probo_bitbucket.flow.worker import Worker
from probo_bitbucket.metrics import Metrics
from probo_bitbucket.oversight import Oversight, oversee
from probo_bitbucket.probo.container_manager import ContainerManager
from probo_bitbucket.probo.handlers import OtherHandler
from probo_bitbucket.store import LEASE, Database, Engine, Transaction, hand_ons, nodes
from probo_bitbucket.store.credentials import Chain
from probo_bitbucket.store.migrate import upgrade
from probo_bitbucket.store.sole import claim
from probo_bitbucket.upstream import Upstream, http_client
from probo_bitbucket.web.actions import Actions
from probo_bitbucket.web.api import Api
from probo_bitbucket.web.app import App
from probo_bitbucket.web.browsers import OwnPages, Route
from probo_bitbucket.web.dashboard import Dashboard
from probo_bitbucket.web.doors import Door, doors
from probo_bitbucket.web.events import Events
from probo_bitbucket.web.gate import Gate, Rooms
from probo_bitbucket.web.hook_pages import HookPages
from probo_bitbucket.web.hooks import HookRoutes
from probo_bitbucket.web.own_forms import OwnForms
from probo_bitbucket.web.setup import SetupPages

CATCH_UP_INTERVAL = 30.0  # seconds
SHARING_INTERVAL = 5.0  # seconds
JANITOR_INTERVAL = 3600.0  # seconds
SETUP_INTERVAL = 5.0  # seconds


class Foundation:
    """What stays when the settings are read again: the store, and what was counted."""

    def __init__(self, settings: Settings, reactor: Any) -> None:
        self._engine = Engine(settings.database_url)
        self._lock: FileIO | None = None
        self.store = Database(self._engine, reactor)
        self.metrics = Metrics(payloads.EVENT_KEYS)

    def open(self, begin: Callable[[Transaction], None]) -> None:
        """Bring the tables up to date, run *begin*, and start the store's thread.

        Raises StoreTooNew or StoreUnavailable.
        """
        if self._engine.file:
            self._lock = claim(self._engine.file)
        upgrade(self._engine)
        with self._engine.begin() as tx:
            if self._lock:
                nodes.release_all(tx)
            begin(tx)
        self.store.start()

    async def close(self) -> None:
        await self.store.stop()
        self.let_go()

    def let_go(self) -> None:
        """Let another process have the store."""
        if self._lock:
            self._lock.close()


@frozen
class Parts:
    """What a handler is made of, as long as its settings stay the same. All parts together are one node."""

    doors: tuple[Door, ...]
    gates: tuple[Gate, ...]
    workers: tuple[Service, ...]
    set_up: SetUp | None
    reconciler: Reconciler | None
    chains: Sequence[TokenChain]
    pool: HTTPConnectionPool
    node: str

    def begin(self, tx: Transaction) -> None:
        """Choose credentials, make their tokens known, and look for what was missed before."""
        if self.set_up:
            self.set_up.begin(tx)
        for chain in self.chains:
            chain.begin(tx)
        if self.reconciler:
            self.reconciler.begin(tx)

    def take_over(self, tx: Transaction) -> None:
        """Begin in place of others. What waits for its next try may have waited for these settings."""
        self.begin(tx)
        nodes.hasten(tx)


def assemble(settings: Settings, foundation: Foundation, reactor: Any) -> Parts:
    """Make every part, and give each what it needs of the others."""
    node, store, metrics = str(uuid4()), foundation.store, foundation.metrics
    leases = Leases(store, reactor, node)
    http, pool = http_client(reactor, settings.ca_file)
    schedule = Schedule(settings.retry_for, random.random)
    site_url = settings.bitbucket_site_url
    display = _display(settings)
    announcement = Announcement(display)
    names = ("Bitbucket", "Bitbucket's token endpoint", "the Container Manager")
    upstream = partial(Upstream, http=http, clock=reactor, observe=metrics.called)
    api, token_endpoint, probo = map(upstream, names)
    handlers = {
        provider: OtherHandler(upstream(f"the {provider} handler"), url) for provider, url in settings.forward.items()
    }
    called = (api, token_endpoint, probo, *(handler.upstream for handler in handlers.values()))
    breakers = [upstream.breaker for upstream in called]
    container_manager = ContainerManager(probo, settings.api_url, settings.api_token)
    keys = Keys(settings, token_endpoint, store, reactor, node)
    accounts, projects = keys.coordinated(container_manager) if settings.api_token else keys.own()
    bitbucket = Bitbucket(api, settings.bitbucket_api_url, accounts)

    def work(step: Any) -> Worker:
        return Worker(step, leases, reactor, schedule)

    reporter = work(Reporter(store, reactor, bitbucket))
    commenter = work(Commenter(store, bitbucket, display.instance_name))
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
    environments = keys.environments(container_manager)
    teardown = work(Teardown(store, reactor, environments))
    closing = work(Closing(store, reactor, environments, teardown.wake))
    ending, responder = _ending(settings, display), make_responder(settings)
    react = _all(builder, reporter, closing, teardown)
    decision = work(Decision(store, reactor, site_url, responder, settings.reconcile, react))
    commander = work(Commander(store, reactor, bitbucket, ByHand(responder, ending), react))
    reconciler = Reconciler(
        store=store,
        clock=reactor,
        bitbucket=bitbucket,
        covered=settings.repositories,
        site_url=site_url,
        interval=settings.reconcile,
        random=random.random,
        wake=decision.wake,
    )
    news = _all(reporter, teardown)
    catch_up = CatchUp(store, reactor, container_manager, display, ending, news)
    forward = work(Forward(store, handlers))
    hand_on = [work(HandingOn(store, container_manager))] if settings.api_token else []
    wake = _all(decision, builder, reporter, closing, teardown, forward)
    set_up = keys.set_up(accounts, wake)
    health = Health(store, accounts, breakers)
    glance = Glance(store, health, keys.budgets, reactor, node)
    again = Again(store, reactor, settings.repositories, ending, wake)
    events = Events(store, reactor)
    signatures, refused = Signatures(settings.webhook_secrets, store, reactor), RefusedDeliveries()
    oversight = oversee(
        settings,
        store=store,
        reactor=reactor,
        api=api,
        accounts=accounts,
        container_manager=container_manager,
        signatures=signatures,
        refused=refused,
        running=True,
    )
    app = App(
        intake=Intake(store, signatures, refused, settings.repositories, site_url, decision.wake),
        relay=Relay(store, reactor, display, ending, news),
        providers=Providers(store, reactor, handlers, forward.wake),
        lookup=Lookup(store, reactor, accounts, bitbucket, announcement, reporter.wake),
        hash_requests=HashRequests(store, reactor, builder_step, settings.repositories, leases),
        health=health,
        measuring=Measuring(metrics, store, reactor, accounts, keys.budgets, breakers),
        dashboard=tuple(for_people(settings, store, reactor, glance, again, events, oversight)),
        setup=SetupPages(set_up, reactor, settings.webhook_url) if set_up else None,
        clock=reactor,
    )
    rooms = Rooms(settings.webhook_url, app.public(settings.webhook_url), app.internal(), app.invites)
    opening = tuple(doors(settings, rooms))
    again_and_again = rounds(settings, store, reactor, leases, keys, set_up, catch_up)
    return Parts(
        doors=opening,
        gates=tuple(door.gate for door in opening),
        workers=(
            decision,
            builder,
            reporter,
            closing,
            teardown,
            forward,
            commenter,
            *hand_on,
            commander,
            *([work(reconciler)] if settings.reconcile else []),
            events,
            *again_and_again,
        ),
        set_up=set_up,
        reconciler=reconciler if settings.reconcile else None,
        chains=keys.chains,
        pool=pool,
        node=node,
    )


def make_responder(settings: Settings) -> Responder:
    """What decides on events as *settings* say. Has no state, and needs nothing but the store."""
    display = _display(settings)
    policy = Policy(settings.drafts, settings.forks, settings.pushes, settings.branches)
    return Responder(policy, _ending(settings, display), Announcement(display), settings.commands)


def _display(settings: Settings) -> Display:
    return Display(
        settings.instance_name,
        settings.build_url,
        settings.bitbucket_site_url,
        steps=settings.statuses is not ShownStatuses.SUMMARY,
        summary=settings.statuses is not ShownStatuses.STEPS,
        comment=settings.comment,
    )


def _ending(settings: Settings, display: Display) -> Ending:
    return Ending(settings.teardown, None if settings.api_token else settings.keep_builds, display)


def _all(*workers: Worker) -> Callable[[], None]:
    """What wakes all of them."""

    def wake() -> None:
        for worker in workers:
            worker.wake()

    return wake


def for_people(
    settings: Settings,
    store: Database,
    clock: Any,
    glance: Glance,
    again: Again,
    events: Events,
    oversight: Oversight,
) -> Iterator[Route]:
    """The dashboard and the API. Of browsers they answer to our own pages only."""
    forms, own_pages = OwnForms(store), OwnPages(settings.dashboard_hosts)
    for room in (
        Api(store, glance, again),
        HookRoutes(oversight.hooks, oversight.trial, oversight.check),
        Dashboard(store, glance, forms, clock),
        HookPages(oversight.hooks, oversight.trial, forms, clock),
        Actions(again, forms),
        events,
    ):
        yield from map(own_pages.guarded, room.routes)


def rounds(
    settings: Settings,
    store: Database,
    reactor: Any,
    leases: Leases,
    keys: Keys,
    set_up: SetUp | None,
    catch_up: CatchUp,
) -> Iterator[Rounds]:
    """What is done again and again, whether or not anything came in."""
    yield Rounds("leases", leases.round, LEASE / 3, reactor)
    yield Rounds("sharing", Sharing(store, reactor, leases.node, keys.budgets).round, SHARING_INTERVAL, reactor)
    yield Rounds("janitor", Janitor(store, reactor, settings.retention, keys.chains).round, JANITOR_INTERVAL, reactor)
    if set_up:
        yield Rounds("set-up", set_up.round, SETUP_INTERVAL, reactor)
    if not settings.api_token:  # a coordinator promises no answer to what catch-up asks
        yield Rounds("catch-up", catch_up.round, CATCH_UP_INTERVAL, reactor)


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
        nobody = NoAccess("this repository", Budget(self.reactor, self.settings.rate_limit))
        accounts = OwnAccounts(self.settings.accounts, self.store, self._access, nobody)
        return accounts, OwnProjects(self.store, accounts, self.settings.hand_out is HandOut.TOKEN)

    def coordinated(self, coordinator: ContainerManager) -> tuple[Accounts, Projects]:
        """Coordinator mode: the coordinator has the projects, and the refresh tokens of the settings' consumer."""
        consumer = cast(OAuthConsumer, self.settings.credentials)  # what the settings must have then

        def chain(name: str, token: str) -> TokenChain:
            return self._chain(name, consumer, token, hand_ons.note)

        accounts = ProjectAccounts(coordinator, self.store, chain, self._budget(consumer.key))
        return accounts, CoordinatorProjects(coordinator, accounts)

    def environments(self, container_manager: ContainerManager) -> Environments:
        """Who takes environments down."""
        if self.settings.api_token:
            return CoordinatorEnvironments(container_manager)
        return OwnEnvironments(container_manager, self.reactor)

    def set_up(self, accounts: Accounts, wake: Callable[[], None]) -> SetUp | None:
        """What replaces the credentials while the daemon runs; none where a coordinator has them."""
        if not isinstance(accounts, OwnAccounts):
            return None
        address = _address(self.settings)
        return SetUp(self.settings.accounts, self.store, self.reactor, accounts, self._oauth, wake, address)

    def _oauth(self, key: str, secret: str) -> OAuth:
        return OAuth(self.endpoint, self.settings.bitbucket_site_url, key, secret)

    def _access(self, account: Account) -> OwnAccess:
        credentials = account.credentials
        if isinstance(credentials, OAuthConsumer):
            return self._chain(account.name, credentials, credentials.refresh_token)
        if credentials is None:
            return NoAccess(account.name, self._budget(account.name))
        return FixedAccess(account.name, credentials, self._budget(account.name), self.reactor)

    def _chain(
        self,
        name: str,
        consumer: OAuthConsumer,
        refresh_token: str,
        renewed: Callable[[Transaction, Chain, Chain], None] = lambda *_: None,
    ) -> TokenChain:
        oauth = self._oauth(consumer.key, consumer.secret)
        chain = TokenChain(
            name, refresh_token, oauth, self.store, self.reactor, self.node, self._budget(consumer.key), renewed
        )
        self.chains[:] = [other for other in self.chains if other.name != name]  # which it replaces
        self.chains.append(chain)
        return chain

    def _budget(self, consumer: str) -> Budget:
        """The budget of those whose requests Bitbucket counts together: all accounts of one OAuth consumer."""
        if consumer not in self.budgets:
            self.budgets[consumer] = Budget(self.reactor, self.settings.rate_limit)
        return self.budgets[consumer]


def _address(settings: Settings) -> str:
    """Where a browser is likely to find the internal routes."""
    if settings.listen or settings.internal_listen:
        return "https://<this server>"  # endpoints can be anything
    everywhere = settings.hostname in ("0.0.0.0", "::", "")  # noqa: S104
    return f"http://{gethostname() if everywhere else settings.hostname}:{settings.port}"
