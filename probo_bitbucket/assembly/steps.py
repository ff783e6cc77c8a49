"""Steps: what takes work from the store, each with the worker that drives it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from typing import Any

from twisted.internet.threads import deferToThreadPool

from probo_bitbucket.assembly.judgement import display_of, ending_of, make_responder
from probo_bitbucket.assembly.outside import Outside
from probo_bitbucket.config import Settings
from probo_bitbucket.flow.builds.anew import Anew
from probo_bitbucket.flow.builds.builder import Builder
from probo_bitbucket.flow.builds.catchup import CatchUp
from probo_bitbucket.flow.builds.closing import Closing
from probo_bitbucket.flow.builds.teardown import Teardown
from probo_bitbucket.flow.credentials.hand_on import HandingOn
from probo_bitbucket.flow.deliveries.by_hand import ByHand
from probo_bitbucket.flow.deliveries.commander import Commander
from probo_bitbucket.flow.deliveries.decision import Decision
from probo_bitbucket.flow.deliveries.orders import Orders
from probo_bitbucket.flow.deliveries.reconciler import Reconciler
from probo_bitbucket.flow.forwarding.forward import Forward
from probo_bitbucket.flow.statuses.announcement import Announcement
from probo_bitbucket.flow.statuses.commenter import Commenter
from probo_bitbucket.flow.statuses.reporter import Reporter
from probo_bitbucket.flow.work.leases import Leases
from probo_bitbucket.flow.work.precedence import Precedence
from probo_bitbucket.flow.work.schedule import Schedule
from probo_bitbucket.flow.work.worker import Worker
from probo_bitbucket.store import Database


class Steps:
    """All steps, and what they share."""

    def __init__(self, settings: Settings, outside: Outside, store: Database, reactor: Any, leases: Leases) -> None:
        self._settings, self._outside = settings, outside
        self._store, self._reactor, self._leases = store, reactor, leases
        self.precedence = Precedence(reactor)
        self._schedule = Schedule(settings.retry_for, random.random)
        self.display = display_of(settings)
        self.announcement = Announcement(self.display)
        self.ending = ending_of(settings, self.display)
        self.anew = Anew(settings.repositories, self.ending)
        self._responder = make_responder(settings)
        bitbucket, container_manager = outside.bitbucket, outside.container_manager
        environments = outside.keys.environments(container_manager)
        self.reporter = self._driven(Reporter(store, reactor, bitbucket))
        self.commenter = self._driven(Commenter(store, reactor, bitbucket, self.display.instance_name))
        self.teardown = self._driven(Teardown(store, reactor, environments, self.ending, self.reporter.wake))
        self.closing = self._driven(Closing(store, reactor, environments, self.teardown.wake))
        self.building = self._make_builder()
        self.builder = self._driven(self.building)
        self.decision = self._make_decision()
        by_hand = ByHand(self._responder, self.anew, self.ending)
        self.orders = self._make_orders()
        self.commander = self._driven(Commander(store, reactor, bitbucket, by_hand, self.decided))
        self.forward = self._driven(Forward(store, outside.handlers))
        self.hand_on = self._driven(HandingOn(store, container_manager)) if settings.api_token else None
        self.reconciler = self._make_reconciler() if settings.reconcile else None
        self.catching_up = self._make_catch_up()
        self.catch_up = self._driven(self.catching_up)

    def workers(self) -> Iterator[Worker]:
        """All of them."""
        yield from (self.decision, self.builder, self.reporter, self.closing, self.teardown)
        yield from (self.forward, self.commenter, self.commander, self.catch_up)
        yield from filter(None, [self.hand_on])
        if self.reconciler:
            yield self._driven(self.reconciler)

    def wake(self) -> None:
        """Much may be due now that was not before."""
        self.decision.wake()
        self.forward.wake()
        self.decided()

    def decided(self) -> None:
        """There may be builds to start or to end."""
        self.builder.wake()
        self.ended()

    def ended(self) -> None:
        """There may be builds to end, and statuses that tell of it."""
        self.closing.wake()
        self.told()

    def told(self) -> None:
        """There may be statuses to report, and environments to take down."""
        self.reporter.wake()
        self.teardown.wake()

    def _driven(self, step: Any) -> Worker:
        return Worker(step, self._leases, self._reactor, self._schedule, self.precedence)

    def _make_builder(self) -> Builder:
        return Builder(
            store=self._store,
            clock=self._reactor,
            bitbucket=self._outside.bitbucket,
            container_manager=self._outside.container_manager,
            projects=self._outside.projects,
            announcement=self.announcement,
            site_url=self._settings.bitbucket_site_url,
            in_thread=partial(deferToThreadPool, self._reactor, self._reactor.getThreadPool()),
            wake=self.reporter.wake,
        )

    def _make_decision(self) -> Worker:
        step = Decision(
            store=self._store,
            clock=self._reactor,
            site_url=self._settings.bitbucket_site_url,
            responder=self._responder,
            reconcile=self._settings.reconcile,
            build=self.builder.wake,
            wake=self.ended,
        )
        return self._driven(step)

    def _make_orders(self) -> Orders:
        return Orders(
            store=self._store,
            clock=self._reactor,
            bitbucket=self._outside.bitbucket,
            responder=self._responder,
            anew=self.anew,
            site_url=self._settings.bitbucket_site_url,
            wake=self.decided,
        )

    def _make_catch_up(self) -> CatchUp:
        return CatchUp(
            store=self._store,
            clock=self._reactor,
            container_manager=self._outside.container_manager,
            display=self.display,
            ending=self.ending,
            coordinated=bool(self._settings.api_token),
            wake=self.told,
        )

    def _make_reconciler(self) -> Reconciler:
        return Reconciler(
            store=self._store,
            clock=self._reactor,
            bitbucket=self._outside.bitbucket,
            covered=self._settings.repositories,
            site_url=self._settings.bitbucket_site_url,
            policy=self._responder.policy.of_pull_requests,
            interval=self._settings.reconcile,
            random=random.random,
            wake=self.decision.wake,
        )
