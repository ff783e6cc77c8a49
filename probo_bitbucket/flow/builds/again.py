"""Again: what an operator has done, mostly once more. The steps of the flow do it as they do it by themselves."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from attrs import define, evolve
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from probo_bitbucket import origins
from probo_bitbucket.flow.builds.anew import Anew, NotNow, check_covered, check_started
from probo_bitbucket.flow.builds.ending import Ending
from probo_bitbucket.flow.work import log_fields
from probo_bitbucket.model import Build, BuildState, DeliveryState
from probo_bitbucket.store import Database, Transaction, builds, deliveries, failures, statuses
from probo_bitbucket.store.builds import StoredBuild
from probo_bitbucket.store.statuses import StoredStatus
from probo_bitbucket.store.views import deliveries as delivery_views
from probo_bitbucket.store.views.deliveries import DeliveryLine


class NotThere(Exception):
    """There is no such thing, or it was pruned."""


@define(eq=False)
class Again:
    """*wake* tells the steps that there is something to do."""

    store: Database
    clock: IReactorTime
    anew: Anew
    ending: Ending
    wake: Callable[[], None]

    log = Logger()

    async def send_delivery(self, id: int) -> None:
        """Have a delivery decided anew. Raises NotThere, NotNow, NotWanted or StoreUnavailable."""
        found = await self.store.transact(self._send_delivery, id)
        where = {"repository": found.repository, "pull_request": found.pull_request}
        self._log("Delivery sent again", "delivery.sent_again", delivery=id, event_key=found.event_key, **where)

    def _send_delivery(self, tx: Transaction, id: int) -> DeliveryLine:
        delivery = delivery_views.find(tx, id)
        if delivery is None:
            raise NotThere(f"there is no delivery {id}")
        if delivery.state is DeliveryState.WAITING:
            raise NotNow("the delivery waits to be decided anyway")
        if not delivery.repository:
            raise NotNow("there is nothing to decide: the delivery tells of no repository")
        check_covered(self.anew.repositories, delivery.repository)
        deliveries.send_again(tx, id, self.clock.seconds())
        return delivery

    async def send_build(self, id: str) -> None:
        """Have a build that was given up on tried again. Raises NotThere, NotNow or StoreUnavailable."""
        build = await self.store.transact(self._send_build, id)
        self._log("Build sent again", "build.sent_again", **log_fields.of_build(build))

    def _send_build(self, tx: Transaction, id: str) -> Build:
        stored = _locked(tx, id)
        if stored.state is not BuildState.FAILED:
            raise NotNow("only a build that was given up on can be sent again; rebuild makes a new one")
        builds.send_again(tx, id, self.clock.seconds())
        return stored.build

    async def send_status(self, build_id: str, key: str) -> None:
        """Report a status once more. Raises NotThere, NotNow or StoreUnavailable."""
        status = await self.store.transact(_send_status, build_id, key, self.clock.seconds())
        self._log("Status sent again", "status.sent_again", **log_fields.of_status(status))

    async def rebuild(self, id: str) -> str:
        """Have the same commit built once more, in a new build. Returns its id.

        Raises NotThere, NotNow, NotWanted or StoreUnavailable.
        """
        new = await self.store.transact(self._rebuild, id)
        self._log("Build wanted again", "build.wanted_again", **log_fields.of_build(new))
        return new.id

    def _rebuild(self, tx: Transaction, id: str) -> Build:
        old = _build(tx, id)
        check_started(old)
        made, origin = self.clock.seconds(), origins.rebuild(old.build.origin)
        new = evolve(old.build, id=str(uuid4()), created_at=made, origin=origin)
        self.anew.build(tx, new)
        return new

    async def take_down(self, id: str) -> None:
        """Have no more of a build, also where nothing is taken down by itself.

        Raises NotThere, NotNow or StoreUnavailable.
        """
        build = await self.store.transact(self._take_down, id)
        self._log("Build to be taken down", "build.unwanted", **log_fields.of_build(build))

    def _take_down(self, tx: Transaction, id: str) -> Build:
        stored = _locked(tx, id)
        if why := self.ending.end_by_hand(tx, [stored], "taken down by hand", origins.OPERATOR, self.clock.seconds()):
            raise NotNow(why)
        return stored.build

    async def send_given_up(self, name: str) -> None:
        """Have everything of that name tried again that was given up on. Raises NotThere or StoreUnavailable."""
        if not await self.store.transact(failures.send_again, name, self.clock.seconds()):
            raise NotThere("nothing of that name was given up on")
        self._log("Sent again", "failure.sent_again", reason=name)

    def _log(self, words: str, event: str, **fields: object) -> None:
        self.log.info(words, event=event, **fields)
        self.wake()


def _build(tx: Transaction, id: str) -> StoredBuild:
    found = builds.find(tx, id)
    if found is None:
        raise NotThere(f"there is no build {id[:80]}")
    return found


def _locked(tx: Transaction, id: str) -> StoredBuild:
    """The same, kept as it is: another node may be sending it just now."""
    builds.lock_pull_request(tx, id)
    builds.lock(tx, id)
    return _build(tx, id)


def _send_status(tx: Transaction, build_id: str, key: str, now: float) -> StoredStatus:
    found = next((stored for stored in statuses.of_build(tx, build_id) if stored.desired.key == key), None)
    if found is None:
        raise NotThere(f"build {build_id[:80]} has no status {key[:80]}")
    if found.reported is None and not found.failed:
        raise NotNow("the status waits to be reported anyway")
    statuses.send_again(tx, found, now)
    return found
