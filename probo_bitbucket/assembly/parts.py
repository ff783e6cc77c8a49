"""Parts: all that works on one store by the same settings. Together they are one node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from attrs import frozen
from twisted.application.service import Service
from twisted.web.client import HTTPConnectionPool

from probo_bitbucket.assembly.entrance import Entrance
from probo_bitbucket.assembly.foundation import Foundation
from probo_bitbucket.assembly.outside import Outside
from probo_bitbucket.assembly.periodic import periodic
from probo_bitbucket.assembly.steps import Steps
from probo_bitbucket.config import Settings
from probo_bitbucket.flow.builds.catchup import CatchUp
from probo_bitbucket.flow.credentials.chain import TokenChain
from probo_bitbucket.flow.credentials.setup import SetUp
from probo_bitbucket.flow.deliveries.reconciler import Reconciler
from probo_bitbucket.flow.deliveries.signatures import Signatures
from probo_bitbucket.flow.work.leases import Leases
from probo_bitbucket.store import Transaction, nodes
from probo_bitbucket.web.doors import Door, doors
from probo_bitbucket.web.events import Events
from probo_bitbucket.web.gate import Gate


@frozen
class Parts:
    """What a handler is made of, as long as its settings stay the same."""

    doors: tuple[Door, ...]
    gates: tuple[Gate, ...]
    workers: tuple[Service, ...]
    set_up: SetUp | None
    signatures: Signatures
    catch_up: CatchUp
    reconciler: Reconciler | None
    chains: Sequence[TokenChain]
    pool: HTTPConnectionPool
    node: str

    def begin(self, tx: Transaction) -> None:
        """Choose credentials, make their tokens known, read the webhooks' secrets, and look for what was missed."""
        if self.set_up:
            self.set_up.begin(tx)
        for chain in self.chains:
            chain.begin(tx)
        self.signatures.begin(tx)
        self.catch_up.begin(tx)
        if self.reconciler:
            self.reconciler.begin(tx)

    def take_over(self, tx: Transaction) -> None:
        """Begin in place of others. What waits for its next try may have waited for these settings."""
        self.begin(tx)
        nodes.hasten(tx)


def assemble(settings: Settings, foundation: Foundation, reactor: Any) -> Parts:
    """Make every part, and give each what it needs of the others."""
    node, store = str(uuid4()), foundation.store
    leases = Leases(store, reactor, node)
    outside = Outside.of(settings, store, reactor, node, foundation.metrics.called)
    keys = outside.keys
    steps = Steps(settings, outside, store, reactor, leases)
    set_up, events = keys.set_up(outside.accounts, steps.wake), Events(store, reactor)
    shared = settings.database_url.startswith("postgresql:")
    signatures = Signatures(settings.webhook_secrets, store, reactor, shared)
    entrance = Entrance(settings, foundation, outside, steps, leases, set_up, signatures, events, reactor)
    opening = tuple(doors(settings, entrance.rooms()))
    rounds = periodic(
        settings,
        store=store,
        reactor=reactor,
        leases=leases,
        keys=keys,
        accounts=outside.accounts,
        set_up=set_up,
    )
    return Parts(
        doors=opening,
        gates=tuple(door.gate for door in opening),
        workers=(*rounds, *steps.workers(), events),  # what others spent is asked for before anything is sent
        set_up=set_up,
        signatures=signatures,
        catch_up=steps.catching_up,
        reconciler=steps.reconciler,
        chains=keys.chains,
        pool=outside.pool,
        node=node,
    )
