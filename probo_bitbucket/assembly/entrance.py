"""Entrance: the routes, on the steps that do their work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import wraps
from typing import Any

from attrs import frozen

from probo_bitbucket.assembly.foundation import Foundation
from probo_bitbucket.assembly.outside import Outside
from probo_bitbucket.assembly.oversight import Oversight, oversee
from probo_bitbucket.assembly.steps import Steps
from probo_bitbucket.config import Settings
from probo_bitbucket.flow.builds.again import Again
from probo_bitbucket.flow.builds.lookup import Lookup
from probo_bitbucket.flow.builds.relay import Relay
from probo_bitbucket.flow.builds.requests import HashRequests
from probo_bitbucket.flow.credentials.setup import SetUp
from probo_bitbucket.flow.deliveries.intake import Intake
from probo_bitbucket.flow.deliveries.signatures import RefusedDeliveries, Signatures
from probo_bitbucket.flow.forwarding.providers import Providers
from probo_bitbucket.flow.forwarding.trail import Trail
from probo_bitbucket.flow.oversight.glance import Glance
from probo_bitbucket.flow.oversight.health import Health
from probo_bitbucket.flow.oversight.measuring import Measuring
from probo_bitbucket.flow.work.leases import Leases
from probo_bitbucket.store import StoreUnavailable
from probo_bitbucket.web.actions import Actions
from probo_bitbucket.web.api import Api
from probo_bitbucket.web.app import App
from probo_bitbucket.web.browsers import OwnPages, Route
from probo_bitbucket.web.dashboard import Dashboard
from probo_bitbucket.web.events import Events
from probo_bitbucket.web.gate import Rooms
from probo_bitbucket.web.hook_pages import HookPages
from probo_bitbucket.web.hooks import HookRoutes
from probo_bitbucket.web.own_forms import OwnForms
from probo_bitbucket.web.setup import SetupPages


@frozen
class Entrance:
    """What can be asked for, and who answers."""

    settings: Settings
    foundation: Foundation
    outside: Outside
    steps: Steps
    leases: Leases
    set_up: SetUp | None
    signatures: Signatures
    events: Events
    reactor: Any

    def rooms(self) -> Rooms:
        store, steps, outside = self.foundation.store, self.steps, self.outside
        repositories, site_url = self.settings.repositories, self.settings.bitbucket_site_url
        signatures, refused = self.signatures, RefusedDeliveries()
        health = Health(store, self.reactor, outside.accounts, outside.breakers)
        app = App(
            intake=Intake(
                store,
                self.reactor,
                signatures,
                refused,
                steps.precedence,
                repositories,
                site_url,
                steps.decision.wake,
            ),
            relay=Relay(store, self.reactor, steps.display, steps.ending, steps.told),
            providers=Providers(store, self.reactor, outside.handlers, Trail(store, self.reactor), steps.forward.wake),
            lookup=self._lookup(),
            hash_requests=HashRequests(store, self.reactor, steps.building, repositories, self.leases),
            health=health,
            measuring=self._measuring(),
            dashboard=tuple(self._for_people(health, self._oversight(refused))),
            own_pages=self._own_pages(),
            setup=self._set_up_pages(),
            clock=self.reactor,
        )
        webhook_url = self.settings.webhook_url
        return Rooms(webhook_url, app.public(webhook_url), app.internal(), app.invites)

    def _set_up_pages(self) -> SetupPages | None:
        if self.set_up is None:
            return None
        settings = self.settings
        return SetupPages(self.set_up, self.reactor, settings.public_url, settings.webhook_url, self._own_pages())

    def _own_pages(self) -> OwnPages:
        return OwnPages(self.settings.dashboard_hosts)

    def _lookup(self) -> Lookup:
        steps, outside = self.steps, self.outside
        return Lookup(
            self.foundation.store,
            self.reactor,
            outside.accounts,
            outside.bitbucket,
            steps.announcement,
            steps.reporter.wake,
        )

    def _measuring(self) -> Measuring:
        outside, foundation = self.outside, self.foundation
        budgets, breakers = outside.keys.budgets, outside.breakers
        return Measuring(foundation.metrics, foundation.store, self.reactor, outside.accounts, budgets, breakers)

    def _oversight(self, refused: RefusedDeliveries) -> Oversight:
        return oversee(
            self.settings,
            store=self.foundation.store,
            reactor=self.reactor,
            api=self.outside.api,
            accounts=self.outside.accounts,
            container_manager=self.outside.container_manager,
            signatures=self.signatures,
            refused=refused,
            running=True,
        )

    def _for_people(self, health: Health, oversight: Oversight) -> Iterator[Route]:
        """The dashboard and the API. Of browsers they answer to our own pages only."""
        store, clock = self.foundation.store, self.reactor
        budgets = self.outside.keys.budgets
        silence, inspection = oversight.check.silence, oversight.hooks.inspection
        glance = Glance(store, health, self.signatures, silence, inspection, budgets, clock, self.leases.node)
        again = Again(store, clock, self.steps.anew, self.steps.ending, self.steps.wake)
        forms, own_pages = OwnForms(store), self._own_pages()
        for room in (
            Api(store, glance, again, self.steps.orders),
            HookRoutes(oversight.hooks, oversight.trial, oversight.check),
            Dashboard(store, glance, forms, clock),
            HookPages(oversight.hooks, oversight.trial, forms, store, clock),
            Actions(again, forms),
            self.events,
        ):
            yield from (own_pages.guarded(self._up_to_date(route)) for route in room.routes)

    def _up_to_date(self, route: Route) -> Route:
        """*route*, which does what somebody wants done with what was set up until then: rounds look for that later."""
        method, path, handler = route
        if self.set_up is None or method != "POST":
            return route
        take_up = self.set_up.take_up

        @wraps(handler)
        async def up_to_date(request: Any, **parts: str) -> bytes:
            with suppress(StoreUnavailable):  # is told by what follows
                await take_up()
            return await handler(request, **parts)

        return method, path, up_to_date
