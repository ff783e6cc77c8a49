"""Which credentials count at a start: those set up before, or those of the settings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from twisted.internet.task import Clock

from probo_bitbucket.bitbucket.oauth import Grant
from probo_bitbucket.credentials import AccessToken, Account, Credentials, OAuthConsumer
from probo_bitbucket.flow.credentials.setup import ALL_OTHERS, SetUp, choices, save
from probo_bitbucket.store import StoreUnavailable, consumers, credentials
from tests.immediate import ImmediateStore, run

NOBODY = cast(Any, None)  # none of the other parts has a word at a start without credentials set up
NAMES = pytest.mark.parametrize("name", [ALL_OTHERS, "acme"])


def starts(store: ImmediateStore, clock: Clock, name: str, given: Credentials) -> None:
    accounts = [Account(name, given, ("*",))]
    store.now(SetUp(accounts, store, clock, NOBODY, NOBODY, NOBODY, "").begin)


def newest(store: ImmediateStore, name: str) -> str:
    """The refresh token that an account without one in the settings goes on with."""
    return store.now(credentials.begin, name, "").refresh_token


@NAMES
def test_another_consumer_without_refresh_token_does_not_go_on_with_the_first_ones(
    store: ImmediateStore, clock: Clock, name: str
) -> None:
    starts(store, clock, name, OAuthConsumer("A", "c4n4ry-secret", "c4n4ry-R0"))
    store.now(credentials.begin, name, "c4n4ry-R0")
    starts(store, clock, name, OAuthConsumer("B", "c4n4ry-secret"))
    assert newest(store, name) == ""


@NAMES
def test_the_same_settings_go_on_with_the_stored_tokens(store: ImmediateStore, clock: Clock, name: str) -> None:
    for _ in range(2):
        starts(store, clock, name, OAuthConsumer("A", "c4n4ry-secret", "c4n4ry-R0"))
        assert store.now(credentials.begin, name, "c4n4ry-R0").origin == credentials.digest("c4n4ry-R0")
    assert newest(store, name) == "c4n4ry-R0"


@NAMES
@pytest.mark.parametrize("given", [OAuthConsumer("B", "c4n4ry-secret"), AccessToken("c4n4ry-T")])
def test_what_was_set_up_gives_way_to_newer_settings_with_its_tokens(
    store: ImmediateStore, clock: Clock, name: str, given: Credentials
) -> None:
    starts(store, clock, name, OAuthConsumer("A", "c4n4ry-secret", "c4n4ry-R0"))
    store.now(save, name, "K", "c4n4ry-secret", Grant("c4n4ry-A1", "c4n4ry-R1", 7200.0, ()), 0.0)
    starts(store, clock, name, given)
    assert (store.now(consumers.by_account), newest(store, name)) == ({}, "")


def test_a_change_of_one_account_leaves_the_others_alone(store: ImmediateStore, clock: Clock) -> None:
    for key in ("A", "B"):
        accounts = [
            Account("acme", OAuthConsumer(key, "c4n4ry-secret"), ("acme/*",)),
            Account("globex", OAuthConsumer("G", "c4n4ry-secret"), ()),
        ]
        store.now(SetUp(accounts, store, clock, NOBODY, NOBODY, NOBODY, "").begin)
        if key == "A":
            for name in ("acme", "globex"):
                store.now(credentials.begin, name, f"c4n4ry-{name}")
    assert (newest(store, "acme"), newest(store, "globex")) == ("", "c4n4ry-globex")


def test_all_that_the_accounts_do_not_cover_can_be_set_up_too() -> None:
    acme, top = Account("acme", None, ("acme/*",)), Account(ALL_OTHERS, AccessToken("c4n4ry-T"), ("*",))
    assert choices([acme]) == (acme, Account(ALL_OTHERS, None, ("*",)))
    assert choices([acme, top]) == (acme, top)


def test_what_the_store_did_not_let_end_is_taken_up_at_the_next_look(store: ImmediateStore, clock: Clock) -> None:
    def adopt(account: Account) -> None:
        store.down = not adopted
        adopted.append(account.name)

    adopted: list[str] = []
    woken: list[str] = []
    accounts = cast(Any, SimpleNamespace(adopt=adopt))
    given = [Account("acme", OAuthConsumer("A", "c4n4ry-secret"), ("*",))]
    set_up = SetUp(given, store, clock, accounts, NOBODY, lambda: woken.append("all"), "")
    store.now(save, "acme", "K", "c4n4ry-secret", Grant("c4n4ry-A1", "c4n4ry-R1", 7200.0, ()), 0.0)
    with pytest.raises(StoreUnavailable):
        run(set_up.take_up())
    store.down = False
    for _ in range(2):
        run(set_up.take_up())
    assert (adopted, woken) == (["acme", "acme"], ["all"])
