"""Patience: how long a caller is kept waiting for the store."""

from __future__ import annotations

from typing import NoReturn, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.store import StoreUnavailable

T = TypeVar("T")

PATIENCE = 8.0  # seconds; Bitbucket waits for 10, and sends again only what was answered with a 5xx


def in_time(result: Deferred[T], clock: IReactorTime) -> Deferred[T]:
    """*result*; fails with StoreUnavailable where it takes longer than a caller waits.

    What it had asked of the store may be done all the same, only late: it must be no harm to have it done twice.
    """
    return result.addTimeout(PATIENCE, clock, _too_late)


def _too_late(_: object, seconds: float) -> NoReturn:
    raise StoreUnavailable(f"the database did not answer within {seconds:g} s")
