"""Periodic: what is done again and again, whether or not anything came in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from probo_bitbucket.assembly.keys import Keys
from probo_bitbucket.config import Settings
from probo_bitbucket.flow.credentials.accounts import Accounts
from probo_bitbucket.flow.credentials.setup import SetUp
from probo_bitbucket.flow.credentials.upkeep import Upkeep
from probo_bitbucket.flow.oversight.janitor import Janitor
from probo_bitbucket.flow.work.leases import Leases
from probo_bitbucket.flow.work.rounds import Rounds
from probo_bitbucket.flow.work.sharing import Sharing
from probo_bitbucket.store import LEASE, Database

SHARING_INTERVAL = 5.0  # seconds
JANITOR_INTERVAL = 3600.0  # seconds
UPKEEP_INTERVAL = 120.0  # seconds
SETUP_INTERVAL = 5.0  # seconds


def periodic(
    settings: Settings,
    *,
    store: Database,
    reactor: Any,
    leases: Leases,
    keys: Keys,
    accounts: Accounts,
    set_up: SetUp | None,
) -> Iterator[Rounds]:
    yield Rounds("leases", leases.round, LEASE / 3, reactor)
    yield Rounds("sharing", Sharing(store, reactor, leases.node, keys.budgets).round, SHARING_INTERVAL, reactor)
    yield Rounds("janitor", Janitor(store, reactor, settings.retention).round, JANITOR_INTERVAL, reactor)
    yield Rounds("upkeep", Upkeep(store, accounts.chains).round, UPKEEP_INTERVAL, reactor)
    if set_up:
        yield Rounds("set-up", set_up.round, SETUP_INTERVAL, reactor)
