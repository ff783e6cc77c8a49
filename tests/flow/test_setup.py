"""Which credentials count at a start: those set up before, or those of the settings."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.task import Clock

from probo_bitbucket.credentials import Credentials, OAuthConsumer
from probo_bitbucket.flow.setup import ACCOUNT, SetUp
from probo_bitbucket.store import credentials
from tests.immediate import ImmediateStore

NOBODY = cast(Any, None)  # none of the other parts has a word at a start without credentials set up


def starts(store: ImmediateStore, clock: Clock, given: Credentials) -> None:
    store.now(SetUp(given, store, clock, NOBODY, NOBODY, NOBODY).begin)


def test_another_consumer_without_refresh_token_does_not_go_on_with_the_first_ones(
    store: ImmediateStore, clock: Clock
) -> None:
    starts(store, clock, OAuthConsumer("A", "secret", "R0"))
    store.now(credentials.begin, ACCOUNT, "R0")
    starts(store, clock, OAuthConsumer("B", "secret"))
    assert store.now(credentials.begin, ACCOUNT, "").refresh_token == ""


def test_the_same_settings_go_on_with_the_stored_tokens(store: ImmediateStore, clock: Clock) -> None:
    for _ in range(2):
        starts(store, clock, OAuthConsumer("A", "secret", "R0"))
        assert store.now(credentials.begin, ACCOUNT, "R0").origin == credentials.digest("R0")
    assert store.now(credentials.begin, ACCOUNT, "").refresh_token == "R0"
