"""What stays of a webhook of which nobody heard what became of it."""

from __future__ import annotations

import gc
from typing import Any, cast

import pytest
from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from probo_bitbucket.bitbucket.hooks import Hook, Place
from probo_bitbucket.bitbucket.signature import sign
from probo_bitbucket.errors import Permanent, Unanswered
from probo_bitbucket.flow.deliveries.signatures import BadSignature, RefusedDeliveries, Signatures
from probo_bitbucket.flow.oversight.hooks import Hooks
from probo_bitbucket.flow.oversight.inspection import Inspection
from probo_bitbucket.store import hooks
from probo_bitbucket.store.hooks import GRACE
from tests.canaries import canary
from tests.immediate import ImmediateStore, result_of, run, start

SITE, SHOP = Place("acme", "site"), Place("acme", "shop")
BODY = b"{}"


@define
class Bitbucket:
    """Has no webhooks. Makes one, and says nothing for now."""

    secrets: dict[Place, str] = field(factory=dict)  # that it was told
    answers: dict[Place, Deferred[Hook]] = field(factory=dict)

    async def of(self, place: Place) -> list[Hook]:
        return []

    async def create(self, place: Place, url: str, secret: str) -> Hook:
        self.secrets[place] = secret
        self.answers[place] = Deferred()
        return await self.answers[place]


@pytest.fixture
def bitbucket() -> Bitbucket:
    return Bitbucket()


@pytest.fixture
def made(store: ImmediateStore, clock: Clock, bitbucket: Bitbucket) -> Hooks:
    webhooks, globs = cast(Any, bitbucket), ("acme/*",)
    refused, url = RefusedDeliveries(), "https://probo.example.com"
    inspection = Inspection(webhooks, store, refused, url, "/bitbucket-webhook", globs, "", clock)
    signatures = Signatures((canary("of-the-settings"),), store, clock)
    return Hooks(inspection, webhooks, signatures, store, clock)


def test_a_webhook_whose_answer_was_lost_delivers(made: Hooks, bitbucket: Bitbucket) -> None:
    adding = start(made.add([SITE]))
    bitbucket.answers[SITE].errback(Unanswered("Bitbucket did not answer within 30 s"))
    [report] = result_of(adding)
    assert report.what == "Bitbucket did not answer within 30 s"
    run(made.signatures.check(BODY, sign(bitbucket.secrets[SITE], BODY)))


def test_who_hangs_up_does_not_spoil_it_and_nothing_is_logged_as_an_error(
    made: Hooks, bitbucket: Bitbucket, logged: list[LogEvent]
) -> None:
    adding = start(made.add([SITE, SHOP]))
    adding.cancel()
    with pytest.raises(CancelledError):
        result_of(adding)
    del adding
    gc.collect()
    assert not [event for event in logged if "log_failure" in event]
    for secret in bitbucket.secrets.values():
        run(made.signatures.check(BODY, sign(secret, BODY)))


def test_a_secret_that_another_webhook_may_just_be_getting_is_kept(made: Hooks, bitbucket: Bitbucket) -> None:
    lost, refused = start(made.add([SITE])), start(made.add([SHOP]))
    bitbucket.answers[SHOP].errback(Permanent("Bitbucket answered 403", 403))
    result_of(refused)
    bitbucket.answers[SITE].errback(Unanswered("Bitbucket did not answer within 30 s"))
    result_of(lost)
    run(made.signatures.check(BODY, sign(bitbucket.secrets[SITE], BODY)))


def test_where_there_is_no_other_secret_nobody_is_refused_for_one_in_doubt(made: Hooks, bitbucket: Bitbucket) -> None:
    made.signatures.given = ()
    adding = start(made.add([SITE]))
    bitbucket.answers[SITE].errback(Unanswered("Bitbucket did not answer within 30 s"))
    result_of(adding)
    assert not run(made.signatures.check(BODY, None))
    assert not run(made.signatures.check(BODY, sign(bitbucket.secrets[SITE], BODY)))


def test_what_was_in_doubt_once_is_forgotten_in_the_end(
    made: Hooks, bitbucket: Bitbucket, store: ImmediateStore, clock: Clock
) -> None:
    adding = start(made.add([SITE]))
    bitbucket.answers[SITE].errback(Unanswered("Bitbucket did not answer within 30 s"))
    result_of(adding)
    clock.advance(GRACE + 1)
    again = start(made.add([SITE]))
    bitbucket.answers[SITE].errback(Permanent("Bitbucket answered 403", 403))
    result_of(again)
    assert store.now(hooks.secrets) == ()
    with pytest.raises(BadSignature):
        run(made.signatures.check(BODY, sign(bitbucket.secrets[SITE], BODY)))
