"""Intake: writes a delivery down, so that the 200 that Bitbucket gets is a promise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket.bitbucket import payloads
from probo_bitbucket.bitbucket.payloads import PayloadError
from probo_bitbucket.credentials import covers
from probo_bitbucket.flow.deliveries import rules
from probo_bitbucket.flow.deliveries.signatures import BadSignature, Doubtful, RefusedDeliveries, Signatures
from probo_bitbucket.flow.work.patience import in_time
from probo_bitbucket.flow.work.precedence import Precedence
from probo_bitbucket.model import Commented, Delivery, Event, Ignored
from probo_bitbucket.store import Database, StoreUnavailable, deliveries

_UNSIGNED_COMMAND = (
    "the command is not signed, and anybody can send one: have the webhook made by `probo-bitbucket hooks add`, or set "
    "bbWebhookSecret"
)


@define(eq=False)
class Intake:
    """Accepts deliveries. *wake* tells the next step that there is one."""

    store: Database
    clock: IReactorTime
    signatures: Signatures
    refused: RefusedDeliveries
    precedence: Precedence
    repositories: Sequence[str]  # globs
    site_url: str
    wake: Callable[[], None]

    log = Logger()

    async def check(self, delivery: Delivery, header: str | None, tell_client: Callable[[], str]) -> bool:
        """Whether a delivery is signed: where no webhook has a secret, none is.

        Raises BadSignature where a delivery is not signed as it should be, Doubtful where it has to come again
        because its secret may be too new for us, or StoreUnavailable. *tell_client* tells the log where it came from.

        The signature is over the body as it was sent. Nothing else is to be done with that before.
        """
        with self._remembering(delivery):
            try:
                return await self.signatures.check(delivery.body, header)
            except (BadSignature, Doubtful) as error:
                self.log.warn("Delivery refused", event="delivery.refused", client=tell_client(), reason=str(error))
                raise

    async def accept(self, delivery: Delivery, *, signed: bool) -> int:
        """Store a delivery that was checked; return its id when it is committed.

        Raises PayloadError, or StoreUnavailable.
        """
        with self._remembering(delivery):
            return await self._record(delivery, signed)

    @contextmanager
    def _remembering(self, delivery: Delivery) -> Iterator[None]:
        """Remember that *delivery* was turned away, if it was."""
        try:
            with self.precedence.accepting():
                yield
        except (BadSignature, StoreUnavailable) as error:
            self.refused.note(delivery, error)
            raise

    async def _record(self, delivery: Delivery, signed: bool) -> int:
        try:
            event = understood(delivery.event_key, delivery.body, self.site_url, self.repositories)
        except PayloadError as error:
            self.log.warn(
                "Delivery not understood", event="delivery.malformed", event_key=delivery.event_key, reason=str(error)
            )
            raise
        if not signed and isinstance(event, Commented) and rules.command_in(event.text):
            # Later nobody would know: there may be a secret by then.
            event = Ignored(_UNSIGNED_COMMAND, event.repository)
        ignored = isinstance(event, Ignored)
        recorded = self.store.transact(deliveries.record, delivery, event)
        if not ignored:
            self.wake()  # who looks for it comes right behind it, and shares its commit
        id = await in_time(recorded, self.clock)
        self.log.info(
            "Delivery ignored" if ignored else "Delivery accepted",
            event="delivery.ignored" if ignored else "delivery.accepted",
            delivery=id,
            request=delivery.request_uuid or None,
            event_key=delivery.event_key,
            repository=event.repository.full_name if event.repository else None,
            pull_request=event.number,
            reason=event.reason if isinstance(event, Ignored) else None,
        )
        return id


def understood(event_key: str, body: bytes, site_url: str, repositories: Sequence[str]) -> Event:
    """The event that a delivery tells of, if it comes from one of *repositories*. Raises PayloadError."""
    if event_key == payloads.FOUND:
        raise PayloadError(f"the event key {event_key!r} is our own: nobody sends it")
    event = payloads.read(event_key, body, site_url)
    if isinstance(event, Ignored) or covers(repositories, event.repository.full_name):
        return event
    reason = f"{event.repository.full_name} is not among the `repositories` of the settings"
    return Ignored(reason, event.repository)
