"""Oversight: what looks after webhooks and checks everything, alike for the daemon and for `probo-bitbucket check`."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from probo_bitbucket.bitbucket.api import Bitbucket
from probo_bitbucket.bitbucket.caller import Caller
from probo_bitbucket.bitbucket.hooks import Webhooks
from probo_bitbucket.config import Settings
from probo_bitbucket.flow.credentials.accounts import Accounts
from probo_bitbucket.flow.deliveries.signatures import RefusedDeliveries, Signatures
from probo_bitbucket.flow.oversight.build_side import BuildSide
from probo_bitbucket.flow.oversight.check import Check
from probo_bitbucket.flow.oversight.front_door import FrontDoor
from probo_bitbucket.flow.oversight.hooks import Hooks
from probo_bitbucket.flow.oversight.inspection import Inspection
from probo_bitbucket.flow.oversight.silence import Silence
from probo_bitbucket.flow.oversight.standing import Standing
from probo_bitbucket.flow.oversight.trial import Trial
from probo_bitbucket.probo.container_manager import ContainerManager
from probo_bitbucket.store import Database
from probo_bitbucket.upstream import Upstream, http_client_of_strangers


@frozen
class Oversight:
    hooks: Hooks
    trial: Trial
    check: Check


def oversee(
    settings: Settings,
    *,
    store: Database,
    reactor: Any,
    api: Upstream,
    accounts: Accounts,
    container_manager: ContainerManager,
    signatures: Signatures,
    refused: RefusedDeliveries,
    running: bool,
) -> Oversight:
    """*api* is Bitbucket's; *running*: whether this is the daemon, which answers at the public URL."""
    caller = Caller(api, settings.bitbucket_api_url)
    webhooks = Webhooks(caller, accounts)
    inspection = Inspection(
        webhooks,
        store,
        refused,
        settings.public_url,
        settings.webhook_url,
        settings.repositories,
        accounts.advice,
        reactor,
    )
    # Without our caFile: Bitbucket, who calls there, does not know that authority.
    front_door = FrontDoor(
        Upstream("the public URL", http_client_of_strangers(reactor), reactor),
        store,
        signatures,
        reactor,
        inspection.url,
    )
    build_side = BuildSide(container_manager, bool(settings.api_token), settings.api_url, reactor)
    bitbucket = Bitbucket(api, settings.bitbucket_api_url, accounts)
    return Oversight(
        hooks=Hooks(inspection, webhooks, signatures, store, reactor),
        trial=Trial(
            bitbucket,
            inspection,
            front_door,
            build_side,
            refused,
            store,
            reactor,
            settings.instance_name,
            settings.bitbucket_site_url,
        ),
        check=Check(
            store=store,
            clock=reactor,
            bitbucket=api,
            bitbucket_api_url=settings.bitbucket_api_url,
            accounts=accounts,
            standing=Standing(caller, reactor),
            build_side=build_side,
            silence=Silence(store, reactor, build_side.coordinated),
            inspection=inspection,
            front_door=front_door,
            signatures=signatures,
            running=running,
        ),
    )
