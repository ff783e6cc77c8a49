"""Rehearsal: what would become of a delivery, decided as always, in a transaction that is taken back."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from probo_bitbucket import origins
from probo_bitbucket.flow.deliveries.intake import understood
from probo_bitbucket.flow.deliveries.responder import Responder
from probo_bitbucket.model import DeliveryState
from probo_bitbucket.store import Transaction
from probo_bitbucket.store.views import builds
from probo_bitbucket.store.views.builds import BuildLine
from probo_bitbucket.store.views.filters import Filter


@frozen
class Foreseen:
    """What would become of a delivery, and of the latest builds of its repository."""

    state: DeliveryState
    reason: str
    repository: str
    made: Sequence[BuildLine]
    changed: Sequence[BuildLine]


@frozen
class Rehearsal:
    """*repositories* are the globs of those that are built."""

    responder: Responder
    repositories: Sequence[str]
    site_url: str

    def of(self, tx: Transaction, event_key: str, body: bytes, now: float) -> Foreseen:
        """Decide on a delivery as if its signature fitted. Who gave *tx* takes it back. Raises PayloadError."""
        event = understood(event_key, body, self.site_url, self.repositories)
        repository = event.repository.full_name if event.repository else ""
        before = _builds(tx, repository)
        response = self.responder.respond(tx, event, now, origins.REHEARSAL)
        after = _builds(tx, repository)
        return Foreseen(
            response.state,
            response.reason,
            repository,
            made=[build for id, build in after.items() if id not in before],
            changed=[build for id, build in after.items() if id in before and build.state != before[id].state],
        )


def _builds(tx: Transaction, repository: str) -> dict[str, BuildLine]:
    if not repository:
        return {}
    return {build.id: build for build in builds.page(tx, Filter(repository=repository)).items}
