"""Our comment on a pull request that has many: to look for it takes long, and somebody else may write it meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import define, field
from twisted.internet.task import Clock

from probo_bitbucket.bitbucket.api import Bitbucket
from probo_bitbucket.bitbucket.budget import Budget
from probo_bitbucket.flow.statuses.commenter import Commenter
from probo_bitbucket.flow.work.leases import STANDSTILL
from probo_bitbucket.model import Comment, Repository
from probo_bitbucket.store import LEASE, Lease, LeaseLost, comments
from probo_bitbucket.store.comments import CommentWish
from probo_bitbucket.upstream import Upstream
from tests.immediate import ImmediateStore, run
from tests.wire import Wire

SITE = Repository("acme", "site")


@define
class Entrance:
    """Lets everybody in. What happens *meanwhile* happens while the first request is on its way."""

    budget: Budget
    meanwhile: list[Callable[[], None]] = field(factory=list)

    def of(self, repository: Repository, home: Repository | None = None) -> Entrance:
        return self

    async def authorization(self) -> str:
        if self.meanwhile:
            self.meanwhile.pop()()
        return "Bearer c4n4ry-one"

    async def refused(self, authorization: str) -> bool:
        return False

    def accepted(self) -> None:
        pass


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    wire.say(200, {"values": []})
    wire.say(201, {"id": 5})
    return wire


def write(store: ImmediateStore, clock: Clock, wire: Wire, meanwhile: Callable[[], None]) -> None:
    """The first comment on a pull request, by a node called north."""
    wish = CommentWish("b-1", Comment(SITE, 7, "All is well."), 0, clock.seconds(), True)
    store.now(comments.desire, wish, None, clock.seconds())
    entrance = Entrance(Budget(clock, 1000), [meanwhile])
    bitbucket = Bitbucket(Upstream("Bitbucket", wire.client, clock), "https://api.example/2.0", entrance)
    commenter = Commenter(store, clock, bitbucket, "Acme")
    [job] = run(commenter.claim(Lease("north/1", clock.seconds()), 1, []))
    run(commenter.work(job))


def test_it_is_written_however_long_it_took_to_look_for_it(store: ImmediateStore, clock: Clock, wire: Wire) -> None:
    write(store, clock, wire, lambda: clock.advance(STANDSTILL + 1))
    assert [asked.method for asked in wire.asked] == ["GET", "POST"]
    stored = store.now(comments.find, SITE.full_name, 7)
    assert stored is not None
    assert (stored.number, stored.pending) == (5, False)


def test_it_is_not_written_where_another_node_has_it_meanwhile(store: ImmediateStore, clock: Clock, wire: Wire) -> None:
    def stand_still() -> None:
        clock.advance(LEASE + 1)
        assert store.now(comments.claim_pending, Lease("south/1", clock.seconds()), 1)

    with pytest.raises(LeaseLost):
        write(store, clock, wire, stand_still)
    assert [asked.method for asked in wire.asked] == ["GET"]
