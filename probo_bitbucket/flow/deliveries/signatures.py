"""Signatures: whether a delivery comes from a webhook of ours, and a short memory of those that were turned away.

Valid are the secrets of the settings and those in the store, which `hooks add` made, on whatever node.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket.bitbucket import signature
from probo_bitbucket.flow.work.patience import in_time
from probo_bitbucket.logs import hide
from probo_bitbucket.model import Delivery
from probo_bitbucket.store import Database, StoreUnavailable, Transaction, hooks

AGE = 5.0  # seconds after which the store is asked for its secrets again
AGE_OF_DOUBT = 1.0  # seconds … where a signature does not fit: another node may just have made its secret
MEMORY = 200  # deliveries that were turned away
UNSIGNED = "no webhook has a secret: whoever knows the webhook's URL can send deliveries in Bitbucket's name"


class BadSignature(Exception):
    """The call does not come from a webhook of ours."""


class Doubtful(Exception):
    """The signature fits no secret that was there a moment ago. Who is asked to send it again has an answer then."""


@define(eq=False)
class Signatures:
    """*given* are the secrets of the settings. Where the store is *shared*, another node can make one at any time."""

    given: Sequence[str] = field(repr=False)
    store: Database
    clock: IReactorTime
    shared: bool = False
    _kept: tuple[str, ...] = field(default=(), repr=False)
    _read_at: float = float("-inf")

    log = Logger()

    def begin(self, tx: Transaction) -> None:
        """Read the secrets, and say so where there is none."""
        self._keep(hooks.secrets(tx), self.clock.seconds())
        if not self._valid:
            self.log.warn("{words}", words=UNSIGNED, event="settings.doubtful")

    async def check(self, body: bytes, header: str | None) -> bool:
        """Whether the signature fits; where there is no secret at all, it does not, and anybody is believed.

        Raises BadSignature; or StoreUnavailable or Doubtful, where the store may have the secret.
        """
        asked_at = self.clock.seconds()
        for age in (AGE, AGE_OF_DOUBT):
            await self._read(age)
            if not self._valid:
                return False
            if signature.verify(self._valid, body, header):
                return True
        if not header:
            raise BadSignature("X-Hub-Signature is missing")
        if self.shared and self._read_at < asked_at and signature.well_formed(header):
            raise Doubtful("X-Hub-Signature does not fit yet: send it again")
        raise BadSignature("X-Hub-Signature does not fit")

    def read_again(self) -> None:
        """Ask the store for its secrets before the next check: they were changed here."""
        self._read_at = float("-inf")

    async def any(self) -> str:
        """A secret to sign with in our own name; empty where there is none."""
        await self._read(AGE)
        return next(iter(self._valid), "")

    @property
    def _valid(self) -> tuple[str, ...]:
        return (*self._kept, *self.given)

    async def _read(self, age: float) -> None:
        if self.clock.seconds() - self._read_at < age:
            return
        began = self.clock.seconds()
        self._keep(await in_time(self.store.transact(hooks.secrets), self.clock), began)

    def _keep(self, kept: tuple[str, ...], read_at: float) -> None:
        for secret in kept:
            hide(secret)
        self._kept, self._read_at = kept, read_at


@frozen
class Refused:
    """A delivery that was not accepted, as far as its sender can be believed."""

    at: float
    hook_uuid: str
    event_key: str
    error: BadSignature | StoreUnavailable


@define(eq=False)
class RefusedDeliveries:
    """The last ones on this node. They are in no store: anybody can send as many as he likes."""

    _last: deque[Refused] = field(factory=lambda: deque(maxlen=MEMORY))

    def note(self, delivery: Delivery, error: BadSignature | StoreUnavailable) -> None:
        self._last.append(Refused(delivery.received_at, delivery.hook_uuid, delivery.event_key, error))

    def since(self, time: float) -> Iterator[Refused]:
        """The newest first."""
        return (refused for refused in reversed(self._last) if refused.at >= time)
